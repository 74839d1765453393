"""API keys: which there are, and what they are restricted to; of the key itself only what nobody can print."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.cloud import api_keys_v2
from pydantic import SecretStr

from infra.gcp.calls.clients import call, client, delete, finish, read
from infra.gcp.calls.paging import each


@dataclass(frozen=True, slots=True)
class Key:
    """`name` is projects/{project}/locations/global/keys/{id}, with the project as it was asked for.

    deleted: since when; for 30 days it keeps its id and can be had back, with the same key string.
    services: the only APIs that it may be used with; any that the project has enabled if there are none.
    """

    name: str
    uid: str
    display_name: str
    deleted: datetime | None
    services: frozenset[str]
    created: datetime
    etag: str

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2]


async def get_key(project: str, key: str) -> Key | None:
    """A deleted one, too; None if there has been none for 30 days. Raises GoogleError, as all here."""
    method = client(api_keys_v2.ApiKeysAsyncClient).get_key
    found = await read("apikeys.keys.get", method, {"name": _name(project, key)})
    return None if found is None else _key(project, found)


async def key_string(project: str, key: str) -> SecretStr | None:
    """The key itself, to be held against what is kept of it; None if there is none."""
    method = client(api_keys_v2.ApiKeysAsyncClient).get_key_string
    found = await read("apikeys.keys.getKeyString", method, {"name": _name(project, key)})
    return None if found is None else SecretStr(found.key_string)


async def list_keys(project: str, *, deleted: bool = False) -> list[Key]:
    """By id; `deleted`: those that are deleted as well."""
    method = client(api_keys_v2.ApiKeysAsyncClient).list_keys
    request = {"parent": f"projects/{project}/locations/global", "show_deleted": deleted, "page_size": 300}
    return [_key(project, found) async for found in each("apikeys.keys.list", method, request, "keys")]


async def delete_key(name: str, etag: str, timeout_s: float) -> bool:
    """It can be had back for 30 days, with the same key string. False if it is gone; ABORTED if it has changed."""
    method = client(api_keys_v2.ApiKeysAsyncClient).delete_key
    return await delete("apikeys.keys.delete", method, {"name": name, "etag": etag}, timeout_s)


async def undelete_key(project: str, key: str, timeout_s: float) -> Key:
    """Has a deleted key back; FAILED_PRECONDITION if it is not deleted."""
    method = client(api_keys_v2.ApiKeysAsyncClient).undelete_key
    operation = await call("apikeys.keys.undelete", method, {"name": _name(project, key)})
    return _key(project, await finish("apikeys.keys.undelete", operation, timeout_s))


def _name(project: str, key: str) -> str:
    return f"projects/{project}/locations/global/keys/{key}"


def _key(project: str, found: Any) -> Key:
    """`found` is a message of either kind, wrapped or plain; Google's own name of it carries the project's number."""
    message = found if hasattr(found, "HasField") else type(found).pb(found)
    deleted = message.delete_time.ToDatetime(tzinfo=UTC) if message.HasField("delete_time") else None
    services = frozenset(target.service for target in message.restrictions.api_targets)
    return Key(
        _name(project, message.name.rpartition("/")[2]),
        message.uid,
        message.display_name,
        deleted,
        services,
        message.create_time.ToDatetime(tzinfo=UTC),
        message.etag,
    )
