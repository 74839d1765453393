"""Carries out a plan of clean-up, one step at a time, each checked again right before it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter
from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.links import Links
from tasks.cleanup.engine.model import DELETE, CleanupOutcome, CleanupStep, Entry, Item, Skip, Use
from tasks.cleanup.engine.recheck import SETTLED, claims, recheck, remaining
from tasks.cleanup.engine.rules import used_by
from tasks.cleanup.inventory import look_again
from tasks.cleanup.kinds.adapter import Reference
from tasks.cleanup.kinds.registry import BY_KIND, KINDS
from tasks.cleanup.kinds.releases import rollback_needs
from tasks.cleanup.propose import Proposal, show
from tasks.cleanup.scope import Scope
from tasks.failures.errors import Cause, CloudError, RollbackTargetLost
from tasks.failures.explain import explain
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

# Far below what Google allows (Artifact Registry: 300 000 deletions a day in a repository), and slow enough to watch.
STEPS_PER_S = 2.0
CHECKED_AT_ONCE = 16


@dataclass(slots=True)
class Guard:
    """Who needs what, asked anew before every step."""

    proposal: Proposal
    links: Links
    doomed: set[str]  # names of what the plan takes away and what has not been seen to stay
    holding: dict[str, str] = field(default_factory=dict)  # what stays after all, and what it needs

    async def used(self) -> dict[str, str]:
        """Every key in use now, with by whom. Raises CloudError when that cannot be told."""
        inventory = self.proposal.inventory
        items, uses, doubts = await look_again(inventory, self.doomed)
        if doubts:
            raise CloudError(doubts[0])
        staying = (
            Use(f"{item.kind} {item.name.rpartition('/')[2]}", item.needs, live=False)
            for item in items
            if item.needs and item.name not in self.doomed
        )
        return used_by((*uses, *staying, *inventory.standing), self.links) | self.holding

    def hold(self, item: Item) -> None:
        """It stays after all, and with it what it needs."""
        self.doomed.discard(item.name)
        self.holding |= claims(item)


@step("clean up", run_name="clean up {scope.app}", timeout_s=12 * 3600, state="What the journal lists is gone.")
async def carry_out(scope: Scope, proposal: Proposal) -> tuple[Entry, ...]:
    """Takes the steps that are left, in their order; answers the whole journal. A step that fails is left for later."""
    journal, steps = proposal.journal, remaining(proposal.plan, proposal.journal.entries)
    doomed = {each.item.name for each in steps if each.action == DELETE}
    guard = Guard(proposal, Links.of(proposal.inventory.world.items), doomed)
    pace = AsyncLimiter(1, 1 / STEPS_PER_S)
    async with AsyncExitStack() as stack:
        for adapter in KINDS:
            its_own = [each for each in steps if each.item.kind == adapter.kind]
            await stack.enter_async_context(adapter.opened(its_own, journal.note_unlocked))
        for each in steps:
            await pace.acquire()
            entry = await take(each, guard)
            await journal.add(entry)
            get_run_logger().info("%s %s %s: %s, %s", entry.action, entry.kind, entry.name, entry.outcome, entry.why)
    await show(scope.app, proposal.plan, proposal.name, journal.entries, proposal.stays)
    return journal.entries


async def take(each: CleanupStep, guard: Guard) -> Entry:
    """The step if nothing speaks against it now, and what came of it."""
    item = each.item
    try:
        now, used = await asyncio.gather(BY_KIND[item.kind].again(item), guard.used())
        verdict = recheck(item, now, used)
        outcome, why = (verdict.outcome, verdict.reason) if isinstance(verdict, Skip) else (await act(each), each.why)
    except (GoogleError, CloudError) as error:
        outcome, why = CleanupOutcome.FAILED, explain(error).problem
    if outcome not in SETTLED:
        guard.hold(item)
    return Entry(item.kind, item.name, each.action, outcome, why, guard.proposal.inventory.look.clock())


async def act(step: CleanupStep) -> CleanupOutcome:
    """Takes the step. Raises GoogleError; already gone is a success."""
    adapter = BY_KIND[step.item.kind]
    if step.action not in (DELETE, adapter.traits.first):
        raise ValueError(f"{step.item.kind}: there is no such step as {step.action}")
    done = await (adapter.delete if step.action == DELETE else adapter.first)(step.item)
    return CleanupOutcome.DONE if done else CleanupOutcome.ALREADY_GONE


@step("close what was left open", attempts=3)
async def close_left_open(scope: Scope) -> None:
    """What a clean-up that was killed had opened for its steps."""
    for closed in await all_of([each.close(scope.requests) for each in KINDS]):
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
