"""Backups of Cloud SQL that somebody made by hand, or a release: those that are old and not among the newest.

What Cloud SQL makes by its schedule it takes away itself. A backup that is gone cannot be had back.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta

from infra.gcp import sql
from infra.gcp.sql import BackupRun
from tasks.cleanup.engine.model import Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Keys, Look, Reference
from tasks.cleanup.kinds.estate import EstateKind
from tasks.cleanup.kinds.sql_instances import TIMEOUT_S, all_instances
from tasks.failures.roles import Need
from tasks.names import resources
from tasks.names.labels import owner_of

SQL_BACKUP = Kind("sql backup")
GOOD = "SUCCESSFUL"
ENDED = frozenset({GOOD, "FAILED", "SKIPPED"})


class SqlBackups(EstateKind):
    kind = SQL_BACKUP
    assets = ("sqladmin.googleapis.com/BackupRun",)
    traits = Traits(standing=True)
    needs = (
        Need("cloudsql.backupRuns.list", "roles/cloudsql.viewer", "find old backups of databases"),
        Need("cloudsql.backupRuns.delete", "roles/cloudsql.admin", "retention.foreign.sql_backups is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [backup_item(each, look.app) for each in await look.once(all_backups(project)) if each.on_demand]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        """Of each instance the newest good ones stay, `keep` of them, and all that are younger than `max_age`."""
        return kept([each for each in await look.once(all_backups(project)) if each.on_demand], look)

    async def besides(self, project: str, look: Look) -> frozenset[str]:
        """What a schedule makes, which goes by it, too."""
        return frozenset(each.name for each in await look.once(all_backups(project)) if not each.on_demand)

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By full name, or the number alone, which a record may keep."""
        by_number: dict[str, list[str]] = {}
        for item in items:
            by_number.setdefault(resources.last(item.name), []).append(item.name)
        return lambda name: tuple(
            each for each in by_number.get(resources.last(name), ()) if "/" not in name or each == name
        )

    async def again(self, before: Item) -> Item | None:
        found = await sql.get_backup(before.name, before.labels)
        return None if found is None or not found.on_demand else backup_item(found, before.owner or "")

    async def delete(self, item: Item) -> bool:
        return await sql.delete_backup(item.name, TIMEOUT_S)


def kept(runs: Sequence[BackupRun], look: Look) -> Iterable[Claim]:
    retention = look.requests[0].manifest.retention
    since = look.clock() - timedelta(seconds=retention.max_age_s)
    groups: dict[str, list[BackupRun]] = {}
    for each in runs:
        groups.setdefault(each.name.partition("/backupRuns/")[0], []).append(each)
    for instance, some in groups.items():
        good = sorted((each for each in some if each.status == GOOD and each.at), key=lambda each: str(each.at))
        newest = tuple(Reference(SQL_BACKUP, each.name) for each in good[-retention.keep :])
        young = tuple(Reference(SQL_BACKUP, each.name) for each in some if each.at is None or each.at > since)
        yield Claim(f"{resources.last(instance)}, of which it is among the newest", newest)
        yield Claim(f"{resources.last(instance)}, of which it is younger than max_age", young)


def backup_item(found: BackupRun, app: str) -> Item:
    """It is its instance's app's."""
    return Item(
        SQL_BACKUP,
        found.name,
        "",
        owner_of(found.labels, app),
        found.at,
        labels=found.labels,
        etag=found.status,
        locked="" if found.status in ENDED else f"it is {found.status}",
    )


@functools.cache
def all_backups(project: str) -> Callable[[Look], Awaitable[Sequence[BackupRun]]]:
    """For `Look.once`. Raises GoogleError."""

    async def ask(look: Look) -> Sequence[BackupRun]:
        instances = await look.once(all_instances(project))
        found = await asyncio.gather(*(sql.list_backups(each) for each in instances))
        return [each for some in found for each in some]

    return ask
