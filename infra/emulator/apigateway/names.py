"""What things are called: ids, hosts and managed services of API Gateway."""

from __future__ import annotations

import base64
import hashlib
import re

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import RpcError, error_info, invalid

# https://cloud.google.com/api-gateway/docs/deployment-model, and what the hosts of gateways there end with
REGIONS = {
    "asia-east1": "de", "asia-northeast1": "an", "asia-south1": "el", "australia-southeast1": "ts",
    "europe-west1": "ew", "europe-west2": "nw", "europe-west3": "ey", "northamerica-northeast1": "nn",
    "us-central1": "uc", "us-east1": "ue", "us-east4": "uk", "us-west1": "uw", "us-west2": "wl", "us-west3": "wm",
    "us-west4": "wn",
}  # fmt: skip
DOMAIN = "gateway.dev"
HOSTS = tuple(f"*.{code}.{DOMAIN}" for code in REGIONS.values())
ID = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
# https://cloud.google.com/api-gateway/docs/quotas and the errors of gcloud's users
LONGEST = {"apis": 49, "configs": 63, "gateways": 49}


def check_id(collection: str, given: str) -> None:
    """`collection` is apis, configs or gateways. Raises INVALID_ARGUMENT."""
    if not ID.fullmatch(given) or len(given) > LONGEST[collection]:
        raise invalid(
            f"Invalid resource ID '{given}': it must be at most {LONGEST[collection]} characters of a-z, 0-9 and -, "
            "begin with a letter and not end with a dash."
        )


def check_global(parent: str) -> None:
    """APIs and their configs are in no region."""
    if parent.split("/")[3] != "global":
        raise _no_location(parent.split("/")[3])


def check_region(parent: str) -> None:
    if parent.split("/")[3] not in REGIONS:
        raise _no_location(parent.split("/")[3])


def _no_location(location: str) -> RpcError:
    return RpcError(
        Code.PERMISSION_DENIED,
        f"Location {location} is not found or access is unauthorized.",
        error_info("LOCATION_POLICY_VIOLATED", "googleapis.com", location=location),
    )


def managed_service(project: str, api: str) -> str:
    """my-api-1n3x0fhs1g4uz.apigateway.my-project.cloud.goog"""
    return f"{api}-{_hash(project, 13)}.apigateway.{project}.cloud.goog"


def host(project: str, region: str, gateway: str, made: str) -> str:
    """my-gateway-2rte326z.uc.gateway.dev; another one for each that is made."""
    return f"{gateway}-{_hash(f'{project}/{region}/{gateway}/{made}', 8)}.{REGIONS[region]}.{DOMAIN}"


def _hash(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]
