"""Each way in which the official clients fail becomes one error of plain values: gRPC, operations, the value."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions as core
from google.api_core import operation_async
from google.api_core.retry import AsyncRetry
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import any_pb2, empty_pb2, wrappers_pb2
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status  # type: ignore[import-untyped]

from infra.gcp.calls.errors import GoogleError, from_exception, from_status, is_foreign, translated
from tests.infra.gcp.calls.details import DISABLED, check_details, packed

METHOD = "run.Services.GetService"


# ------------------------------------------------------------------------------------------- gRPC, asyncio


class Failing(grpc.GenericRpcHandler):
    """Answers every call with the status it is told."""

    def __init__(self) -> None:
        self.status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="down")

    def service(self, _call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(_request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            rich = rpc_status.to_status(self.status)
            await context.abort(rich.code, rich.details, rich.trailing_metadata)
            raise AssertionError("abort raises")

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
async def failing() -> AsyncIterator[tuple[Failing, run_v2.ServicesAsyncClient]]:
    handler, server = Failing(), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        transport = run_v2.ServicesAsyncClient.get_transport_class("grpc_asyncio")
        yield handler, run_v2.ServicesAsyncClient(transport=transport(channel=channel))
    await server.stop(None)


async def failure_of(client: run_v2.ServicesAsyncClient, **more: Any) -> GoogleError:
    with pytest.raises(GoogleError) as caught, translated(METHOD):
        await client.get_service(name="projects/p/locations/l/services/s", **more)
    return caught.value


async def test_a_grpc_error_keeps_all_its_details(failing: tuple[Failing, run_v2.ServicesAsyncClient]) -> None:
    handler, client = failing
    handler.status = DISABLED
    error = await failure_of(client)
    assert (error.method, error.http_status) == (METHOD, 403)
    check_details(error)


@pytest.mark.parametrize("name", sorted(set(code_pb2.Code.keys()) - {"OK"}))
async def test_each_grpc_status_keeps_its_name(name: str, failing: tuple[Failing, run_v2.ServicesAsyncClient]) -> None:
    handler, client = failing
    handler.status = status_pb2.Status(code=code_pb2.Code.Value(name), message="as it is")
    error = await failure_of(client, retry=None)
    assert (error.status, error.message) == (name, "as it is")


async def test_the_clients_own_retry_running_out_is_told_by_what_it_ran_into(
    failing: tuple[Failing, run_v2.ServicesAsyncClient],
) -> None:
    _, client = failing
    retry = AsyncRetry(predicate=lambda error: True, initial=0.01, maximum=0.01, timeout=0.05)
    assert (await failure_of(client, retry=retry)).status == "UNAVAILABLE"


async def test_cancellation_is_not_an_error_of_google(failing: tuple[Failing, run_v2.ServicesAsyncClient]) -> None:
    with pytest.raises(asyncio.CancelledError), translated(METHOD):
        raise asyncio.CancelledError


async def test_an_asyncio_deadline_is_exceeded() -> None:
    with pytest.raises(GoogleError) as caught, translated(METHOD):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    assert (caught.value.status, caught.value.message) == ("DEADLINE_EXCEEDED", "TimeoutError")


# ------------------------------------------------------------------------------------- operations, the value


def test_the_status_of_an_operation_keeps_its_details_and_skips_unknown_ones() -> None:
    status = status_pb2.Status()
    status.CopyFrom(DISABLED)
    status.details.extend([*packed(wrappers_pb2.StringValue(value="x")), any_pb2.Any(type_url="type.x/acme.Odd")])
    error = from_status(status, METHOD)
    assert error.http_status is None
    check_details(error)


async def test_a_failed_operation_is_told_by_its_status() -> None:
    failed = operations_pb2.Operation(done=True, error=DISABLED)

    async def same(**_options: Any) -> operations_pb2.Operation:
        return failed

    operation = operation_async.AsyncOperation(failed, same, same, empty_pb2.Empty)
    with pytest.raises(GoogleError) as caught, translated(METHOD):
        await operation.result()
    check_details(caught.value)


def test_a_code_that_nobody_knows_is_unknown() -> None:
    assert from_status(status_pb2.Status(code=99, message="x"), METHOD).status == "UNKNOWN"


def test_a_retry_that_ran_out_without_a_cause_exceeded_its_deadline() -> None:
    assert from_exception(core.RetryError("Timeout of 1s exceeded", None), METHOD).status == "DEADLINE_EXCEEDED"


def test_an_error_survives_pickling_whole_and_says_what_failed() -> None:
    error = from_status(DISABLED, METHOD)
    copy = pickle.loads(pickle.dumps(error))
    assert copy.args == error.args
    check_details(copy)
    assert str(copy) == f"{METHOD}: PERMISSION_DENIED: {DISABLED.message}"


def test_errors_that_are_not_the_clouds_pass_unchanged() -> None:
    with pytest.raises(FileNotFoundError), translated(METHOD):
        Path("/no/such/file").read_text()
    assert not is_foreign(FileNotFoundError())
    assert from_exception(ValueError("odd"), METHOD).status == "UNKNOWN"


def test_an_error_translated_twice_stays_as_it_was() -> None:
    error = GoogleError(METHOD, "NOT_FOUND", "x")
    with pytest.raises(GoogleError) as caught, translated("outer"), translated("inner"):
        raise error
    assert caught.value is error
    assert from_exception(error, "outer") is error
