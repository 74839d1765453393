"""Decides what a clean-up of an app may do, saves that as a plan, and shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger

from tasks.cleanup import known
from tasks.cleanup.engine.model import Entry, Foreign, Kind, Plan, Policy, RetentionRule, Why
from tasks.cleanup.engine.plan import plan as decide
from tasks.cleanup.engine.plan import uncapped
from tasks.cleanup.engine.recheck import is_stale, outdated, remaining
from tasks.cleanup.inventory import Inventory, take_inventory, with_gone
from tasks.cleanup.journal import SHOWN, Journal, read_plan, save_plan
from tasks.cleanup.kinds.registry import BY_KIND, KINDS
from tasks.cleanup.memory import clock_trouble, read_memory, write_memory
from tasks.cleanup.scope import Scope
from tasks.failures.errors import CleanupRefused
from tasks.manifest.retention import Retention
from tasks.orchestration.artifacts import key
from tasks.orchestration.step import step

PLAN_LIMIT_S = 24 * 3600.0  # a saved plan older than that has to be made again

Stays = Mapping[tuple[Kind, Why], int]


class Proposal:
    """A plan, what it rests on, and what an earlier run of it has done already.

    No dataclass: Prefect walks through every value of those, and builds them anew, whenever one is handed to a task;
    that takes a quarter of a minute for a hundred thousand items.
    """

    __slots__ = ("inventory", "journal", "name", "plan", "stays")

    def __init__(self, name: str, plan: Plan, inventory: Inventory, journal: Journal, stays: Stays) -> None:
        self.name, self.plan, self.inventory, self.journal, self.stays = name, plan, inventory, journal, stays


def policy_of(app: str, retention: Retention, now: datetime) -> Policy:
    common = RetentionRule(
        keep=retention.keep,
        max_age_s=retention.max_age_s,
        max_percent=retention.max_percent,
    )
    rules = {
        each.kind: replace(
            common,
            foreign=Foreign(retention.foreign_of(each.kind)),
            max_percent=100.0 if each.traits.replaceable else common.max_percent,
        )
        for each in KINDS
    }
    return Policy(app, now, rules, retention.protect, retention.max_items)


@step("plan the clean-up", timeout_s=1800)
async def propose(scope: Scope, saved: str | None) -> Proposal:
    """A new plan, or a saved one that still holds. Raises CleanupRefused; the reasons are shown as a table as well."""
    clock = partial(datetime.now, UTC)
    refuse(await known.refusals(scope.requests))
    inventory = await take_inventory(scope, await read_memory(scope.bucket, scope.app), clock)
    await write_memory(scope.bucket, scope.app, inventory.memory)
    for note in inventory.look.notes:
        get_run_logger().warning("%s", note)
    if inventory.look.unseen:
        get_run_logger().info("not listed, and so not reported: %s", ", ".join(inventory.look.unseen))
    refuse(await clock_trouble(scope.bucket, scope.app, clock()))
    policy = policy_of(scope.app, scope.manifest.retention, clock())
    fresh = decide(await with_gone(inventory, policy), policy)
    if saved:
        return await _taken_up(scope, saved, fresh, inventory)
    name = await save_plan(scope.bucket, fresh)
    stays = counted(fresh)
    await show(scope.app, fresh, name, (), stays, inventory.look.notes)
    refuse(fresh.refusals)
    return Proposal(name, replace(fresh, kept=()), inventory, await Journal.open(scope.bucket, fresh), stays)


async def _taken_up(scope: Scope, name: str, fresh: Plan, inventory: Inventory) -> Proposal:
    plan = uncapped(await read_plan(scope.bucket, scope.app, name))
    if is_stale(plan, fresh.made, PLAN_LIMIT_S):
        refuse((f"The plan {name} is older than {PLAN_LIMIT_S / 3600:.0f} hours.",))
    unknown = sorted({step.item.kind for step in plan.steps} - BY_KIND.keys())
    refuse([f"This version of Slipway does not know what a {kind} is." for kind in unknown])
    journal = await Journal.open(scope.bucket, plan)
    left = replace(plan, steps=remaining(plan, journal.entries))
    refuse((*plan.refusals, *outdated(left, uncapped(fresh))))
    stays = counted(fresh)
    await show(scope.app, left, name, journal.entries, stays, inventory.look.notes)
    return Proposal(name, plan, inventory, journal, stays)


def refuse(reasons: Sequence[str]) -> None:
    """Raises CleanupRefused if there is any reason."""
    if reasons:
        raise CleanupRefused(
            "\n  ".join(["Nothing may be cleaned up now:", *reasons[:20]]),
            "start a dry run again when the cause is gone.",
        )


def counted(plan: Plan) -> Stays:
    """How many of each kind stay, by reason."""
    return Counter((kept.kind, kept.why) for kept in plan.kept)


async def show(app: str, plan: Plan, name: str, entries: Sequence[Entry], stays: Stays, notes: Iterable[str]) -> None:
    """The plan as a table, with what has been done so far; and what does not belong to the app, or cannot be told."""
    title = f"{app}: {len(plan.steps)} to go, {plan.freed_bytes / 1e6:.1f} MB at most ({name})"
    await _table(app, "cleanup", plan_rows(plan, entries, stays), title)
    findings = [{"finding": "unknown", "kind": "", "name": "", "detail": each} for each in notes]
    findings += [
        {"finding": r.finding, "kind": str(r.kind or ""), "name": r.name, "detail": r.detail} for r in plan.reports
    ]
    await _table(app, "cleanup-findings", findings, f"{app}: foreign, orphaned, missing and unknown")
    get_run_logger().info("%s; the plan is called %s", title, name)
    for cap in plan.caps:
        get_run_logger().info("%s The oldest go first; a run with plan %s takes all that are shown.", cap, name)


def plan_rows(plan: Plan, entries: Sequence[Entry], stays: Stays) -> list[dict[str, Any]]:
    """Why nothing may be done, if so; how much stays, by reason; one row per step with its outcome, up to `SHOWN`."""
    outcomes = {(entry.name, entry.action): entry for entry in entries}
    rows = [{"what": "refused", "name": "", "why": reason, "outcome": ""} for reason in plan.refusals]
    rows += [{"what": "capped", "name": "", "why": cap, "outcome": ""} for cap in plan.caps]
    rows += [
        {"what": f"keep {count} {kind}s", "name": "", "why": str(why), "outcome": ""}
        for (kind, why), count in sorted(stays.items())
    ]
    waiting = {step_.item.name for step_ in plan.withheld}
    for step_ in islice((*plan.steps, *plan.withheld), SHOWN):
        entry = outcomes.get((step_.item.name, step_.action))
        planned = "withheld" if step_.item.name in waiting else "planned"
        outcome = f"{entry.outcome}: {entry.why}" if entry else planned
        what = f"{step_.action} {step_.item.kind}"
        rows.append({"what": what, "name": step_.item.name, "why": step_.why, "outcome": outcome})
    return rows


async def _table(app: str, name: str, rows: Sequence[Mapping[str, Any]], title: str) -> None:
    await acreate_table_artifact([dict(row) for row in rows[:SHOWN]], key=key(app, name), description=title)
