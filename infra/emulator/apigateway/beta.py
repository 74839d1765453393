"""API Gateway v1beta, which Terraform's provider calls and no client package describes.

Its messages are v1's under another name, and one field more: ApiConfig.gateway_config, an older way to name the
account that a gateway acts as, which Google does not tell again.
https://cloud.google.com/api-gateway/docs/reference/rest/v1beta/projects.locations.apis.configs#ApiConfig
"""

from __future__ import annotations

from typing import Any

from google.cloud import apigateway_v1
from google.longrunning import operations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from infra.emulator.apigateway.state import Resources
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, RpcHandler
from infra.emulator.kernel.rpc_table import Binding, Rpc

V1, BETA = "google.cloud.apigateway.v1", "google.cloud.apigateway.v1beta"
HOST = "apigateway.googleapis.com"
OPERATIONS, LOCATIONS = "google.longrunning.Operations", "google.cloud.location.Locations"
OPERATION = "/v1beta/{name=projects/*/locations/*/operations/*}"
MIXED_IN = (
    (f"{OPERATIONS}/GetOperation", "GET", OPERATION, ""),
    (f"{OPERATIONS}/ListOperations", "GET", "/v1beta/{name=projects/*/locations/*}/operations", ""),
    (f"{OPERATIONS}/CancelOperation", "POST", f"{OPERATION}:cancel", "*"),
    (f"{OPERATIONS}/DeleteOperation", "DELETE", OPERATION, ""),
    *((f"{LOCATIONS}/ListLocations", "GET", f"/{v}/{{name=projects/*}}/locations", "") for v in ("v1", "v1beta")),
    *((f"{LOCATIONS}/GetLocation", "GET", f"/{v}/{{name=projects/*/locations/*}}", "") for v in ("v1", "v1beta")),
)
Field = descriptor_pb2.FieldDescriptorProto
GATEWAY_CONFIG = 1001  # the field's number, which no REST client ever sees


def _describe() -> None:
    """Makes the messages of v1beta known, out of v1's; doing it again changes nothing."""
    file = descriptor_pb2.FileDescriptorProto()
    apigateway_v1.ApiConfig.pb().DESCRIPTOR.file.CopyToProto(file)
    file.name, file.package = "google/cloud/apigateway/v1beta/apigateway.proto", BETA
    _rename(file.message_type)
    account = file.message_type.add(name="BackendConfig")
    account.field.add(name="google_service_account", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
    config = next(each for each in file.message_type if each.name == "ApiConfig")
    for message, name, number, kind in (
        (file.message_type.add(name="GatewayConfig"), "backend_config", 1, "BackendConfig"),
        (config, "gateway_config", GATEWAY_CONFIG, "GatewayConfig"),
    ):
        field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL, type=Field.TYPE_MESSAGE)
        field.type_name = f".{BETA}.{kind}"
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())


def _rename(messages: Any) -> None:
    for message in messages:
        for field in message.field:
            if field.HasField("type_name"):
                field.type_name = field.type_name.replace(f".{V1}.", f".{BETA}.")
        _rename(message.nested_type)


class Beta:
    """Each method of v1 under its name in v1beta, carried out by v1's handler."""

    def __init__(self, cloud: Cloud) -> None:
        _describe()
        cloud.get(Resources).forms["v1beta"] = shown
        for method in [name for name in cloud.handlers if name.startswith(f"/{V1}.")]:
            handler, known = cloud.handlers[method], cloud.rpcs[method]
            name = method.replace(f"/{V1}.", f"/{BETA}.")
            bindings = [Binding(b.verb, b.template.replace("/v1/", "/v1beta/"), b.body, b.host) for b in known.bindings]
            response = known.response if known.response is operations_pb2.Operation else _twin(known.response)
            cloud.rpcs[name] = Rpc(name, _twin(known.request), response, known.host, bindings)
            cloud.handlers[name] = RpcHandler(_translated(handler, known.request), handler.permission, handler.resource)
        for method, verb, template, body in MIXED_IN:
            cloud.rpcs[f"/{method}"].bindings.append(Binding(verb, template, body, HOST))


def _twin(kind: type[Message]) -> type[Message]:
    """The message of v1beta that has the name of one of v1."""
    name = kind.DESCRIPTOR.full_name.replace(f"{V1}.", f"{BETA}.")
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def shown(message: Message) -> Message:
    """A message of v1 in the words of v1beta."""
    if not message.DESCRIPTOR.full_name.startswith(f"{V1}."):
        return message
    return _twin(type(message)).FromString(message.SerializeToString())


def _translated(handler: RpcHandler, kind: type[Message]) -> Any:
    async def run(request: Any, call: Call) -> Message:
        if "api_config" in request.DESCRIPTOR.fields_by_name:
            _settle_account(request.api_config)
        return shown(await handler.run(kind.FromString(request.SerializeToString()), call))

    return run


def _settle_account(config: Any) -> None:
    """Of the two fields that name an account only one may be set, and only one is kept."""
    if not config.HasField("gateway_config"):
        return
    account = config.gateway_config.backend_config.google_service_account
    if config.gateway_service_account and account:
        raise invalid("gateway_config and gateway_service_account exclude each other.", "api_config")
    config.gateway_service_account = account or config.gateway_service_account
    config.ClearField("gateway_config")
