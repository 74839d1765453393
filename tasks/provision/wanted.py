"""What is to be there: every name, and the module's variables. Pure: the same environment, the same names.

The module derives no names, so what is looked for before a run is exactly what it makes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from infra.terraform.plan import Resource
from tasks.manifest.environment import Environment
from tasks.manifest.provision import BucketSettings, Provision
from tasks.manifest.settings import account_email
from tasks.names import provisioned
from tasks.names.labels import labels

KEY_APIS = ("apikeys.googleapis.com", "secretmanager.googleapis.com")
GATEWAY_APIS = ("apigateway.googleapis.com", "servicecontrol.googleapis.com", "servicemanagement.googleapis.com")

# Addresses in the module.
GATEWAY, API = "google_api_gateway_gateway.gateway[0]", "google_api_gateway_api.api[0]"
KEPT_IN = "google_secret_manager_secret.key[0]"  # the key
# What is followed by another has its name in its address: of the two, one may not be in the state yet.
CONFIG, KEY = "google_api_gateway_api_config.config", "google_apikeys_key.key"
VERSION = "google_secret_manager_secret_version.key"


class Kind(StrEnum):
    """What can be looked for by its name."""

    ACCOUNT = "service account"
    BUCKET = "bucket"
    SECRET = "secret"  # noqa: S105 - a kind of resource
    API = "API of the gateway"
    CONFIG = "API config"
    GATEWAY = "gateway"
    KEY = "API key"


@dataclass(frozen=True, slots=True)
class Thing:
    """One resource of the module that may be there without Terraform knowing it."""

    address: str
    kind: Kind
    name: str  # in full, as Google says it
    import_id: str
    display_name: str = ""  # of what has no labels: it says whose it is


@dataclass(frozen=True, slots=True)
class Wanted:
    """All of it. `openapi`: with the URLs of the services filled in; b'' without a gateway."""

    app: str
    environment: str
    settings: Environment
    provision: Provision
    openapi: bytes = b""
    generation: int = 1  # of the key

    @property
    def project(self) -> str:
        return self.settings.project

    @property
    def labels(self) -> dict[str, str]:
        return labels(self.app, self.environment)

    @property
    def region(self) -> str:
        """Of the gateway."""
        gateway = self.provision.gateway
        return (gateway.region if gateway else None) or self.settings.regions[0]

    @property
    def gateway(self) -> str:
        return provisioned.gateway_id(self.app, self.environment)

    @property
    def gateway_name(self) -> str:
        return f"projects/{self.project}/locations/{self.region}/gateways/{self.gateway}"

    @property
    def api_name(self) -> str:
        return f"projects/{self.project}/locations/global/apis/{self.gateway}"

    @property
    def config(self) -> str:
        """Its name says all that it cannot change."""
        return provisioned.config_id(self.app, self.environment, self.openapi.decode(), self.caller)

    @property
    def key_name(self) -> str:
        key = provisioned.key_id(self.app, self.environment, self.generation)
        return f"projects/{self.project}/locations/global/keys/{key}"

    @property
    def key_address(self) -> str:
        return _address(KEY, short(self.key_name))

    @property
    def version_address(self) -> str:
        """Of the version of a secret that holds the key."""
        return _address(VERSION, short(self.key_name))

    @property
    def key_secret(self) -> str:
        """The short name of the secret that holds the key."""
        return provisioned.key_secret(self.app, self.environment)

    @property
    def title(self) -> str:
        """What is said of what can have no labels."""
        return f"{self.app} in {self.environment} (slipway)"

    @property
    def caller(self) -> str:
        """As whom the gateway calls the services."""
        gateway = self.provision.gateway
        account = (gateway.service_account if gateway else None) or self.settings.service_account or ""
        return account_email(account, self.project) if account else ""

    def account(self, account: str) -> str:
        return account_email(account, self.project)

    def member(self, said: str) -> str:
        """A member as IAM says it."""
        return said if ":" in said else f"serviceAccount:{self.account(said)}"

    def bucket(self, key: str) -> str:
        settings = self.provision.buckets[key] or BucketSettings()
        return settings.name or provisioned.bucket_name(self.project, self.app, key)

    def with_generation(self, generation: int) -> Wanted:
        return replace(self, generation=max(1, generation))


def variables(wanted: Wanted) -> dict[str, Any]:
    """The module's variables. Nothing in them changes from run to run."""
    said = wanted.provision
    buckets = {key: settings or BucketSettings() for key, settings in said.buckets.items()}
    return {
        "project": wanted.project,
        "region": wanted.settings.regions[0],
        "labels": wanted.labels,
        "services": sorted(_apis(wanted)),
        "accounts": {name: {"account_id": name, "display_name": wanted.title} for name in said.accounts},
        "roles": dict(_roles(wanted)),
        "buckets": {
            key: {
                "name": wanted.bucket(key),
                "location": settings.location or wanted.settings.regions[0],
                "versioning": settings.versioning,
            }
            for key, settings in buckets.items()
        },
        "secrets": {
            name: {"secret_id": name, "accessors": [*map(wanted.member, settings.readers if settings else ())]}
            for name, settings in said.secrets.items()
        },
        "gateway": _gateway(wanted) if said.gateway else None,
        "key": _key(wanted) if said.has_key else None,
    }


def _gateway(wanted: Wanted) -> dict[str, Any]:
    return {
        "api_id": wanted.gateway,
        "config_id": wanted.config,
        "gateway_id": wanted.gateway,
        "region": wanted.region,
        "openapi_base64": base64.b64encode(wanted.openapi).decode(),
        "service_account": wanted.caller,
    }


def _key(wanted: Wanted) -> dict[str, Any]:
    return {
        "key_id": short(wanted.key_name),
        "display_name": wanted.title,
        "secret_id": wanted.key_secret,
        "generation": wanted.generation,
    }


def _apis(wanted: Wanted) -> set[str]:
    said = wanted.provision
    used: tuple[tuple[object, tuple[str, ...]], ...] = (
        (said.accounts, ("iam.googleapis.com",)),
        (said.secrets, ("secretmanager.googleapis.com",)),
        (said.buckets, ("storage.googleapis.com",)),
        (said.gateway, GATEWAY_APIS),
        (said.has_key, KEY_APIS),
    )
    return {*said.apis, *(api for wanted_by, apis in used if wanted_by for api in apis)}


def _roles(wanted: Wanted) -> Iterator[tuple[str, dict[str, str]]]:
    """By a key that stays the same: who, and what for."""
    own = {name: settings.roles if settings else () for name, settings in wanted.provision.accounts.items()}
    for member, roles in (*own.items(), *wanted.provision.roles.items()):
        for role in roles:
            yield f"{member} {role}", {"role": role, "member": wanted.member(member)}


def things(wanted: Wanted) -> tuple[Thing, ...]:
    """What may be there already. APIs, roles and versions of secrets are made again without harm."""
    return (*_plain_things(wanted), *_gateway_things(wanted))


def _plain_things(wanted: Wanted) -> Iterator[Thing]:
    for name in wanted.provision.accounts:
        full = f"projects/{wanted.project}/serviceAccounts/{wanted.account(name)}"
        yield Thing(_address("google_service_account.account", name), Kind.ACCOUNT, full, full, wanted.title)
    for key in wanted.provision.buckets:
        bucket = wanted.bucket(key)
        yield Thing(_address("google_storage_bucket.bucket", key), Kind.BUCKET, bucket, f"{wanted.project}/{bucket}")
    for name in wanted.provision.secrets:
        full = f"projects/{wanted.project}/secrets/{name}"
        yield Thing(_address("google_secret_manager_secret.secret", name), Kind.SECRET, full, full)


def _gateway_things(wanted: Wanted) -> Iterator[Thing]:
    if wanted.provision.gateway is None:
        return
    config = f"{wanted.api_name}/configs/{wanted.config}"
    yield Thing(API, Kind.API, wanted.api_name, wanted.api_name)
    yield Thing(_address(CONFIG, wanted.config), Kind.CONFIG, config, config)
    yield Thing(GATEWAY, Kind.GATEWAY, wanted.gateway_name, wanted.gateway_name)
    if wanted.provision.has_key:
        yield Thing(wanted.key_address, Kind.KEY, wanted.key_name, wanted.key_name, wanted.title)
        secret = f"projects/{wanted.project}/secrets/{wanted.key_secret}"
        yield Thing(KEPT_IN, Kind.SECRET, secret, secret)


def openapi_of(state: Mapping[str, Resource]) -> bytes:
    """What the gateway serves that Terraform knows; b'' without one. Another config may be on its way in or out."""
    served = short(str(state[GATEWAY].values.get("api_config"))) if GATEWAY in state else ""
    configs = [each for address, each in state.items() if address.startswith(f"{CONFIG}[")]
    for config in sorted(configs, key=lambda each: each.values.get("api_config_id") != served):
        match config.values:
            case {"openapi_documents": [{"document": [{"contents": str(text)}, *_]}, *_]}:
                return base64.b64decode(text)
    return b""


def generation_in(state: Mapping[str, Resource]) -> int:
    """The newest of the key that is in the state; 0 without one. One that it follows may still be there."""
    keys = [each for address, each in state.items() if address.startswith(f"{KEY}[")]
    return max((provisioned.generation_of(str(each.values.get("name", ""))) for each in keys), default=0)


def by_name(state: Mapping[str, Resource]) -> Iterator[tuple[str, str]]:
    """Addresses as earlier states have them, with a number instead of the name; and as they are now."""
    key = state.get(f"{KEY}[0]")
    named = {CONFIG: state.get(f"{CONFIG}[0]"), KEY: key, VERSION: key}
    for address, said in named.items():
        if said is not None and f"{address}[0]" in state:
            name = short(str(said.values.get("api_config_id") or said.values.get("name")))
            yield f"{address}[0]", _address(address, name)


def short(name: str) -> str:
    """The last part of a name."""
    return name.rpartition("/")[2]


def _address(resource: str, key: str) -> str:
    return f"{resource}[{json.dumps(key)}]"
