"""google.longrunning.Operations: the polling end of every operation, whichever service started it."""

from __future__ import annotations

from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc

WAIT_LIMIT_S = 30.0


class LongRunning:
    def __init__(self, cloud: Cloud) -> None:
        self._operations = cloud.operations

    @rpc("google.longrunning.Operations/GetOperation", resource="")
    async def get(self, request: operations_pb2.GetOperationRequest, _: Call) -> operations_pb2.Operation:
        return self._operations.get(request.name)

    @rpc("google.longrunning.Operations/ListOperations", resource="")
    async def list(
        self, request: operations_pb2.ListOperationsRequest, _: Call
    ) -> operations_pb2.ListOperationsResponse:
        return operations_pb2.ListOperationsResponse(operations=self._operations.list(f"{request.name}/operations/"))

    @rpc("google.longrunning.Operations/WaitOperation", resource="")
    async def wait(self, request: operations_pb2.WaitOperationRequest, _: Call) -> operations_pb2.Operation:
        limit = request.timeout.ToTimedelta().total_seconds() or WAIT_LIMIT_S
        return await self._operations.wait(request.name, min(limit, WAIT_LIMIT_S))

    @rpc("google.longrunning.Operations/CancelOperation", resource="")
    async def cancel(self, request: operations_pb2.CancelOperationRequest, _: Call) -> empty_pb2.Empty:
        return self._operations.cancel(request.name)
