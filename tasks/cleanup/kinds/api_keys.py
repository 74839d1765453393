"""API keys with which nobody has called anything for a month. Deleting one is its own first step: it can be undone.

https://cloud.google.com/docs/authentication/api-keys#undelete-key: for 30 days, with the same key string.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.gcp import apigateway, apikeys, monitoring
from infra.gcp.apikeys import Key
from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Keys, Look, Reference
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.failures.roles import Need
from tasks.names import provisioned, resources

API_KEY = Kind("api key")
QUIET = timedelta(days=30)
# https://cloud.google.com/monitoring/api/metrics_gcp_p_z#gcp-serviceruntime, resource consumed_api
REQUESTS = "serviceruntime.googleapis.com/api/request_count"
MADE_BY_GOOGLE = "auto created by"  # Firebase's and Maps' own: https://firebase.google.com/docs/projects/api-keys


class ApiKeys(EstateKind):
    kind = API_KEY
    assets = ("apikeys.googleapis.com/Key",)
    traits = Traits(standing=True)
    needs = (
        Need("apikeys.keys.list", "roles/serviceusage.apiKeysViewer", "find API keys that nobody uses"),
        Need("apikeys.keys.delete", "roles/serviceusage.apiKeysAdmin", "retention.foreign.api_keys is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [key_item(each) for each in await look.once(all_keys(project))]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        found, gateways = await look.once(all_keys(project)), await _gateways(project)
        users = await asyncio.gather(*(_user(each, gateways, look) for each in found))
        return [Claim(by, (Reference(API_KEY, each.name),)) for each, by in zip(found, users, strict=True) if by]

    def claims(self, look: Look) -> Iterable[Claim]:
        """The keys of provisioned gateways, of every generation: the provision flow takes the old ones away."""
        for request in look.requests:
            name = f"projects/{request.project}/locations/global/keys/"
            start = provisioned.key_id(request.app, request.environment, 0).removesuffix("0")
            yield Claim("slipway.yaml, as the key of its gateway", (Reference(API_KEY, f"{name}{start}"),))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By full name, or by the start of one, up to the number of its generation."""
        names = [item.name for item in items]
        return lambda start: tuple(
            each for each in names if each.startswith(start) and (each == start or each[len(start) :].isdigit())
        )

    async def again(self, before: Item) -> Item | None:
        found = await apikeys.get_key(*_split(before.name))
        if found is None or found.deleted is not None:
            return None
        return replace(before, uploaded=found.created, etag=found.etag)

    async def delete(self, item: Item) -> bool:
        return await apikeys.delete_key(item.name, item.etag, TIMEOUT_S)

    def undo_delete(self, item: Item) -> str:
        project, key = _split(item.name)
        return f"gcloud services api-keys undelete {key} --project={project} (within 30 days)"


def key_item(key: Key) -> Item:
    """Keys carry no labels, so each is foreign, whoever made it."""
    locked = "Google's own" if MADE_BY_GOOGLE in key.display_name else ""
    return Item(API_KEY, key.name, "", owner=None, uploaded=key.created, etag=key.etag, locked=locked)


@functools.cache
def all_keys(project: str) -> Callable[[Look], Awaitable[Sequence[Key]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(apikeys.list_keys, project)


async def _gateways(project: str) -> frozenset[str]:
    """The managed services of the project's API Gateways, which keys are restricted to. Raises GoogleError."""
    try:
        return frozenset(each.managed_service for each in await apigateway.list_apis(project))
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return frozenset()
        raise


async def _user(key: Key, gateways: Collection[str], look: Look) -> str:
    """Who uses it: '' where nobody has called with it for long and it opens no gateway."""
    if opened := sorted(key.services & set(gateways)):
        return f"whoever calls the gateway of {opened[0]}"
    project = key.name.split("/")[1]
    if opened := sorted(each for each in key.services if is_anothers(each, project)):
        return f"whoever calls {opened[0]}"
    now, labels = look.clock(), {"resource.labels.credential_id": f"apikey:{key.uid}"}
    try:
        count = await monitoring.most(project, REQUESTS, labels, now - QUIET, now, counts=True)
    except GoogleError as error:
        return f"whoever calls with it, which cannot be told ({error.status})"
    return f"whoever called with it {count} times on a day of the last {QUIET.days}" if count else ""


def is_anothers(service: str, project: str) -> bool:
    """Whether a key that opens only that opens what another project serves, and what nobody here can list.

    Names are API-HASH.apigateway.PROJECT.cloud.goog, or API.endpoints.PROJECT.cloud.goog.
    """
    name, of_a_project, _ = service.partition(".cloud.goog")
    return bool(of_a_project) and name.rpartition(".")[2] != project


def _split(name: str) -> tuple[str, str]:
    """(project, key)"""
    return name.split("/")[1], resources.last(name)
