"""google.cloud.run.v2.Revisions: of services and of worker pools."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.run.names import PoolName, owner_of
from infra.emulator.run.paging import newest_first
from infra.emulator.run.pools.system import CloudPools
from infra.emulator.run.system import CloudRun

REVISIONS = "google.cloud.run.v2.Revisions"
ListRevisionsResponse: Any = run_v2.ListRevisionsResponse.pb()


class Revisions:
    def __init__(self, cloud: Cloud) -> None:
        self._state = cloud.get(CloudRun).state
        self._of_services, self._of_pools = cloud.get(CloudRun).lifecycle, cloud.get(CloudPools).lifecycle

    @rpc(f"{REVISIONS}/GetRevision", permission="run.revisions.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._state.revision(request.name)

    @rpc(f"{REVISIONS}/ListRevisions", permission="run.revisions.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        """Newest first: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services.revisions/list"""
        revisions, token = newest_first(self._state.revisions, request, "revisions")
        return ListRevisionsResponse(revisions=revisions, next_page_token=token)

    @rpc(f"{REVISIONS}/DeleteRevision", permission="run.revisions.delete")
    async def delete(self, request: Any, _: Call) -> Any:
        lifecycle = self._of_pools if owner_of(request.name).kind == PoolName.kind else self._of_services
        return lifecycle.delete_revision(request.name, request.etag, validate_only=request.validate_only)
