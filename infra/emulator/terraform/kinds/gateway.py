"""API Gateway, which the real google-beta alone has, and API keys. https://cloud.google.com/api-gateway/docs/reference/rest"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.emulator.terraform.client import Cloud
from infra.emulator.terraform.kinds.resource import Rest
from infra.emulator.terraform.schema import (
    ID,
    LABELS,
    POLICY,
    PROJECT,
    Attribute,
    Block,
    Nested,
    State,
    computed,
    either,
    new,
    optional,
    required,
)  # fmt: skip

GATEWAYS = "https://apigateway.googleapis.com/v1beta"
KEYS = "https://apikeys.googleapis.com/v2"

API = Rest(
    "google_api_gateway_api",
    "Api",
    Block(
        {
            **ID, **PROJECT, **POLICY, **LABELS,
            "api_id": new(),
            "display_name": either(),
            "managed_service": either(force_new=True),
            "create_time": computed(), "name": computed(),
        }
    ),
    GATEWAYS,
    "projects/{project}/locations/global/apis",
    "api_id",
    "apiId",
    body=("display_name", "labels", "managed_service"),
    mask=("display_name", "labels"),
)  # fmt: skip

DOCUMENT = Nested(Block({"path": new(), "contents": new()}), required=True, single=True, force_new=True)
CONFIG = Rest(
    "google_api_gateway_api_config",
    "ApiConfig",
    Block(
        {
            **ID, **PROJECT, **POLICY, **LABELS,
            "api": new(),
            "api_config_id": either(force_new=True),
            "display_name": either(),
            "gateway_config": Nested(
                Block(
                    {
                        "backend_config": Nested(
                            Block({"google_service_account": new()}), required=True, single=True, force_new=True
                        )
                    }
                ),
                single=True,
                force_new=True,
            ),
            "openapi_documents": Nested(Block({"document": DOCUMENT})),
            "name": computed(), "service_config_id": computed(),
        },
        one_of=(("openapi_documents",),),  # or grpc_services, which are not emulated
    ),
    GATEWAYS,
    "projects/{project}/locations/global/apis/{api}/configs",
    "api_config_id",
    "apiConfigId",
    body=("display_name", "gateway_config", "labels", "openapi_documents"),
    mask=("display_name", "labels"),
    kept=("gateway_config",),  # the real provider does not read it back either
    view={"view": "FULL"},
)  # fmt: skip

GATEWAY = Rest(
    "google_api_gateway_gateway",
    "Gateway",
    Block(
        {
            **ID, **PROJECT, **POLICY, **LABELS,
            "gateway_id": new(),
            "api_config": required(fold=lambda name: name.rsplit("/", 1)[-1]),
            "region": Attribute(optional=True, computed=True, force_new=True),
            "display_name": either(),
            "default_hostname": computed(), "name": computed(),
        }
    ),
    GATEWAYS,
    "projects/{project}/locations/{region}/gateways",
    "gateway_id",
    "gatewayId",
    body=("api_config", "display_name", "labels"),
    mask=("api_config", "display_name", "labels"),
)  # fmt: skip


def _key_string(cloud: Cloud, url: str, _body: Mapping[str, Any]) -> State:
    """The key's text takes a call of its own."""
    return {"key_string": cloud.call("GET", f"{url}/keyString").get("keyString")}


def _targets() -> Nested:
    return Nested(Block({"service": required(), "methods": optional("list")}))


def _only(field: str) -> Nested:
    return Nested(Block({field: required("list")}), single=True)


APPLICATION = Block({"package_name": required(), "sha1_fingerprint": required()})
ANDROID = Block({"allowed_applications": Nested(APPLICATION, required=True)})
KEY = Rest(
    "google_apikeys_key",
    "Key",
    Block(
        {
            **ID, **PROJECT, **POLICY,
            "name": new(),
            "display_name": optional(),
            "restrictions": Nested(
                Block(
                    {
                        "android_key_restrictions": Nested(ANDROID, single=True),
                        "api_targets": _targets(),
                        "browser_key_restrictions": _only("allowed_referrers"),
                        "ios_key_restrictions": _only("allowed_bundle_ids"),
                        "server_key_restrictions": _only("allowed_ips"),
                    }
                ),
                single=True,
            ),
            "key_string": computed(sensitive=True), "uid": computed(),
        }
    ),
    KEYS,
    "projects/{project}/locations/global/keys",
    "name",
    "keyId",
    body=("display_name", "restrictions"),
    mask=("display_name", "restrictions"),
    looks_first=True,
    more=_key_string,
)  # fmt: skip
