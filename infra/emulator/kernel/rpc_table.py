"""The table of Google's RPCs, derived from the installed client packages: method -> message classes and REST bindings.

The gRPC half comes from each client's own transport, built over a channel that only records what it is
asked to prepare; the REST half from the transcoding options that the same package carries.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

# Requests of shared mix-ins are plain pb2 classes whose serializer does not tell its class.
MIXINS: dict[str, tuple[type[Message], type[Message]]] = {
    "GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
    "ListOperations": (operations_pb2.ListOperationsRequest, operations_pb2.ListOperationsResponse),
    "DeleteOperation": (operations_pb2.DeleteOperationRequest, empty_pb2.Empty),
    "CancelOperation": (operations_pb2.CancelOperationRequest, empty_pb2.Empty),
    "WaitOperation": (operations_pb2.WaitOperationRequest, operations_pb2.Operation),
    "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
    "GetLocation": (locations_pb2.GetLocationRequest, locations_pb2.Location),
    "ListLocations": (locations_pb2.ListLocationsRequest, locations_pb2.ListLocationsResponse),
}
OPERATIONS = ("GetOperation", "ListOperations", "CancelOperation", "DeleteOperation", "WaitOperation")


@dataclass(frozen=True)
class Binding:
    """One REST form of an RPC: `verb` and `template` as in google.api.http, `body` '*' or a field or ''."""

    verb: str
    template: str
    body: str
    host: str  # run.googleapis.com


@dataclass
class Rpc:
    method: str  # /google.cloud.run.v2.Services/GetService
    request: type[Message]
    response: type[Message]
    host: str
    bindings: list[Binding] = field(default_factory=list)


class RecordingChannel(grpc.aio.Channel):
    """Notes every unary stub that a transport prepares, and never calls anything."""

    def __init__(self) -> None:
        self.unary: dict[str, tuple[Any, Any]] = {}
        self._unary_unary_interceptors: list[Any] = []  # the transports append their logger here

    def unary_unary(  # type: ignore[override]
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        *_: Any,
        **__: Any,
    ) -> Callable[..., None]:
        self.unary[method] = (request_serializer, response_deserializer)
        return lambda *_a, **_k: None

    def unary_stream(self, *_: Any, **__: Any) -> Callable[..., None]:  # type: ignore[override]
        return lambda *_a, **_k: None

    stream_unary = stream_stream = unary_stream  # type: ignore[assignment]

    async def __aenter__(self) -> RecordingChannel:
        return self

    async def __aexit__(self, *_: object) -> None: ...
    async def close(self, grace: float | None = None) -> None: ...
    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return grpc.ChannelConnectivity.IDLE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None: ...
    async def channel_ready(self) -> None: ...


def load(packages: Sequence[str]) -> dict[str, Rpc]:
    """All unary RPCs of Google's client packages such as google.cloud.run_v2, by full method name; under a second."""
    table: dict[str, Rpc] = {}
    for package in packages:
        for service in _services(package):
            for rpc in _rpcs(service):
                known = table.setdefault(rpc.method, rpc)
                known.bindings += [b for b in rpc.bindings if b not in known.bindings]
    return table


def _services(package: str) -> Iterator[Any]:
    services = importlib.import_module(f"{package}.services")
    for info in pkgutil.iter_modules(services.__path__):
        yield importlib.import_module(f"{package}.services.{info.name}.transports")


def _rpcs(transports: Any) -> Iterator[Rpc]:
    transport_class = next(v for k, v in vars(transports).items() if k.endswith("GrpcAsyncIOTransport"))
    channel = RecordingChannel()
    transport = transport_class(channel=channel)
    for name, _ in inspect.getmembers(transport_class, lambda member: isinstance(member, property)):
        if name not in {"grpc_channel", "kind", "host", "operations_client"}:
            getattr(transport, name)
    host = str(transport_class.__init__.__kwdefaults__["host"])
    options = _rest_options(transports.__name__)
    for method, (serializer, deserializer) in channel.unary.items():
        short = method.rsplit("/", 1)[1]
        classes = _classes(short, serializer, deserializer)
        if classes:
            yield Rpc(method, *classes, host, [_binding(option, host) for option in options.get(short, ())])
    for short in OPERATIONS:
        bindings = [_binding(option, host) for option in options.get(short, ())]
        yield Rpc(f"/google.longrunning.Operations/{short}", *MIXINS[short], "*", bindings)


def _classes(short: str, serializer: Any, deserializer: Any) -> tuple[type[Message], type[Message]] | None:
    request = getattr(serializer, "__self__", None)
    if request is None:
        return MIXINS.get(short)
    response = getattr(deserializer, "__self__", None)
    if response is None:  # pb2 responses tell their class no more than pb2 requests do
        response = MIXINS.get(short, (None, None))[1] or _pb2_response(deserializer)
    return _pb(request), _pb(response)


def _pb2_response(deserializer: Any) -> type[Message]:
    for candidate in (operations_pb2.Operation, policy_pb2.Policy, iam_policy_pb2.TestIamPermissionsResponse):
        if deserializer == candidate.FromString:
            return candidate  # type: ignore[no-any-return]
    return empty_pb2.Empty


def _pb(cls: Any) -> type[Message]:
    return cls if hasattr(cls, "DESCRIPTOR") else cls.pb()  # type: ignore[no-any-return]


def _rest_options(transports: str) -> dict[str, list[dict[str, str]]]:
    """google.api.http options by RPC name; empty where the package has no REST transport."""
    try:
        base = importlib.import_module(f"{transports}.rest_base")
        rest = importlib.import_module(f"{transports}.rest")
    except ModuleNotFoundError:
        return {}
    outer = next(v for k, v in vars(base).items() if k.startswith("_Base") and k.endswith("RestTransport"))
    options = {
        name.removeprefix("_Base"): inner._get_http_options()
        for name, inner in vars(outer).items()
        if name.startswith("_Base") and hasattr(inner, "_get_http_options")
    }
    return options | _operation_options(inspect.getsource(rest))


def _operation_options(source: str) -> dict[str, list[dict[str, str]]]:
    """The bindings of google.longrunning.Operations, which the clients keep as a literal in a property."""
    found: dict[str, list[dict[str, str]]] = {}
    for short, block in re.findall(r'"google\.longrunning\.Operations\.(\w+)": \[(.*?)\]', source, re.S):
        for entry in re.findall(r"\{(.*?)\n\s*\},", block, re.S):
            option = dict(re.findall(r'"(method|uri|body)": "([^"]*)"', entry))
            found.setdefault(short, []).append(option)
    return found


def _binding(option: dict[str, str], host: str) -> Binding:
    return Binding(option["method"].upper(), option["uri"], option.get("body") or "", host)
