"""Cloud SQL instances that no template names and nobody has connected to for a month: stopped first, for a week.

Starting one undoes that. The delete makes a last backup, which stays for 30 days; the name is taken for a week.
https://cloud.google.com/sql/docs/mysql/delete-instance
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.gcp import monitoring, sql
from infra.gcp.calls.errors import GoogleError
from infra.gcp.sql import FINAL_BACKUP_DAYS, Instance
from tasks.backup.databases import instances as backed_up
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Keys, Look, Reference, refuse_another
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.failures.roles import Need
from tasks.names import resources
from tasks.names.labels import owner_of

SQL_INSTANCE = Kind("sql instance")
STOP = Action("stop")
QUIET = timedelta(days=30)
TIMEOUT_S = 1800.0  # a last backup takes its time
READY = "RUNNABLE"
# https://cloud.google.com/monitoring/api/metrics_gcp_c#gcp-cloudsql: the first of MySQL and SQL Server
CONNECTIONS = (
    "cloudsql.googleapis.com/database/network/connections",
    "cloudsql.googleapis.com/database/postgresql/num_backends",
)
_CONNECTION = re.compile(r"(?:[a-z0-9.-]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+")  # project:region:instance
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)+\.sql(?:-psa|-psc)?\.goog")

FORMS = (_CONNECTION, _ADDRESS, _HOST)


class SqlInstances(EstateKind):
    kind = SQL_INSTANCE
    assets = ("sqladmin.googleapis.com/Instance",)
    traits = Traits(standing=True, first=STOP, settle_s=7 * DAY_S)
    dated_by_us = True
    needs = (
        Need("cloudsql.instances.list", "roles/cloudsql.viewer", "find databases that nobody uses"),
        Need("cloudsql.instances.update", "roles/cloudsql.editor", "retention.foreign.sql_instances is delete"),
        Need("cloudsql.instances.delete", "roles/cloudsql.admin", "retention.foreign.sql_instances is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [instance_item(each, look) for each in await look.once(all_instances(project))]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        found = await look.once(connected(project))
        return [Claim(by, (Reference(SQL_INSTANCE, name),)) for name, by in found.items() if by]

    def claims(self, look: Look) -> Iterable[Claim]:
        for request in look.requests:
            names = {name for part in request.parts for name in part.cloudsql_instances}
            if rules := request.settings.backup:
                names |= set(backed_up(request, rules))
            yield Claim("slipway.yaml", tuple(Reference(SQL_INSTANCE, name) for name in sorted(names)))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By project:region:instance, address or DNS name, in any text: URLs of databases have one of them."""
        called: dict[str, str] = {}
        for item in items:
            called |= dict.fromkeys(item.tags, item.key)
        called |= {item.name: item.key for item in items}
        return lambda text: tuple(
            called[each] for each in (text, *(word for form in FORMS for word in form.findall(text))) if each in called
        )

    async def again(self, before: Item) -> Item | None:
        found = await sql.get_instance(before.name)
        if found is None:
            return None
        return replace(
            before,
            labels=found.labels,
            uploaded=found.created,
            etag=found.version,
            locked=locked(found),
            prepared=None if found.runs else before.prepared,
        )

    async def first(self, item: Item) -> bool:
        found = await self._as_planned(item)
        if found is None:
            return False
        return not found.runs or await sql.stop_instance(item.name, item.etag, TIMEOUT_S)

    async def delete(self, item: Item) -> bool:
        """Google knows no precondition for it: what was read a moment ago has to do."""
        return await self._as_planned(item) is not None and await sql.delete_instance(item.name, TIMEOUT_S)

    async def _as_planned(self, item: Item) -> Instance | None:
        """None if it is gone. Raises GoogleError ABORTED if it was changed."""
        found = await sql.get_instance(item.name)
        if found is not None:
            refuse_another(item, found.created, found.version)
        return found

    def named(self, asset: str, project: str) -> str:
        return f"projects/{project}/instances/{resources.last(asset)}"

    def undo_first(self, item: Item) -> str:
        project, name = item.name.split("/")[1], resources.last(item.name)
        return f"gcloud sql instances patch {name} --activation-policy=ALWAYS --project={project}"

    def undo_delete(self, item: Item) -> str:
        project, name = item.name.split("/")[1], resources.last(item.name)
        return (
            f"gcloud sql backups restore BACKUP --restore-instance={name}-again --project={project}, with its "
            f"final backup, which stays for {FINAL_BACKUP_DAYS} days"
        )


def instance_item(found: Instance, look: Look) -> Item:
    """No API tells when an instance was stopped, or by whom: what counts is when clean-up has done it."""
    return Item(
        SQL_INSTANCE,
        found.name,
        "",
        owner_of(found.labels, look.app),
        found.created,
        tags=tuple(filter(None, (found.connection, *found.addresses, *found.hosts))),
        labels=found.labels,
        etag=found.version,
        locked=locked(found),
        prepared=None if found.runs else look.memory.taken.get(found.name),
    )


def locked(found: Instance) -> str:
    if found.protected:
        return "its deletion protection is on"
    if found.replicas:
        return f"it has replicas: {', '.join(found.replicas)}"
    if found.primary:  # to which nobody may connect until the day that the other fails
        return f"it is a replica of {found.primary}"
    return "" if found.state == READY else f"it is {found.state}"


@functools.cache
def all_instances(project: str) -> Callable[[Look], Awaitable[Sequence[Instance]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(sql.list_instances, project)


@functools.cache
def connected(project: str) -> Callable[[Look], Awaitable[Mapping[str, str]]]:
    """For `Look.once`: by full name of an instance, who stays connected."""

    async def ask(look: Look) -> Mapping[str, str]:
        found = await look.once(all_instances(project))
        used = await asyncio.gather(*(_connected(each, look) for each in found))
        return {each.name: why for each, why in zip(found, used, strict=True)}

    return ask


async def _connected(found: Instance, look: Look) -> str:
    """Who stays connected: '' if nobody is known to have been of late."""
    project, now = found.name.split("/")[1], look.clock()
    labels = {"resource.labels.database_id": f"{project}:{resources.last(found.name)}"}
    try:
        counts = [await monitoring.most(project, each, labels, now - QUIET, now) for each in CONNECTIONS]
    except GoogleError as error:
        return f"whoever connects, which cannot be told ({error.status})"
    return f"{max(counts)} connections within {QUIET.days} days" if any(counts) else ""
