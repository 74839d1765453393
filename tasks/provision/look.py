"""What is really there, asked of Google itself, name by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from infra.gcp import apigateway, apikeys, project, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.iam import accounts
from infra.gcp.run import services
from infra.gcp.secrets import SecretVersion
from infra.gcp.storage import buckets
from tasks.model import Request
from tasks.names import resources
from tasks.orchestration.gather import all_of
from tasks.provision.adopt import Found
from tasks.provision.wanted import Kind, Thing, Wanted

SETTLED_AFTER_S = 1200.0  # https://registry.terraform.io/providers/hashicorp/google-beta/latest/docs/resources/api_gateway_gateway#timeouts
T = TypeVar("T")
CHANGING = ("CREATING", "UPDATING")
POLL_S = 2.0


async def look(things: tuple[Thing, ...], limit_s: float = SETTLED_AFTER_S) -> tuple[Found, ...]:
    """Those that are there, once nobody is at work on any. What is of an API that is off, is not there.

    A gateway does not take a config that is still being made, so that a run which was killed is waited for.
    Raises TimeoutError.
    """
    return await until(
        lambda: _look(things),
        lambda found: not any(each.is_at_work for each in found),
        limit_s=limit_s,
        pause_s=1.0,
        longest_s=10.0,
    )


async def _look(things: tuple[Thing, ...]) -> tuple[Found, ...]:
    found = await all_of([unless_off(_LOOKS[each.kind](each)) for each in things])
    return tuple(each for each in found if each is not None)


async def next_generation(wanted: Wanted, known: int) -> int:
    """Of the key: the known one, or the first after it whose name no deleted key still has."""
    generation = max(1, known)
    while wanted.provision.has_key and await _is_deleted(wanted.with_generation(generation).key_name):
        generation += 1
    return generation


async def _is_deleted(name: str) -> bool:
    key = await unless_off(_key_called(name))
    return key is not None and key.deleted is not None


async def _key_called(name: str) -> apikeys.Key | None:
    ids = resources.parts(name)
    return await apikeys.get_key(ids["projects"], ids["keys"])


async def _account(thing: Thing) -> Found | None:
    found = await accounts.get_account(thing.name)
    return None if found is None else Found(thing, {}, found.display_name)


async def _bucket(thing: Thing) -> Found | None:
    """One of another project is none that Terraform could take over; it says so itself."""
    found = await buckets.get_bucket(thing.name)
    return None if found is None else Found(thing, found.labels)


async def _secret(thing: Thing) -> Found | None:
    found = await secrets.labels(resources.parts(thing.name)["projects"], thing.name)
    return None if found is None else Found(thing, found)


async def _api(thing: Thing) -> Found | None:
    ids = resources.parts(thing.name)
    found = await apigateway.get_api(ids["projects"], ids["apis"])
    return None if found is None else Found(thing, found.labels, state=found.state)


async def _config(thing: Thing) -> Found | None:
    ids = resources.parts(thing.name)
    found = await apigateway.get_config(ids["projects"], ids["apis"], ids["configs"])
    return None if found is None else Found(thing, found.labels, state=found.state)


async def _gateway(thing: Thing) -> Found | None:
    ids = resources.parts(thing.name)
    found = await apigateway.get_gateway(ids["projects"], ids["locations"], ids["gateways"])
    return None if found is None else Found(thing, found.labels, state=found.state)


async def _key(thing: Thing) -> Found | None:
    found = await _key_called(thing.name)
    return None if found is None or found.deleted else Found(thing, {}, found.display_name)


_LOOKS: Mapping[Kind, Callable[[Thing], Awaitable[Found | None]]] = {
    Kind.ACCOUNT: _account,
    Kind.BUCKET: _bucket,
    Kind.SECRET: _secret,
    Kind.API: _api,
    Kind.CONFIG: _config,
    Kind.GATEWAY: _gateway,
    Kind.KEY: _key,
}


@dataclass(frozen=True, slots=True)
class Live:
    """What the outputs are held against; '' or nothing for what is not there, `wrong` says why."""

    gateway_url: str = ""
    managed_service: str = ""
    key_version: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    buckets: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)  # by output


async def look_live(request: Request, wanted: Wanted, patience_s: float = 0.0) -> Live:
    """All of it at once; what could not be asked is told as missing, with Google's reason.

    patience_s: how long to wait for a gateway that is just being made.
    """
    wrong: dict[str, str] = {}

    async def asked(name: str, work: Awaitable[Seen]) -> str:
        try:
            seen = await work
        except (GoogleError, TimeoutError) as error:
            seen = Seen(why=str(error))
        if seen.why:
            wrong[name] = seen.why
        return seen.value

    works = _works(request, wanted, patience_s)
    values = dict(zip(works, await all_of([asked(name, work) for name, work in works.items()]), strict=True))
    return Live(
        values.get("gateway_url", ""),
        values.get("managed_service", ""),
        values.get("key", ""),
        **{f"{kind}s": _of(kind, values) for kind in ("service", "account", "bucket", "secret")},
        wrong=wrong,
    )


def _works(request: Request, wanted: Wanted, patience_s: float) -> dict[str, Awaitable[Seen]]:
    """By output: who looks for it."""
    said = wanted.provision
    account_names = {each: wanted.account(each) for each in said.accounts}
    names = {
        "gateway_url": (_gateway_url(wanted, patience_s) if said.gateway else None),
        "managed_service": (_managed(wanted) if said.gateway else None),
        "key": (_kept_key(wanted) if said.has_key else None),
        **{f"service {place}": _service_url(request.run_service(place)) for place in request.places},
        **{f"account {key}": _is_account(wanted.project, email) for key, email in account_names.items()},
        **{f"bucket {key}": _is_bucket(wanted.bucket(key)) for key in said.buckets},
        **{f"secret {key}": _is_secret(wanted.project, key) for key in said.secrets},
    }
    return {name: work for name, work in names.items() if work is not None}


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there, or why it is not, or not as it must be."""

    value: str = ""
    why: str = ""


def _of(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(f"{kind} "): value for name, value in values.items() if name.startswith(f"{kind} ")}


async def _gateway_url(wanted: Wanted, patience_s: float) -> Seen:
    """By its name, else the one gateway that the API has."""
    found = await _settled_gateway(wanted, patience_s)
    if found is None:
        others = await apigateway.gateways_of(wanted.project, wanted.gateway)
        if len(others) != 1:
            return Seen(why=f"there is no gateway {wanted.gateway_name}")
        found = others[0]
    if not found.active or not found.url:
        return Seen(why=f"gateway {found.name} is {found.state}")
    return Seen(found.url)


async def _settled_gateway(wanted: Wanted, patience_s: float) -> apigateway.Gateway | None:
    """As it is once nothing is being done to it any more, or when that takes too long."""

    async def ask() -> apigateway.Gateway | None:
        return await apigateway.get_gateway(wanted.project, wanted.region, wanted.gateway)

    with suppress(TimeoutError):
        return await until(
            ask, lambda gateway: gateway is None or gateway.state not in CHANGING, limit_s=patience_s, pause_s=POLL_S
        )
    return await ask()


async def _managed(wanted: Wanted) -> Seen:
    found = await apigateway.get_api(wanted.project, wanted.gateway)
    if found is None:
        return Seen(why=f"there is no API {wanted.api_name}")
    if not await project.enabled_apis(wanted.project, [found.managed_service]):
        return Seen(why=f"{found.managed_service} is not enabled, so the gateway refuses every key")
    return Seen(found.managed_service)


async def _kept_key(wanted: Wanted) -> Seen:
    """Where the key is kept. The key itself is nobody's to read here."""
    key = await _key_called(wanted.key_name)
    if key is None or key.deleted:
        return Seen(why=f"the key {wanted.key_name} {'was deleted' if key else 'is not there'}")
    secret, version = wanted.key_secret, await version_of_key(wanted)
    if version is None:
        return Seen(why=f"the secret {secret} has no enabled version that holds the key")
    return Seen(f"projects/{wanted.project}/secrets/{secret}/versions/{version}")


async def version_of_key(wanted: Wanted) -> int | None:
    """Of the secret that the key is kept in: the one that says just this key; None without either.

    The newest enabled one, unseen, where the caller may not read it.
    """
    try:
        seen = await versions_seen(wanted)
        return seen[0].number if seen else None
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        return await secrets.enabled_version(wanted.project, wanted.key_secret)


async def versions_seen(wanted: Wanted) -> list[SecretVersion]:
    """All that say just this key, newest first. Raises GoogleError PERMISSION_DENIED where the caller may not read."""
    ids = resources.parts(wanted.key_name)
    text = await apikeys.key_string(ids["projects"], ids["keys"])
    return await secrets.versions_that_say(wanted.project, wanted.key_secret, text) if text else []


async def _service_url(name: str) -> Seen:
    found = await services.get_service(name)
    if found is None:
        return Seen(why="it was not deployed yet")
    return Seen(found.uri)


async def _is_account(project_id: str, email: str) -> Seen:
    found = await accounts.get_account(f"projects/{project_id}/serviceAccounts/{email}")
    if found is None or found.disabled:
        return Seen(why=f"service account {email} {'is disabled' if found else 'is not there'}")
    return Seen(found.email)


async def _is_bucket(name: str) -> Seen:
    if await buckets.get_bucket(name) is None:
        return Seen(why=f"bucket {name} is not there")
    return Seen(name)


async def _is_secret(project_id: str, name: str) -> Seen:
    if await secrets.labels(project_id, name) is None:
        return Seen(why=f"secret {name} is not there")
    return Seen(f"projects/{project_id}/secrets/{name}")


async def unless_off(work: Awaitable[T | None]) -> T | None:
    """None where the API is not enabled: nothing of it is there."""
    try:
        return await work
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return None
        raise
