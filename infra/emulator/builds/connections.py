"""google.devtools.cloudbuild.v2: connections to git hosts, which are there to be seen; nothing is fetched over them.

https://cloud.google.com/build/docs/api/reference/rest/v2/projects.locations.connections
"""

from __future__ import annotations

import re
from typing import Any

from google.cloud.devtools import cloudbuild_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location

API = "google.devtools.cloudbuild.v2.RepositoryManager"
CONNECTION_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
PAGE_SIZE = 50
ConnectionPb: Any = cloudbuild_v2.Connection.pb()
ListPb: Any = cloudbuild_v2.ListConnectionsResponse.pb()
Stage = cloudbuild_v2.InstallationState.Stage


class Connections:
    def __init__(self, cloud: Cloud) -> None:
        self._operations = cloud.operations
        self._table = cloud.store.messages("build-connections", ConnectionPb)

    @rpc(f"{API}/CreateConnection", permission="cloudbuild.connections.create", resource="parent")
    async def create(self, request: Any, _: Call) -> operations_pb2.Operation:
        check_location(request.parent)
        if not CONNECTION_ID.fullmatch(request.connection_id):
            raise invalid(f"invalid connection id: {request.connection_id}", "connection_id")
        made = ConnectionPb()
        made.CopyFrom(request.connection)
        made.name = f"{request.parent}/connections/{request.connection_id}"
        if made.name in self._table:
            raise already_exists(f"Resource '{made.name}' already exists")
        made.installation_state.stage = Stage.COMPLETE
        made.create_time.GetCurrentTime()
        made.update_time.CopyFrom(made.create_time)
        self._table.put(made.name, made)
        return self._done(request.parent, made)

    @rpc(f"{API}/GetConnection", permission="cloudbuild.connections.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._find(request.name)

    @rpc(f"{API}/ListConnections", permission="cloudbuild.connections.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        check_location(request.parent)
        found, token = self._table.page(
            f"{request.parent}/connections/", request.page_size or PAGE_SIZE, request.page_token
        )
        return ListPb(connections=found, next_page_token=token)

    @rpc(f"{API}/DeleteConnection", permission="cloudbuild.connections.delete")
    async def delete(self, request: Any, _: Call) -> operations_pb2.Operation:
        self._table.delete(self._find(request.name).name)
        return self._done(request.name.partition("/connections/")[0], empty_pb2.Empty())

    def _find(self, name: str) -> Any:
        found = self._table.get(name)
        if found is None:
            raise not_found(f"Resource '{name}' was not found")
        return found

    def _done(self, parent: str, answer: Any) -> operations_pb2.Operation:
        return self._operations.done(f"{parent}/operations/{self._operations.new_id()}", answer)
