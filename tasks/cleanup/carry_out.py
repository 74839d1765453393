"""Carries out a plan of clean-up, one step at a time, each checked again right before it is taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect.logging import get_run_logger

from infra.gcp.artifacts import images
from infra.gcp.artifacts import repositories as registry
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import workloads
from tasks.cleanup.engine.links import Links
from tasks.cleanup.engine.model import Entry, Item, Kind, Outcome, Skip, Step, Use
from tasks.cleanup.engine.recheck import SETTLED, claims, recheck, remaining
from tasks.cleanup.engine.rules import used_by
from tasks.cleanup.inventory import place_of
from tasks.cleanup.journal import Journal
from tasks.cleanup.kinds.acts import act, again
from tasks.cleanup.kinds.images import places_of
from tasks.cleanup.kinds.run import doubts, floors_of, held_uses, required_regions, run_found, survey
from tasks.cleanup.propose import Proposal, show
from tasks.cleanup.scope import Estate
from tasks.cleanup.uses import protected_releases
from tasks.failures.errors import Cause, CloudError, RollbackTargetLost
from tasks.failures.explain import explain
from tasks.names.labels import owner_of
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

# Far below what Google allows (Artifact Registry: 300 000 deletions a day in a repository), and slow enough to watch.
STEPS_PER_S = 2.0
CHECKED_AT_ONCE = 16


@dataclass(slots=True)
class Guard:
    """Who needs what, asked anew before every step."""

    estate: Estate
    proposal: Proposal
    links: Links
    doomed: set[str]  # names of revisions and services that the plan takes away and that have not been seen to stay
    holding: dict[str, str] = field(default_factory=dict)  # what stays after all, and what it needs

    async def used(self) -> dict[str, str]:
        """Every key in use now, with by whom. Raises CloudError when that cannot be told."""
        stock = self.proposal.stock
        where = list(dict.fromkeys((*required_regions(self.estate.requests), *stock.fleet.busy)))
        now = await survey(where, floors_of(stock.fleet, self.doomed))
        running = run_found(now, self.estate.requests, stock.references)
        doubt = next(iter(doubts(running)), None)
        if doubt:
            raise CloudError(doubt)
        staying = (
            Use(f"revision {item.name.rpartition('/')[2]}", item.needs, live=False)
            for item in running.items
            if item.kind is Kind.REVISION and item.name not in self.doomed
        )
        held = held_uses(now, stock.holdable)
        return used_by((*running.uses, *staying, *held, *stock.standing), self.links) | self.holding

    def hold(self, item: Item) -> None:
        """It stays after all, and with it what it needs."""
        self.doomed.discard(item.name)
        self.holding |= claims(item)


@step("clean up", run_name="clean up {estate.app}", timeout_s=12 * 3600, state="What the journal lists is gone.")
async def carry_out(estate: Estate, proposal: Proposal) -> tuple[Entry, ...]:
    """Takes the steps that are left, in their order; answers the whole journal. A step that fails is left for later."""
    journal, steps = proposal.journal, remaining(proposal.plan, proposal.journal.entries)
    doomed = {each.item.name for each in steps if each.item.kind in (Kind.REVISION, Kind.SERVICE)}
    guard = Guard(estate, proposal, Links.of(proposal.stock.world.items), doomed)
    async with tags_unlocked(steps, journal), paced() as turn:
        for each in steps:
            await turn()
            entry = await take(each, guard)
            await journal.add(entry)
            get_run_logger().info("%s %s %s: %s, %s", entry.action, entry.kind, entry.name, entry.outcome, entry.why)
    await show(estate.app, proposal.plan, proposal.name, journal.entries, proposal.stays)
    return journal.entries


async def take(each: Step, guard: Guard) -> Entry:
    """The step if nothing speaks against it now, and what came of it."""
    item = each.item
    try:
        now, used = await asyncio.gather(again(item), guard.used())
        verdict = recheck(item, now, used)
        outcome, why = (verdict.outcome, verdict.reason) if isinstance(verdict, Skip) else (await act(each), each.why)
    except (GoogleError, CloudError) as error:
        outcome, why = Outcome.FAILED, explain(error).problem
    if outcome not in SETTLED:
        guard.hold(item)
    return Entry(item.kind, item.name, each.action, outcome, why, datetime.now(UTC))


@asynccontextmanager
async def paced() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A function that returns when the next step may begin."""
    began, count = time.monotonic(), 0

    async def turn() -> None:
        nonlocal count
        await asyncio.sleep(max(0.0, began + count / STEPS_PER_S - time.monotonic()))
        count += 1

    yield turn


@asynccontextmanager
async def tags_unlocked(steps: Iterable[Step], journal: Journal) -> AsyncIterator[None]:
    """Within, tags can be deleted in the repositories where a tagged image is to go.

    Artifact Registry deletes no tagged image while tags are immutable. No release can move a tag meanwhile, as the lock
    keeps them away; and a repository that a killed run left open is refused by the next release's preflight, and closed
    by the next clean-up.
    """
    tagged = {each.item.name.partition("/dockerImages/")[0] for each in steps if each.item.tags}
    repositories = await asyncio.gather(*(registry.get_repository(name) for name in sorted(tagged)))
    locked = [found.name for found in repositories if found and found.immutable_tags]
    if not locked:
        yield
        return
    await journal.note_unlocked(locked)
    try:
        await all_of([images.set_immutable_tags(name, immutable=False) for name in locked])
        yield
    finally:
        await all_of([images.set_immutable_tags(name, immutable=True) for name in locked])
        await journal.note_unlocked(())


@step("close repositories that were left open", attempts=3)
async def lock_tags(estate: Estate) -> None:
    """Makes tags immutable in the app's own repositories where a clean-up that was killed left them open."""
    names = [place.repository for place in places_of(estate.requests)]
    for found in await asyncio.gather(*(registry.get_repository(name) for name in names)):
        if found and not found.immutable_tags and owner_of(found.labels, estate.app) == estate.app:
            get_run_logger().warning("tags could be moved in %s; now they are immutable again", found.name)
            await images.set_immutable_tags(found.name, immutable=True)


@step("prove that every rollback still works", attempts=3, state="What the journal lists is gone.")
async def prove_rollbacks(estate: Estate, proposal: Proposal) -> int:
    """Asks for every revision and image of every protected release; answers how many there are. RollbackTargetLost."""
    gate = asyncio.Semaphore(CHECKED_AT_ONCE)
    gone = proposal.stock.world.gone

    async def lost(name: str, key: str) -> str:
        if key in gone:
            return ""
        async with gate:
            there = await (workloads.get_revision(key) if "/revisions/" in key else _image(name))
        return "" if there else key

    wanted = dict(_targets(estate, proposal))
    missing = [key for key in await asyncio.gather(*(lost(name, key) for key, name in wanted.items())) if key]
    if missing:
        raise RollbackTargetLost(
            f"After the clean-up these are gone, which a rollback needs: {', '.join(missing)}.",
            "ship that version again with the deploy flow; it is built anew.",
            Cause.IMAGE_MISSING,
        )
    return len(wanted)


def _targets(estate: Estate, proposal: Proposal) -> Iterable[tuple[str, str]]:
    """(key, image reference or '') of every revision and image of the protected releases."""
    keep = estate.manifest.retention.keep
    for request in estate.requests:
        for record in protected_releases(proposal.stock.histories[request.environment], keep):
            for target in record.targets:
                if target.revision:
                    yield f"{request.run_service(target.place)}/revisions/{target.revision}", ""
                if target.image:
                    yield target.image.rpartition("@")[2], target.image


async def _image(reference: str) -> bool:
    return await registry.image_exists(*place_of(reference))
