"""What stands beside an app, as clean-up sees it on the local cloud: worlds of some kinds alone, and steps taken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tasks.cleanup.carry_out import act
from tasks.cleanup.engine.links import Links
from tasks.cleanup.engine.model import (
    CleanupOutcome,
    CleanupStep,
    Entry,
    Foreign,
    Plan,
    Policy,
    RetentionRule,
    Skip,
    World,
)
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.engine.recheck import recheck
from tasks.cleanup.engine.rules import used_by
from tasks.cleanup.inventory import Names
from tasks.cleanup.kinds.adapter import Consumer, Found, Look, ResourceKind
from tasks.cleanup.kinds.registry import BY_KIND, KINDS
from tasks.cleanup.memory import Memory
from tasks.model import Request
from tests.conftest import LocalCloud
from tests.tasks.builders import a_request

LATER = timedelta(days=8)


def a_manifest(project: str, foreign: Iterable[str], more: str = "") -> Request:
    """One whose clean-up takes away of these kinds, by their keys in slipway.yaml, what it does not know."""
    said = ", ".join(f"{each}: delete" for each in foreign)
    text = f"""
app: shop
services: {{api: {{{more}}}}}
environments: {{production: {{project: {project}, regions: [europe-west1]}}}}
retention: {{foreign: {{{said}}}}}
"""
    return a_request(text=text)


@dataclass
class Estate:
    """Some kinds, with a look at the local cloud at a time that a test moves on; it sees only what has a prefix."""

    kinds: Sequence[ResourceKind]
    prefix: str
    look: Look
    now: datetime
    consumers: Sequence[Consumer] = ()
    memory: Memory = field(default_factory=Memory)
    notes: Sequence[str] = ()

    async def world(self) -> World:
        """As `take_inventory` makes it, of these kinds alone."""
        look = replace(
            self.look, memory=self.memory, clock=lambda: self.now, notes=[], unseen=[], asked=dict(self.look.asked)
        )
        found = {each: self.mine(await each.list(look)) for each in (*self.kinds, *self.consumers)}
        self.notes = look.notes
        merged = Found.merged(found.values())
        keys = {each.kind: each.keys(look, ()) for each in KINDS}
        keys |= {each.kind: each.keys(look, found[each].items) for each in self.kinds}
        names = Names(keys)
        items = names.items(merged)
        dated = [each for each in items if BY_KIND[each.kind].dated_by_us]
        self.memory = self.memory.seeing(dated, self.now)
        items = tuple(self.memory.heeding(each) for each in items)
        return World(items, names.uses(merged), merged.listings, kinds={each.kind: each.traits for each in KINDS})

    def mine(self, found: Found) -> Found:
        return replace(found, items=tuple(each for each in found.items if self.prefix in each.name))

    async def plan(self, **more: object) -> Plan:
        rule = RetentionRule(foreign=Foreign.DELETE, max_percent=100.0, min_age_s=0.0)
        rules = {each.kind: rule for each in self.kinds}
        policy = Policy(self.look.app, self.now, rules, max_items=1000, min_live=0, **more)  # type: ignore[arg-type]
        return plan(await self.world(), policy)

    async def carry_out(self, **more: object) -> list[str]:
        """Plans and takes each step as clean-up does; what was done, or why not, in words."""
        done = []
        world = await self.world()
        for step in (await self.plan(**more)).steps:
            entry = Entry(step.item.kind, step.item.name, step.action, CleanupOutcome.DONE, "", self.now)
            now = await BY_KIND[step.item.kind].again(step.item)
            verdict = recheck(step.item, now, used_by(world.uses, Links.of(world.items)))
            if isinstance(verdict, Skip):
                done.append(f"{verdict.outcome}: {verdict.reason}")
            else:
                outcome = await act(step)
                assert outcome is CleanupOutcome.DONE
                self.memory = self.memory.taking([entry])
                done.append(in_words(step))
        await self.world()  # the next look, which sees what has been prepared
        return done


@contextmanager
def faulty(cloud: LocalCloud, *faults: dict[str, object]) -> Iterator[None]:
    cloud.put("/faults", list(faults))
    try:
        yield
    finally:
        cloud.put("/faults", [])


def in_words(step: CleanupStep) -> str:
    return f"{step.action} {step.item.name.split('/', 2)[-1]}"
