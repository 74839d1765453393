"""Gateways of the local cloud, as the official clients make them, and requests to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import yaml
from google.api_core.future.polling import DEFAULT_POLLING
from google.cloud import api_keys_v2, apigateway_v1, service_usage_v1

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_process import context

GLOBAL = f"projects/{PROJECT}/locations/global"
REGION = "us-central1"
REGIONAL = f"projects/{PROJECT}/locations/{REGION}"
QUICK = DEFAULT_POLLING.with_delay(0.02, 0.2).with_timeout(60)
KEY_SCHEME = {"k": {"type": "apiKey", "name": "key", "in": "query"}}


def operation(name: str, **more: Any) -> dict[str, Any]:
    """`more`: a backend's address under `backend`, or whole fields."""
    backend = more.pop("backend", None)
    said = {"operationId": name, "responses": {"200": {"description": "fine"}}, **more}
    return said | ({"x-google-backend": {"address": backend}} if backend else {})


def swagger(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "Hello", "version": "1"}, "paths": paths, **more}


def document(said: dict[str, Any] | str, path: str = "openapi.yaml") -> dict[str, Any]:
    text = said if isinstance(said, str) else yaml.safe_dump(said, sort_keys=False)
    return {"document": {"path": path, "contents": text.encode()}}


class Gateways:
    """The clients, and what most tests do with them."""

    def __init__(self) -> None:
        self.api = apigateway_v1.ApiGatewayServiceClient()
        self.keys = api_keys_v2.ApiKeysClient()
        self.usage = service_usage_v1.ServiceUsageClient()

    def make_api(self, api: str, **fields: Any) -> apigateway_v1.Api:
        made = self.api.create_api(parent=GLOBAL, api_id=api, api=apigateway_v1.Api(**fields))
        done: apigateway_v1.Api = made.result(polling=QUICK)
        return done

    def make_config(self, api: str, config: str, *said: dict[str, Any], **fields: Any) -> apigateway_v1.ApiConfig:
        wanted = apigateway_v1.ApiConfig(openapi_documents=[document(each) for each in said], **fields)
        parent = f"{GLOBAL}/apis/{api}"
        made = self.api.create_api_config(parent=parent, api_config_id=config, api_config=wanted)
        done: apigateway_v1.ApiConfig = made.result(polling=QUICK)
        return done

    def make_gateway(self, gateway: str, api: str, config: str, **fields: Any) -> apigateway_v1.Gateway:
        wanted = apigateway_v1.Gateway(api_config=f"{GLOBAL}/apis/{api}/configs/{config}", **fields)
        made = self.api.create_gateway(parent=REGIONAL, gateway_id=gateway, gateway=wanted)
        done: apigateway_v1.Gateway = made.result(polling=QUICK)
        return done

    def make_all(self, name: str, said: dict[str, Any], **fields: Any) -> apigateway_v1.Gateway:
        """API, config and gateway, all of that name; `fields` are the config's."""
        self.make_api(name)
        self.make_config(name, name, said, **fields)
        return self.make_gateway(name, name, name)

    def make_key(self, key: str, **fields: Any) -> api_keys_v2.Key:
        made = self.keys.create_key(parent=GLOBAL, key_id=key, key=api_keys_v2.Key(**fields))
        done: api_keys_v2.Key = made.result(polling=QUICK)
        return done

    def enable(self, service: str) -> None:
        self.usage.enable_service({"name": f"projects/{PROJECT}/services/{service}"}).result(polling=QUICK)

    def disable(self, service: str) -> None:
        self.usage.disable_service({"name": f"projects/{PROJECT}/services/{service}"}).result(polling=QUICK)


@contextmanager
def visitor(cloud: LocalCloud, gateway: apigateway_v1.Gateway) -> Iterator[httpx.Client]:
    """Asks a gateway at its own https address, by way of the emulator's proxy."""
    with httpx.Client(
        base_url=f"https://{gateway.default_hostname}",
        proxy=cloud.env["HTTPS_PROXY"],
        verify=context(cloud),
        trust_env=False,
    ) as client:
        yield client
