"""Versions of secrets that no template, no release and no slipway.yaml names: disabled first, destroyed a week later.

`latest` is the version of the highest number whatever its state, so a secret's newest version is the secret's own and
goes only with it. So does the newest that is enabled, which the next release is pinned to, and whatever has an alias.
https://cloud.google.com/secret-manager/docs/creating-and-accessing-secrets
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from infra.gcp import secrets
from infra.gcp.secrets import Secret, SecretVersion
from tasks.cleanup.engine.model import Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Keys, Look, Reference
from tasks.cleanup.kinds.estate import EstateKind
from tasks.cleanup.kinds.secrets import (
    SETTLE_S,
    VIEWER,
    all_readers,
    all_secrets,
    defined,
    enabling,
    is_of,
    named_in,
    read_by,
)
from tasks.failures.roles import Need
from tasks.names import resources
from tasks.names.labels import owner_of

SECRET_VERSION = Kind("secret version")
DISABLE = Action("disable")
_MANAGER = "roles/secretmanager.secretVersionManager"


class SecretVersions(EstateKind):
    kind = SECRET_VERSION
    assets = ("secretmanager.googleapis.com/SecretVersion",)
    traits = Traits(standing=True, first=DISABLE, settle_s=SETTLE_S)
    dated_by_us = True
    needs = (
        Need("secretmanager.versions.get", VIEWER, "see whether a version of a secret is as it was planned"),
        Need("secretmanager.versions.disable", _MANAGER, "retention.foreign.secret_versions is delete"),
        Need("secretmanager.versions.destroy", _MANAGER, "retention.foreign.secret_versions is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        """Where versions are judged at all they go before their secret; what is the secret's own does not hold it."""
        found = []
        for secret, versions in await look.once(all_secrets(project)):
            own = own_versions(secret, versions)
            holding = (secret.name,) if self.goes(look) else ()
            found += [
                version_item(secret, each, look, () if each.number in own else holding)
                for each in versions
                if not each.destroyed
            ]
        return found

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        known = await look.once(all_secrets(project))
        own = (
            Claim(
                f"secret {resources.last(secret.name)}, whose newest it is, or by an alias",
                tuple(Reference(SECRET_VERSION, f"{secret.name}/versions/{n}") for n in own_versions(secret, versions)),
            )
            for secret, versions in known
        )
        return (*own, *read_by(await look.once(all_readers(project)), SECRET_VERSION))

    def claims(self, look: Look) -> Iterable[Claim]:
        return defined(look, SECRET_VERSION)

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By full name, or any text that has one; `latest` and aliases are a secret's own."""
        by_id: dict[tuple[str, str], list[str]] = {}
        for item in items:
            parts = resources.parts(item.name)
            by_id.setdefault((parts["secrets"], parts["versions"]), []).append(item.name)
        return lambda text: tuple(
            name
            for project, secret, version in named_in(text)
            for name in by_id.get((secret, version), ())
            if is_of(project, name.split("/")[1])
        )

    async def besides(self, project: str, look: Look) -> frozenset[str]:
        """A version that is destroyed keeps its number for ever."""
        known = await look.once(all_secrets(project))
        return frozenset(each.name for _, versions in known for each in versions if each.destroyed)

    async def again(self, before: Item) -> Item | None:
        found = await secrets.get_version(before.name)
        if found is None or found.destroyed:
            return None
        prepared = None if found.enabled else before.prepared
        return replace(before, uploaded=found.created, etag=found.etag, prepared=prepared)

    async def first(self, item: Item) -> bool:
        found = await secrets.get_version(item.name)
        if found is None or found.destroyed:
            return False
        return not found.enabled or await secrets.disable_version(item.name, item.etag)

    async def delete(self, item: Item) -> bool:
        return await secrets.destroy_version(item.name, item.etag)

    def named(self, asset: str, project: str) -> str:
        return "" if "/locations/" in asset else super().named(asset, project)

    def undo_first(self, item: Item) -> str:
        secret, _, number = item.name.partition("/versions/")
        return enabling(secret, number)


def own_versions(secret: Secret, versions: Sequence[SecretVersion]) -> frozenset[int]:
    """Numbers of those that a secret cannot do without: its newest, its newest enabled, and all with an alias."""
    newest = [each.number for each in versions[:1]]
    enabled = [each.number for each in versions if each.enabled][:1]
    return frozenset((*newest, *enabled, *secret.aliases))


def version_item(secret: Secret, version: SecretVersion, look: Look, needs: tuple[str, ...]) -> Item:
    """Whoever protects a secret protects its versions. What has an expiry goes with it."""
    return Item(
        SECRET_VERSION,
        version.name,
        "",
        owner_of(secret.labels, look.app),
        version.created,
        needs=needs,
        tags=(secret.name,),
        labels=secret.labels,
        etag=version.etag,
        prepared=None if version.enabled else look.memory.taken.get(version.name),
    )
