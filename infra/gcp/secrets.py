"""Secret Manager: which secrets there are, and which version of one can be used. A payload is never answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud import secretmanager_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2
from pydantic import SecretStr

from infra.gcp.calls.clients import READ, call, client, read, unless_gone
from infra.gcp.calls.paging import each

NEWEST = 20  # of the versions that are looked into
ENABLED = secretmanager_v1.SecretVersion.State.ENABLED
DISABLED = secretmanager_v1.SecretVersion.State.DISABLED
DESTROYED = secretmanager_v1.SecretVersion.State.DESTROYED


@dataclass(frozen=True, slots=True)
class Secret:
    """`name` is projects/{project}/secrets/{id}, with the project as it was asked for."""

    name: str
    created: datetime
    labels: Mapping[str, str]
    aliases: frozenset[int]  # numbers of the versions that have one
    expires: bool
    etag: str


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """What is destroyed is none any more, though its number stays taken."""

    name: str  # {name of the secret}/versions/{number}
    number: int
    created: datetime
    enabled: bool
    destroyed: bool
    etag: str


def _full(project: str, secret: str) -> str:
    """The name of a secret of this project, or of another if it says so itself: projects/{project}/secrets/{id}."""
    return secret if secret.startswith("projects/") else f"projects/{project}/secrets/{secret}"


async def enabled_version(project: str, secret: str, version: int | None = None) -> int | None:
    """The number of that version, or of the newest enabled one; None if it is missing or not enabled."""
    api = client(secretmanager_v1.SecretManagerServiceAsyncClient)
    parent = _full(project, secret)
    if version is not None:
        found = await read(
            "secretmanager.versions.get", api.get_secret_version, {"name": f"{parent}/versions/{version}"}
        )
        return version if found is not None and found.state == ENABLED else None
    request = {"parent": parent, "filter": "state:ENABLED", "page_size": 1}
    pager = await read("secretmanager.versions.list", api.list_secret_versions, request)
    newest = next(iter(pager.versions), None) if pager is not None else None  # newest first
    return None if newest is None else int(newest.name.rsplit("/", 1)[1])


async def versions_that_say(project: str, secret: str, text: SecretStr) -> list[SecretVersion]:
    """The enabled versions whose data is just that, of the newest ones; newest first."""
    api = client(secretmanager_v1.SecretManagerServiceAsyncClient)
    request = {"parent": _full(project, secret), "filter": "state:ENABLED", "page_size": NEWEST}
    pager = await read("secretmanager.versions.list", api.list_secret_versions, request)
    saying = []
    for version in pager.versions if pager is not None else ():
        found = await read("secretmanager.versions.access", api.access_secret_version, {"name": version.name})
        if found is not None and found.payload.data == text.get_secret_value().encode():
            saying.append(_version(_full(project, secret), version))
    return saying


async def test_permissions(project: str, secret: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the secret."""
    name = _full(project, secret)
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=name, permissions=sorted(permissions))
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).test_iam_permissions
    return set((await call("secretmanager.secrets.testIamPermissions", method, request, retry=READ)).permissions)


async def labels(project: str, secret: str) -> dict[str, str] | None:
    """The secret's labels; None if there is no such secret."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).get_secret
    found = await read("secretmanager.secrets.get", method, {"name": _full(project, secret)})
    return None if found is None else dict(found.labels)


async def list_secrets(project: str) -> list[str]:
    """Short names."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).list_secrets
    found = each("secretmanager.secrets.list", method, {"parent": f"projects/{project}"}, "secrets")
    return [secret.name.rpartition("/")[2] async for secret in found]


async def find_secrets(project: str) -> list[Secret]:
    """Those of the global endpoint: regional secrets are kept apart, and Cloud Run knows none of them."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).list_secrets
    found = each("secretmanager.secrets.list", method, {"parent": f"projects/{project}"}, "secrets")
    return [_secret(project, secret) async for secret in found]


async def get_secret(name: str) -> Secret | None:
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).get_secret
    found = await read("secretmanager.secrets.get", method, {"name": name})
    return None if found is None else _secret(name.split("/")[1], found)


async def list_versions(secret: str) -> list[SecretVersion]:
    """Of a secret by its full name, also those that are destroyed; newest first."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).list_secret_versions
    found = each("secretmanager.versions.list", method, {"parent": secret}, "versions")
    return sorted([_version(secret, version) async for version in found], key=lambda version: -version.number)


async def get_version(name: str) -> SecretVersion | None:
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).get_secret_version
    found = await read("secretmanager.versions.get", method, {"name": name})
    return None if found is None else _version(name.partition("/versions/")[0], found)


async def disable_version(name: str, etag: str) -> bool:
    """Whoever reads it gets an error until it is enabled again. False if it is gone; ABORTED if it has changed."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).disable_secret_version
    return await unless_gone(call("secretmanager.versions.disable", method, {"name": name, "etag": etag}))


async def destroy_version(name: str, etag: str) -> bool:
    """For good, or for the secret's version_destroy_ttl. False if it is gone; ABORTED if it has changed."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).destroy_secret_version
    return await unless_gone(call("secretmanager.versions.destroy", method, {"name": name, "etag": etag}))


async def delete_secret(name: str, etag: str) -> bool:
    """With all its versions, for good. False if it is gone; ABORTED if it has changed."""
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).delete_secret
    return await unless_gone(call("secretmanager.secrets.delete", method, {"name": name, "etag": etag}))


async def policy(project: str, secret: str) -> dict[str, set[str]]:
    """The secret's own IAM policy: members by role. Conditional bindings are among them."""
    request = iam_policy_pb2.GetIamPolicyRequest(resource=_full(project, secret))
    request.options.requested_policy_version = 3  # https://cloud.google.com/iam/docs/policies#versions
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).get_iam_policy
    found: policy_pb2.Policy = await call("secretmanager.secrets.getIamPolicy", method, request, retry=READ)
    members: dict[str, set[str]] = {}
    for binding in found.bindings:
        members.setdefault(binding.role, set()).update(binding.members)
    return members


def _secret(project: str, found: Any) -> Secret:
    """Google's own name of it carries the project's number."""
    message = found if hasattr(found, "HasField") else type(found).pb(found)
    return Secret(
        _full(project, message.name.rpartition("/")[2]),
        message.create_time.ToDatetime(tzinfo=UTC),
        dict(message.labels),
        frozenset(message.version_aliases.values()),
        message.WhichOneof("expiration") is not None,
        message.etag,
    )


def _version(secret: str, found: Any) -> SecretVersion:
    message = found if hasattr(found, "HasField") else type(found).pb(found)
    number = message.name.rpartition("/")[2]
    return SecretVersion(
        f"{secret}/versions/{number}",
        int(number),
        message.create_time.ToDatetime(tzinfo=UTC),
        message.state == ENABLED,
        message.state == DESTROYED or message.HasField("scheduled_destroy_time"),
        message.etag,
    )
