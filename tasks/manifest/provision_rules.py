"""The rules of slipway.yaml about what Terraform makes that concern more than one of its values. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.manifest.document import Flaw, Path
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.provision import GATEWAY_REGIONS, Provision
from tasks.names import provisioned


def provision_flaws(manifest: Manifest) -> Iterator[Flaw]:
    """What is wrong in single environments, and between those that share a project."""
    taken: dict[tuple[str, str, str], str] = {}
    for environment in manifest.environments.values():
        if environment.provision is None:
            continue
        path = ("environments", environment.name, "provision")
        yield from _gateway(path, environment, environment.provision)
        yield from _buckets(path, manifest.app, environment, environment.provision)
        key_secret = provisioned.key_secret(manifest.app, environment.name)
        if environment.provision.has_key and key_secret in environment.provision.secrets:
            yield Flaw((*path, "secrets"), f"{key_secret} is made already: the gateway's key is kept in it")
        for kind, names in _names(manifest.app, environment, environment.provision).items():
            for key, name in names.items():
                project = "" if kind == "buckets" else environment.project  # nobody else has a bucket of that name
                other = taken.setdefault((project, kind, name), environment.name)
                if other != environment.name:
                    yield Flaw((*path, kind, key), f"{name} is made by the environment {other} already")


def _gateway(path: Path, environment: Environment, provision: Provision) -> Iterator[Flaw]:
    gateway = provision.gateway
    if gateway is None:
        return
    region = gateway.region or environment.regions[0]
    if region not in GATEWAY_REGIONS:
        place = (*path, "gateway", "region") if gateway.region else (*path, "gateway")
        yield Flaw(place, f"there is no API Gateway in {region}; give it a region of {', '.join(GATEWAY_REGIONS)}")
    if gateway.service_account is None and environment.service_account is None:
        text = "must say with service_account as whom it calls the services, as this environment has none for all"
        yield Flaw((*path, "gateway"), text)


def _buckets(path: Path, app: str, environment: Environment, provision: Provision) -> Iterator[Flaw]:
    """https://cloud.google.com/storage/docs/buckets#naming"""
    for key, name in _names(app, environment, provision)["buckets"].items():
        if len(name) > provisioned.BUCKET_LIMIT:
            text = f"{name} has {len(name)} characters, and a bucket's name at most {provisioned.BUCKET_LIMIT}"
            yield Flaw((*path, "buckets", key), f"{text}; give it a `name`")
        if name == environment.bucket:
            yield Flaw((*path, "buckets", key), f"{name} holds Slipway's own records, and Terraform's state")


def _names(app: str, environment: Environment, provision: Provision) -> dict[str, dict[str, str]]:
    buckets = {
        key: (settings and settings.name) or provisioned.bucket_name(environment.project, app, key)
        for key, settings in provision.buckets.items()
    }
    return {
        "accounts": {name: name for name in provision.accounts},
        "secrets": {name: name for name in provision.secrets},
        "buckets": buckets,
    }
