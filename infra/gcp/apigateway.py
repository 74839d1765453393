"""API Gateway: what there is of an API, its configs and its gateways.

Made and changed by Terraform; here they are read, and what could not be made is taken away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.cloud import apigateway_v1

from infra.gcp.calls.clients import call, client, finish, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each


@dataclass(frozen=True, slots=True)
class Resource:
    """`name` is the full one, under the project's id or number as Google tells it; `state` is ACTIVE once it can be
    used, and CREATING, ACTIVATING, UPDATING, DELETING or FAILED otherwise.
    """

    name: str
    state: str
    labels: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def active(self) -> bool:
        return self.state == "ACTIVE"


@dataclass(frozen=True, slots=True)
class Api(Resource):
    managed_service: str  # what must be enabled in a project before its keys are good at the API's gateways


@dataclass(frozen=True, slots=True)
class Config(Resource):
    service_config_id: str
    account: str  # as which gateways call the backends, as it was given; '' for the project's default one


@dataclass(frozen=True, slots=True)
class Gateway(Resource):
    api_config: str  # full name of the config that it serves
    host: str  # '' while it is being made

    @property
    def url(self) -> str:
        return f"https://{self.host}" if self.host else ""

    @property
    def region(self) -> str:
        return self.name.split("/")[3]


async def get_api(project: str, api: str) -> Api | None:
    """None if there is none. Raises GoogleError, as all here."""
    found = await _get("get_api", "apigateway.apis.get", f"{_global(project)}/apis/{api}")
    return None if found is None else Api(*_common(found), found.managed_service)


async def list_apis(project: str) -> list[Api]:
    found = _listed("list_apis", "apigateway.apis.list", _global(project), "apis")
    return [Api(*_common(each), each.managed_service) async for each in found]


async def get_config(project: str, api: str, config: str) -> Config | None:
    found = await _get("get_api_config", "apigateway.apiconfigs.get", f"{_global(project)}/apis/{api}/configs/{config}")
    return None if found is None else _config(found)


async def list_configs(project: str, api: str) -> list[Config]:
    """Those of an API, which may not be there."""
    parent = f"{_global(project)}/apis/{api}"
    found = _listed("list_api_configs", "apigateway.apiconfigs.list", parent, "api_configs")
    return [_config(each_) async for each_ in found]


async def get_gateway(project: str, region: str, gateway: str) -> Gateway | None:
    name = f"projects/{project}/locations/{region}/gateways/{gateway}"
    found = await _get("get_gateway", "apigateway.gateways.get", name)
    return None if found is None else _gateway(found)


async def gateways_of(project: str, api: str) -> list[Gateway]:
    """The gateways of all regions that serve a config of this API."""
    found = _listed("list_gateways", "apigateway.gateways.list", f"projects/{project}/locations/-", "gateways")
    return [_gateway(each_) async for each_ in found if f"/apis/{api}/configs/" in each_.api_config]


async def delete(name: str, timeout_s: float) -> None:
    """Deletes an API, a config or a gateway, by its full name; one that is gone is fine."""
    collection = name.split("/")[-2]
    verb = {"apis": "delete_api", "configs": "delete_api_config", "gateways": "delete_gateway"}[collection]
    method = getattr(client(apigateway_v1.ApiGatewayServiceAsyncClient), verb)
    called = f"apigateway.{collection}.delete"
    try:
        operation = await call(called, method, {"name": name})
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return
        raise
    await finish(called, operation, timeout_s)


def _global(project: str) -> str:
    return f"projects/{project}/locations/global"


async def _get(method: str, name: str, resource: str) -> Any | None:
    api = client(apigateway_v1.ApiGatewayServiceAsyncClient)
    return await read(name, getattr(api, method), {"name": resource})


def _listed(method: str, name: str, parent: str, field: str) -> AsyncIterator[Any]:
    api = client(apigateway_v1.ApiGatewayServiceAsyncClient)
    return each(name, getattr(api, method), {"parent": parent}, field, unreachable="unreachable_locations")


def _common(found: Any) -> tuple[str, str, Mapping[str, str]]:
    """The numbers of states are the same for all three kinds."""
    return found.name, apigateway_v1.ApiConfig.State(found.state).name, dict(found.labels)


def _config(found: Any) -> Config:
    return Config(*_common(found), found.service_config_id, found.gateway_service_account)


def _gateway(found: Any) -> Gateway:
    return Gateway(*_common(found), found.api_config, found.default_hostname)
