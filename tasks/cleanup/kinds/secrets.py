"""Secrets that no template, no release and no slipway.yaml names: disabled first, for a week, as enabling undoes that.

Whoever still reads a disabled version fails at once and says so. A delete takes all versions along, for good.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from infra.gcp import builds, functions, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import regions
from infra.gcp.secrets import Secret, SecretVersion
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import AT_ONCE, Claim, Keys, Look, Reference, refuse_another
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.failures.roles import Need
from tasks.manifest.values import SecretRef
from tasks.model import Request
from tasks.names import provisioned, resources
from tasks.names.labels import owner_of

SECRET = Kind("secret")
DISABLE_ALL = Action("disable all versions")
SETTLE_S = 7 * DAY_S
VIEWER = "roles/secretmanager.viewer"
_FULL = re.compile(r"projects/([^/\s]+)/secrets/([\w-]+)(?:/versions/([\w-]+))?")
_SHORT = re.compile(r"[\w-]{1,255}")
RECENT = timedelta(days=90)
Readers = Mapping[str, Sequence[str]]  # by whom, in words: what they say, which may name a secret
Known = Sequence[tuple[Secret, Sequence[SecretVersion]]]


class Secrets(EstateKind):
    kind = SECRET
    assets = ("secretmanager.googleapis.com/Secret",)
    traits = Traits(standing=True, first=DISABLE_ALL, settle_s=SETTLE_S)
    dated_by_us = True
    needs = (
        Need("secretmanager.secrets.list", VIEWER, "find secrets that nothing names"),
        Need("secretmanager.versions.list", VIEWER, "find secrets that nothing names"),
        Need("cloudbuild.builds.list", "roles/cloudbuild.builds.editor", "see which secrets builds read"),
        Need(
            "cloudbuild.connections.list", "roles/cloudbuild.connectionViewer", "see which secrets git connections read"
        ),
        Need("cloudfunctions.functions.list", "roles/cloudfunctions.viewer", "see which secrets functions read"),
        Need("cloudasset.assets.searchAllResources", "roles/cloudasset.viewer", "see whether lists lack anything"),
        Need("secretmanager.secrets.delete", "roles/secretmanager.admin", "retention.foreign.secrets is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [secret_item(*each, look) for each in await look.once(all_secrets(project))]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        return read_by(await look.once(all_readers(project)), SECRET)

    def claims(self, look: Look) -> Iterable[Claim]:
        return defined(look, SECRET)

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By full name, with or without a version, or by any text that has one or may be a short one."""
        by_id: dict[str, list[str]] = {}
        for item in items:
            by_id.setdefault(resources.last(item.name), []).append(item.name)
        return lambda text: tuple(
            name
            for project, secret, _ in named_in(text)
            for name in by_id.get(secret, ())
            if is_of(project, name.split("/")[1])
        )

    async def again(self, before: Item) -> Item | None:
        found = await _read(before.name)
        if found is None:
            return None
        secret, versions = found
        return replace(
            before,
            labels=secret.labels,
            uploaded=_touched(secret, versions),
            etag=_state(secret, versions),
            prepared=None if any(each.enabled for each in versions) else before.prepared,
        )

    async def first(self, item: Item) -> bool:
        found = await _as_planned(item)
        for each in found[1] if found else ():
            if each.enabled:
                await secrets.disable_version(each.name, each.etag)
        return found is not None

    async def delete(self, item: Item) -> bool:
        found = await _as_planned(item)
        return found is not None and await secrets.delete_secret(item.name, found[0].etag)

    def named(self, asset: str, project: str) -> str:
        """Regional secrets have an endpoint of their own, and nothing here lists them."""
        return "" if "/locations/" in asset else super().named(asset, project)

    def undo_first(self, item: Item) -> str:
        return enabling(item.name, "NUMBER")


def secret_item(secret: Secret, versions: Sequence[SecretVersion], look: Look) -> Item:
    """No API tells when a version was disabled, or by whom: what counts is when clean-up has disabled them all.

    Whoever protects a version protects its secret; whoever has added one of late still uses it.
    """
    off = not any(each.enabled for each in versions)
    return Item(
        SECRET,
        secret.name,
        "",
        owner_of(secret.labels, look.app),
        _touched(secret, versions),
        labels=secret.labels,
        tags=tuple(each.name for each in versions if not each.destroyed),
        etag=_state(secret, versions),
        locked="it goes by itself" if secret.expires else "",
        prepared=look.memory.taken.get(secret.name) if off else None,
    )


@functools.cache
def all_secrets(project: str) -> Callable[[Look], Awaitable[Known]]:
    """For `Look.once`: every secret of the project, each with all its versions, newest first. Raises GoogleError."""
    return asked(_all, project)


async def _all(project: str) -> Known:
    gate = asyncio.Semaphore(AT_ONCE)

    async def with_versions(secret: Secret) -> tuple[Secret, Sequence[SecretVersion]]:
        async with gate:
            return secret, await secrets.list_versions(secret.name)

    return await asyncio.gather(*(with_versions(each) for each in await secrets.find_secrets(project)))


@functools.cache
def all_readers(project: str) -> Callable[[Look], Awaitable[Readers]]:
    """For `Look.once`: all texts in each build trigger, where Cloud Build of the environments is, what builds there
    have read of late, what functions read, and connections to git hosts; by whom. Raises GoogleError.
    """

    async def ask(look: Look) -> Readers:
        own = (request for request in look.requests if request.project == project)
        places = {"global", *(place for each in own for place in (each.build_region, *each.settings.regions))}
        asking = (_building(project, place, look.clock() - RECENT) for place in sorted(places))
        found = await asyncio.gather(*map(_unless_off, (*asking, _functions(project), _connections(project))))
        return {name: texts for each in found for name, texts in each.items()}

    return ask


async def _building(project: str, place: str, since: datetime) -> Readers:
    """A trigger may lead to a file in a repository, which nobody here has read: its builds tell."""
    triggers, read = await asyncio.gather(
        builds.trigger_texts(project, place), builds.secrets_read(project, place, since)
    )
    return {**{f"build trigger {name}": texts for name, texts in triggers.items()}, f"builds in {place}": read}


async def _functions(project: str) -> Readers:
    return {f"function {resources.last(name)}": texts for name, texts in (await functions.told(project)).items()}


async def _connections(project: str) -> Readers:
    """To git hosts, wherever somebody has made them: Cloud Build itself reads their tokens, and no build does."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def within(region: str) -> Readers:
        async with gate:
            found = await builds.connection_texts(project, region)
        return {f"connection {name} in {region}": texts for name, texts in found.items()}

    found = await asyncio.gather(*map(within, await regions.list_regions(project)))
    return {name: texts for each in found for name, texts in each.items()}


async def _unless_off(asked: Awaitable[Readers]) -> Readers:
    try:
        return await asked
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return {}
        raise


def read_by(readers: Readers, kind: Kind) -> Iterable[Claim]:
    """Whatever in one of them may be the name of a secret is one."""
    return (Claim(by, tuple(Reference(kind, text) for text in texts)) for by, texts in readers.items())


def defined(look: Look, kind: Kind) -> Iterable[Claim]:
    """What slipway.yaml names for any environment, with the secret that a provisioned gateway's key is in."""
    for request in look.requests:
        references = {ref for part in request.parts for ref in (*part.secret_refs, *part.build_secrets)}
        made = request.settings.provision.secrets if request.settings.provision else {}
        own = (*made, provisioned.key_secret(request.app, request.environment))
        names = {*map(SecretRef, own), *references}
        yield Claim("slipway.yaml", tuple(Reference(kind, full(request, each)) for each in sorted(names, key=str)))


def full(request: Request, reference: SecretRef) -> str:
    project, name = reference.place(request.project)
    return f"projects/{project}/secrets/{name}/versions/{reference.version or 'latest'}"


def named_in(text: str) -> Iterable[tuple[str, str, str]]:
    """(project, secret, version) of each secret that a text may name; '' for what it does not say."""
    if _SHORT.fullmatch(text):
        return (("", text, ""),)
    return _FULL.findall(text)


def is_of(said: str, project: str) -> bool:
    """Whether the project that a name says may be this one; numbers are not looked up, but taken for any."""
    return said in ("", project) or said.isdigit()


def enabling(secret: str, number: str) -> str:
    parts = resources.parts(secret)
    return f"gcloud secrets versions enable {number} --secret={parts['secrets']} --project={parts['projects']}"


async def _read(name: str) -> tuple[Secret, Sequence[SecretVersion]] | None:
    secret = await secrets.get_secret(name)
    return None if secret is None else (secret, await secrets.list_versions(name))


async def _as_planned(item: Item) -> tuple[Secret, Sequence[SecretVersion]] | None:
    """None if it is gone. Raises GoogleError ABORTED if it has got another version, or was changed."""
    found = await _read(item.name)
    if found is not None:
        refuse_another(item, _touched(*found), _state(*found))
    return found


def _touched(secret: Secret, versions: Sequence[SecretVersion]) -> datetime:
    """When somebody has made it or given it another version."""
    return max((secret.created, *(each.created for each in versions[:1])))


def _state(secret: Secret, versions: Sequence[SecretVersion]) -> str:
    """The etag of a secret says nothing of its versions."""
    return f"{secret.etag} {versions[0].number if versions else 0}"
