"""API Gateway v1. https://cloud.google.com/api-gateway/docs/reference/rest

Errors in the words of Google's resource framework, as users of API Gateway and its siblings quote them.
"""

from __future__ import annotations

from typing import Any

from google.cloud import apigateway_v1
from google.longrunning import operations_pb2

from infra.emulator.apigateway import names
from infra.emulator.apigateway.openapi.documents import read
from infra.emulator.apigateway.openapi.refusal import Refused
from infra.emulator.apigateway.state import Resources, State, basic, missing
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import already_exists, failed_precondition, invalid, unimplemented
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.kernel.store import Table
from infra.emulator.projects.projects import Projects
from infra.emulator.run.acting import check_act_as

API = "google.cloud.apigateway.v1.ApiGatewayService"
FULL = apigateway_v1.GetApiConfigRequest.ConfigView.FULL
DEFAULT_PAGE, MAX_PAGE = 100, 1000
UPDATABLE = {
    "apis": ("display_name", "labels"),
    "configs": ("display_name", "labels"),
    "gateways": ("display_name", "labels", "api_config"),
}
ListApisPb: Any = apigateway_v1.ListApisResponse.pb()
ListConfigsPb: Any = apigateway_v1.ListApiConfigsResponse.pb()
ListGatewaysPb: Any = apigateway_v1.ListGatewaysResponse.pb()


class ApiGateway:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._resources = cloud, cloud.get(Resources)
        self._projects, self._policies = cloud.get(Projects), cloud.get(Policies)

    # APIs

    @rpc(f"{API}/CreateApi", permission="apigateway.apis.create", resource="parent")
    async def create_api(self, request: Any, call: Call) -> operations_pb2.Operation:
        names.check_global(request.parent)
        api = self._new(request.parent, "apis", request.api_id, request.api)
        project = self._projects.find(request.parent)
        api.managed_service = api.managed_service or names.managed_service(project.id, request.api_id)
        return self._resources.start("create", api, version(call))

    @rpc(f"{API}/GetApi", permission="apigateway.apis.get")
    async def get_api(self, request: Any, _: Call) -> Any:
        return self._resources.find(request.name)

    @rpc(f"{API}/ListApis", permission="apigateway.apis.list", resource="parent")
    async def list_apis(self, request: Any, _: Call) -> Any:
        found, token = _page(self._resources.apis, request, "apis")
        return ListApisPb(apis=found, next_page_token=token)

    @rpc(f"{API}/UpdateApi", permission="apigateway.apis.update", resource="api.name")
    async def update_api(self, request: Any, call: Call) -> operations_pb2.Operation:
        return self._update(request.api, request.update_mask, call)

    @rpc(f"{API}/DeleteApi", permission="apigateway.apis.delete")
    async def delete_api(self, request: Any, call: Call) -> operations_pb2.Operation:
        api = self._resources.settled(request.name)
        if self._resources.configs.names(f"{request.name}/configs/"):
            raise failed_precondition(
                f"Resource '\"{request.name}\"' has nested resources. If the API supports cascading delete, set "
                "'force' to true to delete it and its nested resources."
            )
        return self._resources.start("delete", api, version(call))

    # configs

    @rpc(f"{API}/CreateApiConfig", permission="apigateway.apiconfigs.create", resource="parent")
    async def create_config(self, request: Any, call: Call) -> operations_pb2.Operation:
        self._resources.find(request.parent)
        config = self._new(request.parent, "configs", request.api_config_id, request.api_config)
        self._check_sources(config)
        project = self._projects.find(request.parent).id
        if config.gateway_service_account:
            account = config.gateway_service_account.rpartition("/")[2]
            check_act_as(self._cloud, project, account, call.principal)
        config.service_config_id = f"{request.api_config_id}-{self._cloud.operations.new_id()[:12].replace('-', '')}"
        return self._resources.start("create", config, version(call))

    @staticmethod
    def _check_sources(config: Any) -> None:
        if config.grpc_services or config.managed_service_configs:
            raise unimplemented("A gateway in front of a gRPC service")
        if not config.openapi_documents:
            raise invalid("One of openapi_documents or grpc_services must be set.", "api_config")
        try:
            read([(each.document.path, each.document.contents) for each in config.openapi_documents])
        except Refused as error:
            raise invalid(str(error)) from error

    @rpc(f"{API}/GetApiConfig", permission="apigateway.apiconfigs.get")
    async def get_config(self, request: Any, _: Call) -> Any:
        config = self._resources.find(request.name)
        return config if request.view == FULL else basic(config)

    @rpc(f"{API}/ListApiConfigs", permission="apigateway.apiconfigs.list", resource="parent")
    async def list_configs(self, request: Any, _: Call) -> Any:
        found, token = _page(self._resources.configs, request, "configs")
        return ListConfigsPb(api_configs=map(basic, found), next_page_token=token)

    @rpc(f"{API}/UpdateApiConfig", permission="apigateway.apiconfigs.update", resource="api_config.name")
    async def update_config(self, request: Any, call: Call) -> operations_pb2.Operation:
        return self._update(request.api_config, request.update_mask, call)

    @rpc(f"{API}/DeleteApiConfig", permission="apigateway.apiconfigs.delete")
    async def delete_config(self, request: Any, call: Call) -> operations_pb2.Operation:
        config = self._resources.settled(request.name)
        users = [gateway.name for gateway in self._resources.gateways.list() if gateway.api_config == request.name]
        if users:
            raise failed_precondition(
                f"Resource '{request.name}' is being used by '{users[0]}'. Update or delete it first."
            )
        return self._resources.start("delete", config, version(call))

    # gateways

    @rpc(f"{API}/CreateGateway", permission="apigateway.gateways.create", resource="parent")
    async def create_gateway(self, request: Any, call: Call) -> operations_pb2.Operation:
        names.check_region(request.parent)
        gateway = self._new(request.parent, "gateways", request.gateway_id, request.gateway)
        gateway.api_config = self._usable_config(gateway.api_config)
        _, project, _, region = request.parent.split("/")
        made = self._cloud.operations.new_id()
        gateway.default_hostname = names.host(project, region, request.gateway_id, made)
        return self._resources.start("create", gateway, version(call))

    def _usable_config(self, name: str) -> str:
        """Its name under the project's id; raises unless a gateway can serve it."""
        name = self._projects.canonical(name)
        if not name:
            raise invalid("The api_config must be set.", "gateway.api_config")
        if name.count("/") != 7 or self._resources.configs.get(name) is None:
            raise missing(name)
        state = State(self._resources.find(name).state)
        if state != State.ACTIVE:
            raise failed_precondition(
                f"API Config '{name}' is in state {state.name}: gateways can serve only ACTIVE ones."
            )
        return name

    @rpc(f"{API}/GetGateway", permission="apigateway.gateways.get")
    async def get_gateway(self, request: Any, _: Call) -> Any:
        return self._resources.find(request.name)

    @rpc(f"{API}/ListGateways", permission="apigateway.gateways.list", resource="parent")
    async def list_gateways(self, request: Any, _: Call) -> Any:
        found, token = _page(self._resources.gateways, request, "gateways")
        return ListGatewaysPb(gateways=found, next_page_token=token)

    @rpc(f"{API}/UpdateGateway", permission="apigateway.gateways.update", resource="gateway.name")
    async def update_gateway(self, request: Any, call: Call) -> operations_pb2.Operation:
        return self._update(request.gateway, request.update_mask, call)

    @rpc(f"{API}/DeleteGateway", permission="apigateway.gateways.delete")
    async def delete_gateway(self, request: Any, call: Call) -> operations_pb2.Operation:
        return self._resources.start("delete", self._resources.settled(request.name), version(call))

    # all of them

    def _new(self, parent: str, collection: str, given: str, wanted: Any) -> Any:
        """The resource to create, with what Google fills in; raises for a bad or taken id."""
        names.check_id(collection, given)
        name = f"{parent}/{collection}/{given}"
        if name in self._resources.table_of(name):
            raise already_exists(f"Resource '{name}' already exists")
        wanted.name = name
        wanted.display_name = wanted.display_name or given
        wanted.create_time.GetCurrentTime()
        return wanted

    def _update(self, wanted: Any, mask: Any, call: Call) -> operations_pb2.Operation:
        """Without a mask all that can change and is set (https://google.aip.dev/134)."""
        current, allowed = self._resources.settled(wanted.name), UPDATABLE[wanted.name.split("/")[-2]]
        paths = [path for path in mask.paths if path != "*"] or [field.name for field, _ in wanted.ListFields()]
        if mask.paths and (fixed := [path for path in paths if path.split(".")[0] not in allowed]):
            raise invalid(f"The field '{fixed[0]}' cannot be updated.", "update_mask")
        mask.paths[:] = [path for path in paths if path.split(".")[0] in allowed]
        if "api_config" in mask.paths:
            wanted.api_config = self._usable_config(wanted.api_config)
        mask.MergeMessage(wanted, current, True, True)
        return self._resources.start("update", current, version(call))


def version(call: Call) -> str:
    """v1 or v1beta, as in the name of the method that was called."""
    return call.method.split(".")[3]


def _page(table: Table[Any], request: Any, collection: str) -> tuple[Any, str]:
    """A page of what is in the parent; its location may be - for all of them."""
    if request.page_size < 0:
        raise invalid("page_size must not be negative.", "page_size")
    project, location = request.parent.split("/")[1], request.parent.split("/")[3]
    prefix = f"projects/{project}/locations/" if location == "-" else f"{request.parent}/{collection}/"
    size = min(request.page_size or DEFAULT_PAGE, MAX_PAGE)
    return table.page(prefix, size, request.page_token)
