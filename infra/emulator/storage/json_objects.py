"""The JSON API's objects, but for uploads. https://cloud.google.com/storage/docs/json_api/v1/objects"""

from __future__ import annotations

import asyncio

from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.storage import listing, media
from infra.emulator.storage.errors import StorageError, bad_request
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.resources import Preconditions, Resource, merged
from infra.emulator.storage.web import API, Access, api, body, flag, number, object_view, parsed, preconditions

OBJECTS = f"{API}/b/{{bucket}}/o"
OBJECT = f"{OBJECTS}/{{name=**}}"
COPY = "b/{target_bucket}/o/{target=**}"
MAX_COMPONENTS = 32
WRITABLE = {
    "acl", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType", "contexts",
    "customTime", "eventBasedHold", "metadata", "retention", "temporaryHold",
}  # fmt: skip


def settings(resource: Resource) -> Resource:
    """What a caller may set of an object."""
    return {key: value for key, value in resource.items() if key in WRITABLE and value is not None}


class JsonObjects:
    def __init__(self, cloud: Cloud) -> None:
        self._objects, self._access = cloud.get(Objects), Access(cloud)

    @api("GET", OBJECTS, method="storage.objects.list")
    async def list(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.objects.list", bucket)
        query = listing_query(request)
        keys: list[listing.Key] = [(name, 0) for name in self._objects.names(bucket, query.prefix)]
        if flag(request.query, "versions"):
            archived = self._objects.archived(bucket, query.prefix)
            live = [self._objects.stat(bucket, name) for name, _ in keys]
            keys = sorted((found["name"], int(found["generation"])) for found in (*archived, *live))
        soft = flag(request.query, "softDeleted")
        if soft:
            if flag(request.query, "versions"):
                raise bad_request("softDeleted and versions cannot both be true.")
            gone = self._objects.soft_deleted.within(bucket, query.prefix)
            keys = sorted((one["name"], int(one["generation"])) for one in gone)
        page = listing.list_page(keys, query)
        look = self._soft_deleted if soft else self._objects.stat
        found = [look(bucket, name, generation or None) for name, generation in page.keys]
        answer: Resource = {"kind": "storage#objects"}
        answer |= {"items": [object_view(request, resource) for resource in found]} if found else {}
        answer |= {"prefixes": page.prefixes} if page.prefixes else {}
        answer |= {"nextPageToken": page.next_token} if page.next_token else {}
        return web.json_response(answer)

    @api("GET", OBJECT, method="storage.objects.get")
    @api("GET", f"/download{OBJECT}", method="storage.objects.get")
    async def get(self, request: web.Request, call: Call, bucket: str, name: str) -> web.StreamResponse:
        self._access.bucket(call, "storage.objects.get", bucket)
        generation = number(request.query, "generation")
        if flag(request.query, "softDeleted"):
            return web.json_response(object_view(request, self._soft_deleted(bucket, name, generation)))
        resource = self._objects.stat(bucket, name, generation)
        if (response := _not_modified(request, resource)) is not None:
            return response
        if request.query.get("alt") == "media":
            return await media.send(request, resource, self._objects.path(resource))
        return web.json_response(object_view(request, resource))

    def _soft_deleted(self, bucket: str, name: str, generation: int | None) -> Resource:
        if generation is None:
            raise bad_request("You must specify a generation to get or restore a soft-deleted object.", "required")
        return self._objects.soft_deleted.get(bucket, name, generation)

    @api("POST", f"{OBJECT}/restore", method="storage.objects.restore")
    async def restore(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        self._access.bucket(call, "storage.objects.restore", bucket)
        self._access.writing(call, bucket, name)
        source = self._soft_deleted(bucket, name, number(request.query, "generation"))
        restored = self._objects.restore(bucket, name, int(source["generation"]), preconditions(request.query))
        return web.json_response(object_view(request, restored))

    @api("PATCH", OBJECT, method="storage.objects.patch")
    async def patch(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        given = await body(request)  # before the look: nobody may write between that and the change
        resource = self._changing(request, call, bucket, name)
        changes = {key: value for key, value in given.items() if key in WRITABLE}
        return web.json_response(object_view(request, self._objects.put(merged(resource, changes))))

    @api("PUT", OBJECT, method="storage.objects.update")
    async def update(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        given = await body(request)
        resource = self._changing(request, call, bucket, name)
        kept = {key: value for key, value in resource.items() if key not in WRITABLE}
        changed = kept | {"contentType": "application/octet-stream"} | settings(given)
        return web.json_response(object_view(request, self._objects.put(changed)))

    def _changing(self, request: web.Request, call: Call, bucket: str, name: str) -> Resource:
        self._access.bucket(call, "storage.objects.update", bucket)
        resource = self._objects.stat(bucket, name, number(request.query, "generation"))
        preconditions(request.query).check(resource)
        return resource

    @api("DELETE", OBJECT, method="storage.objects.delete")
    async def delete(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        self._access.bucket(call, "storage.objects.delete", bucket)
        self._objects.delete(bucket, name, number(request.query, "generation"), preconditions(request.query))
        return web.Response(status=204)

    @api("POST", f"{OBJECT}/copyTo/{COPY}", method="storage.objects.copy")
    async def copy(self, request: web.Request, call: Call, **names: str) -> web.Response:
        _, copied = await self._copy(request, call, **names)
        return web.json_response(object_view(request, copied))

    @api("POST", f"{OBJECT}/rewriteTo/{COPY}", method="storage.objects.rewrite")
    async def rewrite(self, request: web.Request, call: Call, **names: str) -> web.Response:
        source, copied = await self._copy(request, call, **names)
        return web.json_response(
            {
                "kind": "storage#rewriteResponse",
                "totalBytesRewritten": source["size"],
                "objectSize": source["size"],
                "done": True,
                "resource": object_view(request, copied),
            }
        )

    async def _copy(
        self, request: web.Request, call: Call, bucket: str, name: str, target_bucket: str, target: str
    ) -> tuple[Resource, Resource]:
        self._access.bucket(call, "storage.objects.get", bucket)
        self._access.writing(call, target_bucket, target)
        source = self._objects.stat(bucket, name, number(request.query, "sourceGeneration"))
        preconditions(request.query, "ifSource").check(source)
        given = await body(request)
        properties = settings(given or source)
        if "storageClass" in given:
            properties["storageClass"] = given["storageClass"]
        return source, self._objects.copy(source, target_bucket, target, properties, preconditions(request.query))

    @api("POST", f"{OBJECTS}/{{name=**}}/compose", method="storage.objects.compose")
    async def compose(self, request: web.Request, call: Call, bucket: str, name: str) -> web.Response:
        self._access.bucket(call, "storage.objects.get", bucket)
        self._access.writing(call, bucket, name)
        wanted = parsed(await request.read())
        sources = [self._component(bucket, entry) for entry in wanted.get("sourceObjects", [])]
        if not 1 <= len(sources) <= MAX_COMPONENTS:
            raise bad_request(
                f"The number of source components provided ({len(sources)}) exceeds the maximum ({MAX_COMPONENTS})"
                if sources
                else "You must provide at least one source component."
            )
        preconditions(request.query).check(self._objects.find(bucket, name))
        staged = self._objects.stage()
        for source in sources:
            await asyncio.to_thread(staged.fill, self._objects.path(source))
        count = sum(int(source.get("componentCount", 1)) for source in sources)
        properties = settings(wanted.get("destination", {})) | {"componentCount": count}
        composed = self._objects.commit(bucket, name, staged, properties, preconditions(request.query))
        return web.json_response(object_view(request, composed))

    def _component(self, bucket: str, entry: Resource) -> Resource:
        generation = int(entry["generation"]) if entry.get("generation") else None
        source = self._objects.stat(bucket, str(entry.get("name", "")), generation)
        wanted = entry.get("objectPreconditions", {}).get("ifGenerationMatch")
        Preconditions(generation=int(wanted) if wanted else None).check(source)
        return source


def listing_query(request: web.Request) -> listing.Query:
    query = request.query
    return listing.Query(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        end=query.get("endOffset", ""),
        glob=query.get("matchGlob", ""),
        trailing_delimiter=flag(query, "includeTrailingDelimiter"),
        max_results=min(number(query, "maxResults") or listing.MAX_RESULTS, listing.MAX_RESULTS),
        page_token=query.get("pageToken", ""),
    )


def _not_modified(request: web.Request, resource: Resource) -> web.Response | None:
    """304 where a reader's …NotMatch does not hold; raises 412 where a …Match does not."""
    wanted = preconditions(request.query)
    Preconditions(generation=wanted.generation, metageneration=wanted.metageneration).check(resource)
    try:
        wanted.check(resource)
    except StorageError:
        return web.Response(status=304)
    return None
