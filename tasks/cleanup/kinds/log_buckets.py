"""Log buckets that nothing is led to and that have nothing left to keep. The delete is its own first step.

It takes effect after 7 days, until when the bucket can be undeleted:
https://cloud.google.com/logging/docs/buckets#delete-bucket
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.gcp import log_config
from infra.gcp.calls.errors import GoogleError
from infra.gcp.log_config import LogBucket, Sink
from tasks.cleanup.engine.model import Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Look, Reference, refuse_another
from tasks.cleanup.kinds.estate import EstateKind
from tasks.cleanup.kinds.log_sinks import CONFIG_WRITER, GOOGLES, LOGGING, NEVER, all_buckets, all_sinks
from tasks.failures.roles import Need
from tasks.names import resources

LOG_BUCKET = Kind("log bucket")
QUIET = timedelta(days=30)


class LogBuckets(EstateKind):
    kind = LOG_BUCKET
    assets = ("logging.googleapis.com/LogBucket",)
    traits = Traits(standing=True)
    needs = (
        Need("logging.buckets.list", "roles/logging.viewer", "find log buckets that nothing is led to"),
        Need("logging.views.access", "roles/logging.viewAccessor", "see whether a log bucket has had anything of late"),
        Need("logging.buckets.delete", CONFIG_WRITER, "retention.foreign.log_buckets is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [bucket_item(each) for each in await look.once(all_buckets(project)) if each.active]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        """What leads there, or that there is anything that it keeps: audits ask for what came years ago."""
        found = [each for each in await look.once(all_buckets(project)) if each.active]
        sinks = [sink for each in look.projects for sink in await look.once(all_sinks(each))]
        users = await asyncio.gather(*(_user(each, sinks, look) for each in found))
        return [Claim(by, (Reference(LOG_BUCKET, each.name),)) for each, by in zip(found, users, strict=True) if by]

    async def again(self, before: Item) -> Item | None:
        found = await log_config.get_bucket(before.name)
        if found is None or not found.active:
            return None
        return replace(before, uploaded=found.created, etag=str(found.changed), locked=own(found))

    async def delete(self, item: Item) -> bool:
        found = await log_config.get_bucket(item.name)
        if found is None or not found.active:
            return False
        refuse_another(item, found.created or NEVER, str(found.changed))
        return await log_config.delete_bucket(item.name)

    def undo_delete(self, item: Item) -> str:
        parts = resources.parts(item.name)
        return (
            f"gcloud logging buckets undelete {parts['buckets']} --location={parts['locations']} "
            f"--project={parts['projects']} (within 7 days)"
        )


def bucket_item(found: LogBucket) -> Item:
    """Log buckets carry no labels, so each is foreign."""
    return Item(LOG_BUCKET, found.name, "", None, found.created, etag=str(found.changed), locked=own(found))


def own(found: LogBucket) -> str:
    """Why it is nobody's to take away, whatever it is for."""
    if resources.last(found.name) in GOOGLES:
        return "Google's own"
    if found.locked:
        return "its retention is locked"
    return "BigQuery may read it" if found.linked else ""


async def _user(bucket: LogBucket, sinks: Sequence[Sink], look: Look) -> str:
    leading = (each for each in sinks if not each.disabled and _is(each.destination, bucket.name))
    if sink := next(leading, None):
        return f"sink {resources.last(sink.name)}"
    kept = max(QUIET, timedelta(days=bucket.days))
    try:
        had = await log_config.has_entries(bucket.name, look.clock() - kept)
    except GoogleError as error:
        return f"whatever comes, which cannot be told ({error.status})"
    return f"entries of the last {kept.days} days, which it keeps" if had else ""


def _is(destination: str, bucket: str) -> bool:
    """Whether a sink's destination may be this bucket: a project's number is not looked up, but taken for any."""
    _, said, *rest = destination.removeprefix(LOGGING).split("/") if destination.startswith(LOGGING) else ("", "")
    _, project, *own = bucket.split("/")
    return rest == own and (said == project or said.isdigit())
