"""Sinks of Cloud Logging that lead nowhere: disabled first, for a week, as enabling one undoes that.

A sink is in use while there is what it leads to; what that may be, only of buckets it can be told. One that somebody
has disabled leads nowhere either. https://cloud.google.com/logging/docs/export/configure_export_v2
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from infra.gcp import log_config
from infra.gcp.calls.errors import GoogleError
from infra.gcp.log_config import LogBucket, Sink
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Look, Reference, refuse_another
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.failures.roles import Need
from tasks.names import resources

LOG_SINK = Kind("log sink")
DISABLE = Action("disable")
GOOGLES = frozenset({"_Default", "_Required"})
STORAGE, LOGGING = "storage.googleapis.com/", "logging.googleapis.com/"
NEVER = datetime.min.replace(tzinfo=UTC)
CONFIG_WRITER = "roles/logging.configWriter"


class LogSinks(EstateKind):
    kind = LOG_SINK
    assets = ("logging.googleapis.com/LogSink",)
    traits = Traits(standing=True, first=DISABLE, settle_s=7 * DAY_S)
    dated_by_us = True
    needs = (
        Need("logging.sinks.list", "roles/logging.viewer", "find log sinks that lead nowhere"),
        Need("logging.sinks.update", CONFIG_WRITER, "retention.foreign.log_sinks is delete"),
        Need("logging.sinks.delete", CONFIG_WRITER, "retention.foreign.log_sinks is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [sink_item(each, look) for each in await look.once(all_sinks(project))]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        """What it leads to, if that is there."""
        there = {each.name for each in await look.once(all_buckets(project)) if each.active}
        found = await look.once(all_sinks(project))
        led = await asyncio.gather(*(leads_to(each, project, there) for each in found))
        return [Claim(by, (Reference(LOG_SINK, each.name),)) for each, by in zip(found, led, strict=True) if by]

    async def again(self, before: Item) -> Item | None:
        found = await log_config.get_sink(before.name)
        if found is None:
            return None
        prepared = before.prepared if found.disabled else None
        return replace(before, uploaded=found.created, etag=found.destination, prepared=prepared)

    async def first(self, item: Item) -> bool:
        return await self._as_planned(item) and await log_config.disable_sink(item.name)

    async def delete(self, item: Item) -> bool:
        return await self._as_planned(item) and await log_config.delete_sink(item.name)

    async def _as_planned(self, item: Item) -> bool:
        """Whether it is there. Raises GoogleError ABORTED if it leads elsewhere by now: sinks have no etag."""
        found = await log_config.get_sink(item.name)
        if found is not None:
            refuse_another(item, found.created or NEVER, found.destination)
        return found is not None

    def undo_first(self, item: Item) -> str:
        project, name = item.name.split("/")[1], resources.last(item.name)
        return f"gcloud logging sinks update {name} --no-disabled --project={project}"


def sink_item(found: Sink, look: Look) -> Item:
    """Sinks carry no labels, so each is foreign. No API tells who has disabled one, or when."""
    return Item(
        LOG_SINK,
        found.name,
        "",
        owner=None,
        uploaded=found.created,
        etag=found.destination,
        locked="Google's own" if resources.last(found.name) in GOOGLES else "",
        prepared=look.memory.taken.get(found.name) if found.disabled else None,
    )


async def leads_to(sink: Sink, project: str, there: Collection[str]) -> str:
    """What a sink is for: '' if it is known to lead nowhere. there: the full names of the project's log buckets."""
    place = sink.destination
    if sink.disabled:
        return ""
    if place.startswith(STORAGE):
        try:
            found = await buckets.get_bucket(place.removeprefix(STORAGE))
        except GoogleError as error:
            return f"{place}, of which cannot be told whether it is there ({error.status})"
        return "" if found is None else place
    own = in_project(place.removeprefix(LOGGING), project) if place.startswith(LOGGING) else ""
    return "" if own and own not in there else place


@functools.cache
def all_sinks(project: str) -> Callable[[Look], Awaitable[Sequence[Sink]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(log_config.list_sinks, project)


@functools.cache
def all_buckets(project: str) -> Callable[[Look], Awaitable[Sequence[LogBucket]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(log_config.list_buckets, project)


def in_project(name: str, project: str) -> str:
    """The full name of a log bucket, with the project's id, if it is one of this project's; else ''."""
    words = name.split("/")
    is_bucket = len(words) == len(("projects", "P", "locations", "L", "buckets", "B")) and words[4] == "buckets"
    return "/".join(("projects", project, *words[2:])) if is_bucket and words[1] == project else ""
