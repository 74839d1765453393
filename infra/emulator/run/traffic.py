"""Traffic: from what a service asks for to which revision answers at which address."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.cloud import run_v2

from infra.emulator.run.defaults import LATEST
from infra.emulator.run.names import PoolName, owner_of, short

StatusPb: Any = run_v2.TrafficTargetStatus.pb()


@dataclass(frozen=True, slots=True)
class Routes:
    """Where one service's requests go; revisions by full name."""

    shares: Mapping[str, int]  # revision -> percent, more than 0, together 100; empty while nothing serves
    tags: Mapping[str, str]  # tag -> revision

    @property
    def revisions(self) -> set[str]:
        return {*self.shares, *self.tags.values()}


NOWHERE = Routes({}, {})


def statuses(traffic: Sequence[Any]) -> list[Any]:
    """The statuses that correspond to wanted traffic, still without addresses; a LATEST one names no revision."""
    return [
        StatusPb(
            type_=target.type_,
            revision="" if target.type_ == LATEST else short(target.revision),
            percent=target.percent,
            tag=target.tag,
        )
        for target in traffic
    ]


def routes_of(owner: Any) -> Routes:
    """The routes that a service's traffic statuses stand for, or how a pool's statuses share its instances."""
    if not owner.latest_ready_revision:
        return NOWHERE
    name = owner_of(owner.name)
    shares: dict[str, int] = {}
    tags: dict[str, str] = {}
    for status in owner.instance_split_statuses if name.kind == PoolName.kind else owner.traffic_statuses:
        revision = owner.latest_ready_revision if status.type_ == LATEST else name.revision(status.revision)
        if status.percent:
            shares[revision] = shares.get(revision, 0) + status.percent
        if tag := getattr(status, "tag", ""):
            tags[tag] = revision
    return Routes(shares, tags)


def serves(service: Any, revision: str) -> bool:
    """Whether requests may reach the revision, by share or by tag."""
    return revision in routes_of(service).revisions


@dataclass(slots=True)
class Split:
    """Draws revisions at random so that every hundred draws hold each exactly as often as its percent."""

    shares: Mapping[str, int]
    _bag: list[str] = field(default_factory=list)

    def draw(self) -> str | None:
        if not self._bag:
            self._bag = [revision for revision, percent in self.shares.items() for _ in range(percent)]
            random.shuffle(self._bag)
        return self._bag.pop() if self._bag else None
