"""What a run that died has left: a Terraform that is still at work, a state it could not save, a lock, an open record.

Slipway's own lock is held by whoever looks, so what is found here is a dead run's or a stranger's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from prefect.logging import get_run_logger

from infra.gcp.storage import objects
from infra.terraform import guard, supervisor
from infra.terraform.events import parse
from infra.terraform.supervisor import Ended
from infra.terraform.work import Work
from tasks.failures.cause import Cause
from tasks.failures.errors import ProvisionRefused
from tasks.orchestration.step import step
from tasks.provision.progress import Progress
from tasks.provision.progress import line as told
from tasks.provision.record import Output, ProvisionRecord, State, read_records
from tasks.provision.site import Site, host

MARGIN_S = 60.0  # clocks of two machines, and the end of a Terraform that is killed
POLL_S = 5.0
LONGEST_S = 24 * 3600.0 + 3600.0
UNKNOWN = datetime.fromtimestamp(0, UTC)
# What Terraform has the state's lock for; init where there is no state yet, of which it makes an empty one.
LOCKING = frozenset({"init", "apply", "state push", "untaint"})


class Whose(StrEnum):
    """Who has the lock of the state."""

    DEAD = "dead"  # a run of ours whose processes are gone
    MAYBE = "maybe"  # a run of ours on another machine, which may be at work
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Lock:
    """What Terraform writes into it; the generation is what it is released by.

    https://github.com/hashicorp/terraform/issues/17328
    """

    generation: int
    who: str  # user@host
    created: datetime
    operation: str


@dataclass(frozen=True, slots=True)
class Span:
    """When a Terraform was at work."""

    began: datetime
    ended: datetime  # not later than that
    locks: bool = True  # whether it wanted the lock at all


def read_lock(found: tuple[bytes, int]) -> Lock:
    """Whatever it holds is a lock for Terraform: what it does not say, somebody else has written."""
    text, generation = found
    try:
        value = json.loads(text)
        created = datetime.fromisoformat(value["Created"])
        who, operation = str(value["Who"]), str(value.get("Operation", "")).removeprefix("OperationType")
    except (ValueError, KeyError, TypeError, AttributeError):
        return Lock(generation, "somebody", UNKNOWN, "")
    return Lock(generation, who, created if created.tzinfo else created.replace(tzinfo=UTC), operation)


def judge(lock: Lock, records: Iterable[ProvisionRecord], here: str, last: Span | None) -> Whose:
    """here: this machine, where nothing of ours is at work. last: from when to when our last Terraform here was.

    A lock that was made here before or after that is somebody's who works by hand. A machine may come again with the
    same name and an empty disk: of what was there before, nothing is known.
    """
    where = lock.who.rpartition("@")[2]
    if where == here and last is not None:
        ours = last.locks and last.began <= lock.created <= last.ended + timedelta(seconds=1)
        return Whose.DEAD if ours else Whose.STRANGER
    slack = timedelta(seconds=MARGIN_S)
    for record in records:
        until = record.finished or (record.applied or record.started) + timedelta(seconds=record.apply_s)
        if record.host == where and record.started - slack <= lock.created <= until + slack:
            return Whose.MAYBE
    return Whose.STRANGER


def over_by(lock: Lock, records: Iterable[ProvisionRecord]) -> datetime:
    """When the guard of a Terraform on another machine has ended it, however that one fares."""
    longest_s = max((each.apply_s for each in records), default=0.0)
    return lock.created + timedelta(seconds=longest_s + MARGIN_S)


async def settle_left(site: Site) -> None:
    """Takes over what is still at work, releases a dead run's lock, and closes its record."""
    if site.is_new:
        return
    left = await take_over(site)
    await unlock(site)
    await close_left_open(site, left)


@step("take over what is still at work", timeout_s=LONGEST_S, state="Terraform is still at work.")
async def take_over(site: Site) -> Progress | None:
    """What Terraform did after its run had died; None where the last one's run saw its end."""
    work, logger = site.work, get_run_logger()
    order = supervisor.last_order(work.folder)
    if order is None:
        return None
    if supervisor.is_alive(work.folder):
        logger.warning("terraform %s of a run that has died is still at work: this run waits for it", order.name)
    progress = Progress()

    def heard(line: str) -> None:
        nonlocal progress
        event = parse(line)
        progress = progress.heard(event)
        if said := told(event):
            logger.info("%s", said)

    if supervisor.is_alive(work.folder):
        logger.info("terraform %s has ended: %s", order.name, how(await _to_its_end(work, order, heard)))
    else:
        progress = heard_so_far(order.log.read_text(errors="replace") if order.log.exists() else "")
    work.drop_plan()  # whoever was to agree to it is gone
    return progress.ended(ok=supervisor.ended(work.folder).ok) if order.name == "apply" else None


async def _to_its_end(work: Work, order: supervisor.Order, heard: supervisor.OnLine) -> Ended:
    """Its guard ends it in time; without one, we do."""
    limit_s = order.deadline_s + order.grace_s + MARGIN_S
    following = asyncio.ensure_future(supervisor.follow(work.folder, order.log, heard))
    try:
        async with asyncio.timeout(limit_s):
            return await asyncio.shield(following)
    except TimeoutError:
        await supervisor.end(work.folder, order.grace_s)
        return await following
    finally:
        following.cancel()


def heard_so_far(log: str) -> Progress:
    progress = Progress()
    for line in log.splitlines():
        progress = progress.heard(parse(line))
    return progress


def how(ended: Ended) -> str:
    """In words."""
    return {
        "asked": "it was told to", "deadline": "its time was over", "lost": "it was killed",
        "": "by itself" if ended.ok else f"with errors (exit code {ended.code})",
    }[ended.reason]  # fmt: skip


@step("release a dead run's lock", attempts=3, timeout_s=LONGEST_S)
async def unlock(site: Site) -> None:
    """Raises ProvisionRefused for a stranger's lock. Waits for a run of ours on another machine."""
    records = [each.record for each in await read_records(site.bucket, site.request.app, site.request.environment)]
    waits_for = 0
    while (found := await objects.read_bytes(site.bucket, site.lock)) is not None:
        lock = read_lock(found)
        whose = judge(lock, records, host(), _last(site.work))
        if whose is Whose.STRANGER:
            raise _strangers(site, lock)
        if whose is Whose.DEAD or datetime.now(UTC) > over_by(lock, records):
            await objects.delete_object(site.bucket, site.lock, lock.generation)
            get_run_logger().warning(
                "the state's lock is released: a run that died has left it (%s, %s, generation %d)",
                lock.who,
                lock.created.isoformat(timespec="seconds"),
                lock.generation,
            )
            return
        if waits_for != lock.generation:
            get_run_logger().warning("%s", waiting(site.bucket, site.lock, lock, over_by(lock, records)))
        waits_for = lock.generation
        await asyncio.sleep(POLL_S)


def waiting(bucket: str, name: str, lock: Lock, until: datetime) -> str:
    """What is waited for, until when, and how to look and to go on at once."""
    place = f"gs://{bucket}/{name}"
    return (
        f"waiting until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC at the latest: a run that has died may have its "
        f"Terraform still at work on {lock.who.rpartition('@')[2]}, for which the state is locked since "
        f"{lock.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC. To look: gcloud storage cat '{place}'. If that machine is "
        f"gone, this run goes on once the lock is: gcloud storage rm '{place}#{lock.generation}'"
    )


def _last(work: Work) -> Span | None:
    order = supervisor.last_order(work.folder)
    if order is None or not order.log.exists():
        return None
    return Span(datetime.fromtimestamp(order.began_s, UTC), _over_by(work, order), order.name in LOCKING)


def _over_by(work: Work, order: supervisor.Order) -> datetime:
    """To the moment, if its guard saw its end; else some time after the last line: it writes none for its lock."""
    over = work.folder / guard.ENDED
    if over.exists():
        return datetime.fromtimestamp(over.stat().st_mtime, UTC)
    heard_s = max(order.began_s, order.log.stat().st_mtime)
    return datetime.fromtimestamp(heard_s + MARGIN_S, UTC)


def _strangers(site: Site, lock: Lock) -> ProvisionRefused:
    since = "" if lock.created == UNKNOWN else f" since {lock.created.isoformat(timespec='seconds')}"
    return ProvisionRefused(
        f"The state of {site.request.app} in {site.request.environment} is locked by {lock.who}{since} "
        f"({lock.operation or 'no operation named'}).",
        "wait until they are done; if nobody is at work there any more: "
        f"gcloud storage rm 'gs://{site.bucket}/{site.lock}#{lock.generation}'",
        Cause.STATE_LOCK,
    )


@step("save a state that could not be saved", state="The state that could not be saved is kept on this machine.")
async def save_state(site: Site) -> None:
    """One that is older than what is in the bucket by now says nothing that adoption will not find."""
    work, logger = site.work, get_run_logger()
    if site.is_new or not work.errored.exists():
        return
    if await work.push_errored(lambda _: None):
        logger.warning("a state that an earlier run could not save is saved now")
    else:
        logger.warning("the state that an earlier run could not save is not taken any more: there is a newer one")


@step("close what a dead run left open", attempts=3)
async def close_left_open(
    site: Site, progress: Progress | None, outputs: tuple[Output, ...] = (), *, cancelled: bool = False
) -> None:
    """The records of runs that have died, with what their Terraform has made all the same.

    cancelled: what ended them, if somebody had them killed.
    """
    for stored in await read_records(site.bucket, site.request.app, site.request.environment):
        if stored.record.is_open:
            closed = _closed(site, stored.record, progress, outputs)
            how_so = {"state": State.CANCELLED, "reason": "It was cancelled."} if cancelled else {}
            await stored.replaced(closed.model_copy(update=how_so))
            get_run_logger().warning("run %s has died; what it made is kept", stored.record.run_id)


def _closed(
    site: Site, record: ProvisionRecord, progress: Progress | None, outputs: tuple[Output, ...]
) -> ProvisionRecord:
    last = _last(site.work)
    own = record.host == host() and last is not None and last.began >= record.started
    known = tuple(progress.resources.values()) if own and progress else record.resources
    changes = {"state": State.DIED, "finished": datetime.now(UTC), "resources": known, "outputs": outputs}
    return record.model_copy(update={**changes, "reason": "Its process died."})
