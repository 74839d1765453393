"""The gRPC door: every unary RPC of the table, over the official messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from infra.emulator.doors.dispatch import Dispatcher
from infra.emulator.kernel.behaviour import Dropped
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, unimplemented
from infra.emulator.kernel.handlers import Call
from infra.emulator.kernel.rpc_table import Rpc

log = logging.getLogger("emulator")
CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcDoor(grpc.GenericRpcHandler):
    """`drop` cuts the connection of a peer (`ipv4:127.0.0.1:4711`), as a broken network would."""

    def __init__(self, cloud: Cloud, drop: Callable[[str], None]) -> None:
        self._rpcs, self._dispatcher, self._drop = cloud.rpcs, Dispatcher(cloud), drop
        self._known: dict[str, Any] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        rpc = self._rpcs.get(details.method)
        if rpc is None:
            return grpc.unary_unary_rpc_method_handler(_refusal(details.method))
        if rpc.method not in self._known:
            self._known[rpc.method] = grpc.unary_unary_rpc_method_handler(
                self._serve(rpc),
                request_deserializer=rpc.request.FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
        return self._known[rpc.method]

    def _serve(self, rpc: Rpc) -> Any:
        async def serve(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            try:
                return await self._dispatcher.rpc(rpc, request, self._call(rpc, context))
            except RpcError as error:
                return await _abort(context, error)
            except Dropped:
                self._drop(context.peer())
                await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                raise
            except Exception:
                log.exception("%s", rpc.method)
                return await _abort(context, RpcError(Code.INTERNAL, "Internal error encountered."))

        return serve

    def _call(self, rpc: Rpc, context: grpc.aio.ServicerContext[Any, Any]) -> Call:
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        principal = self._dispatcher.principal(metadata.get("authorization", ""))
        return Call(rpc.method.lstrip("/"), rpc.host, principal, metadata)


def _refusal(method: str) -> Any:
    async def refuse(_: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
        return await _abort(context, unimplemented(method))

    return refuse


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: RpcError) -> Message:
    details = (("grpc-status-details-bin", error.status.SerializeToString()),)
    await context.abort(CODES[error.status.code], error.status.message, trailing_metadata=details)
    raise error  # abort has raised already


def serve_grpc(
    cloud: Cloud, certificate: bytes, key: bytes, drop: Callable[[str], None]
) -> tuple[grpc.aio.Server, int]:
    """A TLS gRPC server on a free loopback port."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 64 << 20)])
    server.add_generic_rpc_handlers((GrpcDoor(cloud, drop),))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
    return server, port
