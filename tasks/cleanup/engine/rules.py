"""The rules of clean-up: for each item of a world, the first reason why it stays. Pure."""

from __future__ import annotations

import fnmatch
import heapq
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.cleanup.engine.links import Links
from tasks.cleanup.engine.model import (
    DELETE,
    Action,
    Foreign,
    Item,
    Kept,
    Kind,
    Policy,
    RetentionRule,
    Traits,
    Use,
    Why,
    World,
)

# No container image is older than Docker; reproducible builds date theirs 1970 or 1980.
FIRST_CREDIBLE = datetime(2013, 3, 20, tzinfo=UTC)

# Labels of what something else keeps as it wants it: Google's own products, Config Connector, Infrastructure Manager.
# https://cloud.google.com/functions/docs/concepts/functions-and-run: a function is a service labelled goog-managed-by
MANAGED_BY = ("goog-managed-by", "managed-by-cnrm", "goog-config-connector", "goog-solutions-deployment-name")
# Somebody's Terraform keeps it, unless it is our own: https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference#add_terraform_attribution_label-1
BY_TERRAFORM = "goog-terraform-provisioned"

_NO_RULE = RetentionRule()
_UNKNOWN = Traits()  # only until `refusals` has seen that the world does not say what such a kind is


def age_s(item: Item, now: datetime) -> float | None:
    """Seconds since the server got it, else since it says it was created; None when neither can be believed."""
    at = _time(item)
    return None if at is None else (now - at).total_seconds()


def rank(item: Item) -> tuple[datetime, str]:
    """Sorts oldest first."""
    return _time(item) or FIRST_CREDIBLE, item.name


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules ask for, worked out once."""

    policy: Policy
    links: Links
    used: Mapping[str, str]
    newest: Mapping[str, int]  # place, from 1, by name
    protected: Callable[[str], object]
    gone: Collection[str]
    kinds: Mapping[Kind, Traits]

    @classmethod
    def of(cls, world: World, policy: Policy) -> Facts:
        links = Links.of(world.items)
        pattern = "|".join(fnmatch.translate(glob) for glob in policy.protect)
        matches = re.compile(pattern).match if pattern else _matches_nothing
        newest = _places(world, links, policy)
        return cls(policy, links, used_by(world.uses, links), newest, matches, world.gone, world.kinds)

    def rule(self, item: Item) -> RetentionRule:
        return self.policy.rules.get(item.kind, _NO_RULE)

    def traits(self, item: Item) -> Traits:
        return self.kinds.get(item.kind, _UNKNOWN)

    def next_action(self, item: Item) -> Action:
        """The kind's reversible first step where that has not been taken yet, else the delete."""
        return self.traits(item).first if item.prepared is None else DELETE


def used_by(uses: Iterable[Use], links: Links) -> dict[str, str]:
    """Every key in use, with by whom; of several users one that lives is named."""
    live_first = sorted(uses, key=lambda use: not use.live)
    return links.used_by((key, use.by) for use in live_first for key in use.needs)


def _matches_nothing(_: str) -> None:
    return None


def _places(world: World, links: Links, policy: Policy) -> dict[str, int]:
    groups: dict[tuple[Kind, str | None, str], list[Item]] = defaultdict(list)
    for item in world.items:
        part = item.subject or (item.key in links.parents and not item.tags)
        if not part and not world.kinds.get(item.kind, _UNKNOWN).standing:
            groups[item.kind, item.owner, item.group].append(item)
    places: dict[str, int] = {}
    for (kind, _, _), members in groups.items():
        keep = policy.rules.get(kind, _NO_RULE).keep
        places |= {item.name: place for place, item in enumerate(heapq.nlargest(keep, members, key=rank), 1)}
    return places


def _time(item: Item) -> datetime | None:
    return next((at for at in (item.uploaded, item.created) if at is not None and at >= FIRST_CREDIBLE), None)


def kept_items(items: Iterable[Item], facts: Facts) -> dict[str, Kept]:
    """By name. What stays keeps what it needs and what is attached to it, and so does what is only disabled for now."""
    kept = {item.name: why for item in items if (why := _reason(item, facts))}
    stays = (item for item in items if item.name in kept or facts.next_action(item) != DELETE)
    needed = facts.links.needed_by(stays)
    for item in items:
        if item.name not in kept and item.key in needed:
            kept[item.name] = Kept(item.kind, item.name, Why.NEEDED, needed[item.key])
    return kept


def _reason(item: Item, facts: Facts) -> Kept | None:
    for why, rule in _RULES:
        detail = rule(item, facts)
        if detail is not None:
            return Kept(item.kind, item.name, why, sys.intern(detail))  # many share few reasons
    return None


def _another_app(item: Item, facts: Facts) -> str | None:
    return f"labelled as part of {item.owner}" if item.owner not in (None, facts.policy.app) else None


def _in_use(item: Item, facts: Facts) -> str | None:
    return facts.used.get(item.key)


def _protected(item: Item, facts: Facts) -> str | None:
    texts = (item.name, item.key, *item.tags, *(f"{key}={value}" for key, value in item.labels.items()))
    return next((f"{text} matches the protection list" for text in texts if facts.protected(text)), None)


def _no_rule(item: Item, facts: Facts) -> str | None:
    return None if item.kind in facts.policy.rules else f"nothing is said about kind {item.kind}"


def _only_reported(item: Item, facts: Facts) -> str | None:
    """Comes after `_in_use`: whatever is standing and gets here is unused."""
    outside = item.owner is None or facts.traits(item).standing
    return "not defined by the app" if outside and facts.rule(item).foreign is Foreign.REPORT else None


def _age_unknown(item: Item, facts: Facts) -> str | None:
    return "no time that can be believed" if _time(item) is None else None


def _too_young(item: Item, facts: Facts) -> str | None:
    rule, age = facts.rule(item), age_s(item, facts.policy.now) or 0.0
    old = 0.0 if facts.traits(item).standing else rule.max_age_s or 0.0
    asked = max(old, rule.min_age_s)
    return f"{age / 3600:.1f} h old, goes from {asked / 3600:.1f} h on" if age < asked else None


def _among_the_newest(item: Item, facts: Facts) -> str | None:
    place = facts.newest.get(item.name)
    return f"number {place} of the newest {facts.rule(item).keep} of {item.group}" if place else None


def _subject_unknown(item: Item, facts: Facts) -> str | None:
    known = not item.subject or item.subject in facts.links.items or item.subject in facts.gone
    return None if known else f"attached to {item.subject}"


def _managed(item: Item, _: Facts) -> str | None:
    keys = MANAGED_BY if item.owner else (*MANAGED_BY, BY_TERRAFORM)
    return next((f"labelled {key}={item.labels[key]}" for key in keys if key in item.labels), None)


def _locked(item: Item, facts: Facts) -> str | None:
    return item.locked or None


def _settling(item: Item, facts: Facts) -> str | None:
    traits = facts.traits(item)
    if item.prepared is None:
        return None
    since_s = (facts.policy.now - item.prepared).total_seconds()
    text = f"{traits.first} {since_s / 3600:.1f} h ago, deleted after {traits.settle_s / 3600:.0f} h"
    return text if since_s < traits.settle_s else None


_RULES: tuple[tuple[Why, Callable[[Item, Facts], str | None]], ...] = (
    (Why.ANOTHER_APP, _another_app),
    (Why.IN_USE, _in_use),
    (Why.PROTECTED, _protected),
    (Why.NO_RULE, _no_rule),
    (Why.FOREIGN, _only_reported),
    (Why.AGE_UNKNOWN, _age_unknown),
    (Why.TOO_YOUNG, _too_young),
    (Why.NEWEST, _among_the_newest),
    (Why.SUBJECT_UNKNOWN, _subject_unknown),
    (Why.MANAGED, _managed),
    (Why.LOCKED, _locked),
    (Why.SETTLING, _settling),
)
