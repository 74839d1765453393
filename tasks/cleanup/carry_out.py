"""Carries out a plan of clean-up, one step at a time, each checked again right before it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.links import Links
from tasks.cleanup.engine.model import DELETE, CleanupOutcome, CleanupStep, Entry, Item, Skip, Use
from tasks.cleanup.engine.recheck import SETTLED, claims, recheck, remaining
from tasks.cleanup.engine.rules import used_by
from tasks.cleanup.inventory import look_again, standing_anew
from tasks.cleanup.journal import Journal, left_open
from tasks.cleanup.kinds.adapter import Reference
from tasks.cleanup.kinds.images import Images
from tasks.cleanup.kinds.registry import BY_KIND, KINDS
from tasks.cleanup.kinds.releases import rollback_needs
from tasks.cleanup.memory import write_memory
from tasks.cleanup.propose import Proposal, show
from tasks.cleanup.scope import Scope
from tasks.cleanup.turns import History, newest_records, shipping, until_free
from tasks.failures.cause import Cause
from tasks.failures.errors import CloudError, RollbackTargetLost
from tasks.failures.explain import explain
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

# Far below what Google allows (Artifact Registry: 300 000 deletions a day in a repository), and slow enough to watch.
STEPS_PER_S = 2.0
BATCH = 10  # steps between which what has to be opened for them is closed
CHECKED_AT_ONCE = 16


@dataclass(slots=True)
class Guard:
    """Who needs what, asked anew before every step."""

    proposal: Proposal
    links: Links
    doomed: set[str]  # names of what the plan takes away and what has not been seen to stay
    standing: tuple[Use, ...]
    records: History | None = None  # that `standing` rests on
    holding: dict[str, str] = field(default_factory=dict)  # what stays after all, and what it needs

    async def used(self) -> dict[str, str]:
        """Every key in use now, with by whom. Raises CloudError when that cannot be told."""
        inventory = self.proposal.inventory
        (items, uses, doubts), records = await asyncio.gather(
            look_again(inventory, self.doomed), newest_records(inventory.look.requests)
        )
        if records != self.records:
            self.standing, more = await standing_anew(inventory)
            self.records = records
            doubts += more
        if doubts:
            raise CloudError(doubts[0])
        staying = (
            Use(f"{item.kind} {item.name.rpartition('/')[2]}", item.needs, live=False)
            for item in items
            if item.needs and item.name not in self.doomed
        )
        return used_by((*uses, *staying, *self.standing), self.links) | self.holding

    def hold(self, item: Item) -> None:
        """It stays after all, and with it what it needs."""
        self.doomed.discard(item.name)
        self.holding |= claims(item)


@step("clean up", run_name="clean up {scope.app}", timeout_s=12 * 3600, state="What the journal lists is gone.")
async def carry_out(scope: Scope, proposal: Proposal) -> tuple[Entry, ...]:
    """Takes the steps that are left, in their order; answers the whole journal. A step that fails is left for later."""
    journal, steps = proposal.journal, remaining(proposal.plan, proposal.journal.entries)
    doomed = {each.item.name for each in steps if each.action == DELETE}
    guard = Guard(proposal, Links.of(proposal.inventory.world.items), doomed, proposal.inventory.standing)
    pace, memory = AsyncLimiter(1, 1 / STEPS_PER_S), proposal.inventory.memory
    while steps:
        await until_free(scope.requests)
        done = len(journal.entries)
        async with opened(steps[:BATCH], journal):
            taken = await take_some(steps[:BATCH], guard, journal, pace)
        if (more := memory.taking(journal.entries[done:])) != memory:
            memory = more
            await write_memory(scope.bucket, scope.app, memory)
        steps = steps[taken:]
    notes = proposal.inventory.look.notes
    await show(scope.app, proposal.plan, proposal.name, journal.entries, proposal.stays, notes)
    return journal.entries


@asynccontextmanager
async def opened(steps: Sequence[CleanupStep], journal: Journal) -> AsyncIterator[None]:
    """Around a batch: what each kind has to open for it, and close again."""
    async with AsyncExitStack() as stack:
        for adapter in KINDS:
            its_own = [each for each in steps if each.item.kind == adapter.kind]
            await stack.enter_async_context(adapter.opened(its_own, journal.note_unlocked))
        yield


async def take_some(steps: Sequence[CleanupStep], guard: Guard, journal: Journal, pace: AsyncLimiter) -> int:
    """Takes the steps until somebody ships; answers how many were taken."""
    for number, each in enumerate(steps):
        await pace.acquire()
        entry = await take(each, guard)
        if entry is None:
            return number
        await journal.add(entry)
        get_run_logger().info("%s %s %s: %s, %s", entry.action, entry.kind, entry.name, entry.outcome, entry.why)
    return len(steps)


async def take(each: CleanupStep, guard: Guard) -> Entry | None:
    """The step if nothing speaks against it now, and what came of it; None, and nothing done, while somebody ships."""
    item = each.item
    try:
        now, used = await asyncio.gather(BY_KIND[item.kind].again(item), guard.used())
        verdict = recheck(item, now, used)
        if await shipping(guard.proposal.inventory.look.requests):
            return None
        outcome, why = (verdict.outcome, verdict.reason) if isinstance(verdict, Skip) else (await act(each), said(each))
    except (GoogleError, CloudError) as error:
        outcome, why = CleanupOutcome.FAILED, explain(error).said
    if outcome not in SETTLED:
        guard.hold(item)
    return Entry(item.kind, item.name, each.action, outcome, why, guard.proposal.inventory.look.clock())


def said(step: CleanupStep) -> str:
    """Why it was done, and how it is undone."""
    undo = BY_KIND[step.item.kind].undo(step)
    return f"{step.why}; undone by: {undo}" if undo else step.why


async def act(step: CleanupStep) -> CleanupOutcome:
    """Takes the step. Raises GoogleError; already gone is a success."""
    adapter = BY_KIND[step.item.kind]
    if step.action not in (DELETE, adapter.traits.first):
        raise ValueError(f"{step.item.kind}: there is no such step as {step.action}")
    done = await (adapter.delete if step.action == DELETE else adapter.first)(step.item)
    return CleanupOutcome.DONE if done else CleanupOutcome.ALREADY_GONE


@step("close what was left open", attempts=3)
async def close_left_open(scope: Scope) -> None:
    """What a clean-up that was killed had opened for its steps: the app's own, and what its journal says."""
    for closed in await all_of([each.close(scope.requests) for each in KINDS]):
        for what in closed:
            get_run_logger().warning("%s", what)
    for journal in await left_open(scope.bucket, scope.app):
        await all_of([each.close_again(journal.unlocked) for each in KINDS])
        get_run_logger().warning("closed again, as the journal says: %s", ", ".join(journal.unlocked))
        await journal.note_unlocked(())


async def close_own(request: Request) -> None:
    """Whoever ships comes before clean-up, and finds the repository as a release wants it; else preflight tells.

    So it comes before preflight, which refuses tags that can be moved. To close what Slipway itself has left open is no
    change of the user's: where preflight fails, nothing is changed but that.
    """
    try:
        closed = await Images().close((request,))
    except GoogleError as error:
        closed = (f"it cannot be told whether tags can be moved: {explain(error).said}",)
    for what in closed:
        get_run_logger().warning("%s", what)


@step("prove that every rollback still works", attempts=3, state="What the journal lists is gone.")
async def prove_rollbacks(scope: Scope, proposal: Proposal) -> int:
    """Asks for every revision and image of every protected release; answers how many there are. RollbackTargetLost."""
    names, gone, gate = proposal.inventory.names, proposal.inventory.world.gone, asyncio.Semaphore(CHECKED_AT_ONCE)
    wanted = {key: reference for reference in _targets(scope, proposal) for key in names.keys((reference,))}

    async def lost(key: str, reference: Reference) -> bool:
        async with gate:
            return key not in gone and await BY_KIND[reference.kind].is_gone(key, (reference.name,), ())

    answers = await asyncio.gather(*(lost(*each) for each in wanted.items()))
    missing = [key for key, is_lost in zip(wanted, answers, strict=True) if is_lost]
    if missing:
        raise RollbackTargetLost(
            f"After the clean-up these are gone, which a rollback needs: {', '.join(missing)}.",
            "ship that version again with the deploy flow; it is built anew.",
            Cause.IMAGE_MISSING,
        )
    return len(wanted)


def _targets(scope: Scope, proposal: Proposal) -> Iterable[Reference]:
    for request in scope.requests:
        history = proposal.inventory.look.histories[request.environment]
        yield from rollback_needs(request, history.records, scope.manifest.retention.keep)
