"""Cloud Asset Inventory's search. https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllResources"""

from __future__ import annotations

from aiohttp import web

from infra.emulator.assets.inventory import Assets
from infra.emulator.iam.json_apis import Door, Resource
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, route

HOST = "cloudasset.googleapis.com"
MOST, DEFAULT = 500, 100


class AssetSearch:
    def __init__(self, cloud: Cloud) -> None:
        self._assets, self._door = cloud.get(Assets), Door(cloud, HOST)

    @route("GET", "/v1/projects/{project}:searchAllResources", host=HOST, method="cloudasset.searchAllResources")
    async def search(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._door.admit(call, project, "cloudasset.assets.searchAllResources")
        query = request.query
        if query.get("query") or query.get("orderBy"):
            raise invalid("Queries and orders of assets are not emulated by the local cloud.", "query")
        size = query.get("pageSize", "0")
        if not size.isdigit() or int(size) > MOST:
            raise invalid(f"pageSize must be from 0 to {MOST}.", "page_size")
        kinds = set(query.getall("assetTypes", []))
        assets = [each for each in self._assets.of(found) if not kinds or each["assetType"] in kinds]
        left = [each for each in assets if each["name"] > query.get("pageToken", "")]
        count = int(size) or DEFAULT
        page = [_masked(each, query.get("readMask", "")) for each in left[:count]]
        answer: Resource = {"results": page} if page else {}
        if len(left) > count:
            answer["nextPageToken"] = left[count - 1]["name"]
        return web.json_response(answer)


def _masked(asset: Resource, mask: str) -> Resource:
    """Only the fields that are asked for; all where that is not said."""
    wanted = set(mask.split(",")) if mask and mask != "*" else asset.keys()
    return {name: value for name, value in asset.items() if name in wanted}
