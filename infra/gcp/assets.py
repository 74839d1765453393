"""Cloud Asset Inventory: what else Google knows to be in a project.

It lags behind, after a delete for a day and more, so it is a witness and never the judge.
https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllResources
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import listed

URL = "https://cloudasset.googleapis.com/v1/projects/{}:searchAllResources"
SEARCH = "cloudasset.assets.searchAllResources"
UNKNOWN = frozenset({"NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED"})  # the API is off, or not for us


async def search(project: str, kind: str) -> Sequence[str] | None:
    """The names of all of one asset type, //secretmanager.googleapis.com/projects/123/secrets/key; None where it
    cannot be asked. Raises GoogleError where it can and does not answer.
    """
    try:
        found = await listed(SEARCH, URL.format(project), "results", query={"assetTypes": kind, "readMask": "name"})
    except GoogleError as error:
        if error.status in UNKNOWN:
            return None
        raise
    return [each["name"] for each in found]
