"""Cloud Functions v2. https://cloud.google.com/functions/docs/reference/rest/v2"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from google.cloud import functions_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from infra.emulator.functions.deployment import CONCURRENCY, CPU, MEMORY, TIMEOUT_S, Deployment
from infra.emulator.functions.state import FunctionPb, Functions, State
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import aborted, already_exists, invalid, unimplemented
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.locations import check_location
from infra.emulator.projects.projects import Projects
from infra.emulator.run.acting import check_act_as

API = "google.cloud.functions.v2.FunctionService"
ID = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
RUNTIME = re.compile(r"(python|nodejs|go|java|ruby|php|dotnet)\d+")
NUMBER = re.compile(r"\d+(\.\d+)?")
SETTLED = (State.ACTIVE, State.FAILED)
UPDATABLE = ("description", "build_config", "service_config", "labels")
Environment = functions_v2.Environment
MetadataPb: Any = functions_v2.OperationMetadata.pb()
OPERATION_TYPES = {
    "create": functions_v2.OperationType.CREATE_FUNCTION,
    "update": functions_v2.OperationType.UPDATE_FUNCTION,
    "delete": functions_v2.OperationType.DELETE_FUNCTION,
}
ListPb: Any = functions_v2.ListFunctionsResponse.pb()
PAGE_SIZE = 1000


class CloudFunctions:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._functions, self._projects = cloud, cloud.get(Functions), cloud.get(Projects)
        self._deployment = Deployment(cloud, self._functions)

    @rpc(f"{API}/CreateFunction", permission="cloudfunctions.functions.create", resource="parent")
    async def create(self, request: Any, call: Call) -> operations_pb2.Operation:
        check_location(request.parent)
        if not ID.fullmatch(request.function_id):
            raise invalid(f"The function id must match {ID.pattern}.", "function_id")
        name = f"{request.parent}/functions/{request.function_id}"
        if name in self._functions.table:
            raise already_exists(f"Resource '{name}' already exists")
        function = FunctionPb(name=name, environment=Environment.GEN_2)
        self._take(request.function, function, UPDATABLE)
        function.create_time.GetCurrentTime()
        self._complete(function, call)
        return self._deploy("create", function, call)

    @rpc(f"{API}/GetFunction", permission="cloudfunctions.functions.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._functions.find(request.name)

    @rpc(f"{API}/ListFunctions", permission="cloudfunctions.functions.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        project, location = request.parent.split("/")[1], request.parent.split("/")[3]
        prefix = f"projects/{project}/locations/" + ("" if location == "-" else f"{location}/functions/")
        found, token = self._functions.table.page(prefix, request.page_size or PAGE_SIZE, request.page_token)
        return ListPb(functions=found, next_page_token=token)

    @rpc(f"{API}/UpdateFunction", permission="cloudfunctions.functions.update", resource="function.name")
    async def update(self, request: Any, call: Call) -> operations_pb2.Operation:
        function = self._settled(request.function.name)
        paths = list(request.update_mask.paths) or UPDATABLE
        if fixed := [path for path in paths if path.split(".")[0] not in UPDATABLE]:
            raise invalid(f"The field '{fixed[0]}' cannot be updated.", "update_mask")
        self._take(request.function, function, paths)
        self._complete(function, call)
        return self._deploy("update", function, call)

    @rpc(f"{API}/DeleteFunction", permission="cloudfunctions.functions.delete")
    async def delete(self, request: Any, call: Call) -> operations_pb2.Operation:
        function = self._functions.put(self._settled(request.name), State.DELETING)

        async def work() -> Message:
            await self._deployment.remove(function, call.principal)
            return empty_pb2.Empty()

        return self._start("delete", function, work)

    def _settled(self, name: str) -> Any:
        function = self._functions.find(name)
        if function.state not in SETTLED:
            raise aborted("unable to queue the operation")
        return function

    @staticmethod
    def _take(wanted: Any, function: Any, paths: Any) -> None:
        mask = functions_v2.UpdateFunctionRequest.pb()().update_mask
        mask.paths[:] = paths
        mask.MergeMessage(wanted, function, True, True)

    def _complete(self, function: Any, call: Call) -> None:
        """Fills in what was not said; raises for what no function can be, and for what is not emulated."""
        config, service = function.build_config, function.service_config
        if not RUNTIME.fullmatch(config.runtime):
            raise invalid(f"Runtime '{config.runtime}' is not supported on GCF Gen2.", "function.build_config.runtime")
        if not config.entry_point:
            raise invalid("The entry point must be set.", "function.build_config.entry_point")
        if config.source.WhichOneof("source") != "storage_source" or not config.source.storage_source.object_:
            raise unimplemented("A function whose source is not in Cloud Storage")
        if function.HasField("event_trigger"):
            raise unimplemented("A function with an event trigger")
        if not NUMBER.fullmatch(service.available_cpu or CPU):
            raise invalid(f"'{service.available_cpu}' is no number of CPUs.", "function.service_config.available_cpu")
        service.timeout_seconds = service.timeout_seconds or TIMEOUT_S
        service.available_memory = service.available_memory or MEMORY
        service.available_cpu = service.available_cpu or CPU
        service.max_instance_request_concurrency = service.max_instance_request_concurrency or CONCURRENCY
        service.all_traffic_on_latest_revision = True
        project = self._projects.find(function.name)
        service.service_account_email = (
            service.service_account_email or f"{project.number}-compute@developer.gserviceaccount.com"
        )
        check_act_as(self._cloud, project.id, service.service_account_email, call.principal)

    def _deploy(self, verb: str, function: Any, call: Call) -> operations_pb2.Operation:
        self._functions.put(function, State.DEPLOYING)
        return self._start(verb, function, lambda: self._deployment.deploy(function, call.principal))

    def _start(self, verb: str, function: Any, work: Callable[[], Awaitable[Message]]) -> operations_pb2.Operation:
        parent = function.name.partition("/functions/")[0]
        metadata = MetadataPb(target=function.name, verb=verb, api_version="v2")
        metadata.operation_type = OPERATION_TYPES[verb]
        metadata.create_time.GetCurrentTime()

        async def later() -> Message:
            return await work()

        def ended() -> Message:
            metadata.end_time.GetCurrentTime()
            return metadata  # type: ignore[no-any-return]

        operations = self._cloud.operations
        return operations.start(f"{parent}/operations/operation-{operations.new_id()}", metadata, later(), ended)
