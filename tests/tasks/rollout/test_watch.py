"""Watching a step: two regions, a clock that is handed in, and what Cloud Monitoring would say."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from infra.gcp.monitoring import Served
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import Ask
from tasks.analysis.senses import Senses
from tasks.analysis.verdict import Judgement, Probe
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Request, Snapshot, Verdict
from tasks.rollout.sent import Written
from tasks.rollout.watch import following, keep_watch
from tests.tasks.builders import NOW, a_request

EUROPE, AMERICA = (Place("api", region) for region in ("europe-west1", "us-central1"))
BOUNDS_MS, FAST = (10.0, 20.0, 40.0), (0, 1, 0, 0)
MANIFEST = """
app: shop
services: {api: {source: api}}
environments:
  production:
    {project: acme-prod, regions: [europe-west1, us-central1], strategy: {canary: [20]}, on_inconclusive: COURSE,
     slo: {min_requests: LEAST}}
"""
MINUTE = timedelta(minutes=1)


@dataclass
class Cloud:
    """Users by the minute and place, the candidate's share of them 20 %; all is well but for what is said."""

    users: Mapping[str, int]  # by region, a minute
    errors: float = 0.0  # the share of the candidate's
    down_until: datetime = NOW  # stable, and with it the candidate
    mended: bool = False  # what stable fails by, in the candidate
    answers_s: float = 0.0  # that the candidate in europe takes for an answer
    now: datetime = NOW
    asked: list[datetime] = field(default_factory=list)  # the candidate

    def senses(self) -> Senses:
        return Senses(self.served, self.asking, lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def served(self, service: str, revision: str, start: datetime, end: datetime, warm_s: float = 0) -> Served:
        minutes = int((end - start) / MINUTE)
        if minutes <= 0:
            return Served()
        until = start + minutes * MINUTE
        new = revision == "new"
        ours = sum(start <= moment < until for moment in self.asked) if new and "europe" in service else 0
        users = minutes * self.users[service.split("/")[3]] * (20 if new else 80) // 100
        down = max(min(int((self.down_until - start) / MINUTE), minutes), 0)
        failed = int(users * self.errors) if new else 0
        failed += 0 if new and self.mended else int(users * down / minutes / 2)
        warm = max(minutes - int(warm_s // 60), 0) * users // minutes
        return Served(users + ours, failed, 0, BOUNDS_MS, tuple(warm * share for share in FAST), start, until)

    @asynccontextmanager
    async def asking(self, service: str, _service_url: str, url: str, _health: Health) -> AsyncIterator[Ask]:
        async def ask() -> Probe:
            if url == "new" and "europe" in service:
                self.asked.append(self.now)
                self.now += timedelta(seconds=self.answers_s)
            fails = self.now < self.down_until and not (url == "new" and self.mended)
            return Probe(not fails, 15.0, 500 if fails else 200)

        yield ask


async def unmoved(_request: Request, _candidate: Candidate, _written: Any) -> None:
    """Nobody moves traffic."""


async def watched(cloud: Cloud, course: str = "probe", least: int = 100) -> Judgement:
    request = a_request(text=MANIFEST.replace("COURSE", course).replace("LEAST", str(least)))
    split = (TrafficTarget("new", 20), TrafficTarget("old", 80))
    candidates = [
        Candidate("new", "v2", "new", "service", Snapshot(place, split, "old", "old", "old"), split, Health())
        for place in (EUROPE, AMERICA)
    ]
    written: Written = {each.place: (split,) for each in candidates}
    hold = following(None, request.settings.bake_s, cloud.now)
    log = logging.getLogger("test")
    return await keep_watch(request, candidates, written, hold, cloud.senses(), log, unmoved)


async def test_one_quiet_region_takes_nothing_back_at_the_default_settings() -> None:
    cloud = Cloud({"europe-west1": 6, "us-central1": 6_000})
    found = await watched(cloud)
    assert found.verdict is Verdict.HEALTHY
    assert "api in europe-west1: too few users to tell; by our own probes" in found.reason
    assert cloud.now - NOW < timedelta(minutes=20)


async def test_a_quiet_service_that_answers_slowly_is_asked_for_half_of_each_look_at_most() -> None:
    cloud = Cloud({"europe-west1": 6, "us-central1": 6_000}, answers_s=3.0)
    assert (await watched(cloud)).verdict is Verdict.HEALTHY
    looks = [moment for before, moment in pairwise(cloud.asked) if moment - before > timedelta(seconds=3)]
    assert len(looks) > 5
    assert max(Counter(sum(start <= moment for start in looks) for moment in cloud.asked).values()) == 10


async def test_where_users_have_to_prove_it_the_message_names_the_quiet_region_and_what_is_missing() -> None:
    found = await watched(Cloud({"europe-west1": 6, "us-central1": 6_000}), "wait")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("api in europe-west1: ")
    assert "us-central1" not in found.reason
    assert f"{found.missing} requests are missing: " in found.reason
    assert "min at the present rate" in found.reason


@pytest.mark.parametrize(("least", "verdict"), [(100, Verdict.HEALTHY), (1_000_000, Verdict.INCONCLUSIVE)])
async def test_fewer_users_than_slipway_yaml_asks_for_prove_nothing(least: int, verdict: Verdict) -> None:
    found = await watched(Cloud({"europe-west1": 6_000, "us-central1": 6_000}), "rollback", least)
    assert found.verdict is verdict


async def test_our_own_requests_are_no_users() -> None:
    cloud = Cloud({"europe-west1": 0, "us-central1": 6_000})
    found = await watched(cloud, "wait")
    assert cloud.asked
    assert "api in europe-west1: no requests to judge the error rate by" in found.reason


async def test_errors_end_the_wait_before_the_bake_is_over() -> None:
    cloud = Cloud({"europe-west1": 60, "us-central1": 6_000}, errors=0.5)
    assert (await watched(cloud)).verdict is Verdict.UNHEALTHY
    assert cloud.now - NOW < timedelta(minutes=8)


@pytest.mark.parametrize("minutes", [2, 6])
async def test_an_outage_of_both_is_waited_out_and_not_held_against_the_candidate(minutes: int) -> None:
    cloud = Cloud({"europe-west1": 600, "us-central1": 6_000}, down_until=NOW + minutes * MINUTE)
    found = await watched(cloud)
    assert found.verdict is Verdict.HEALTHY
    assert cloud.now > cloud.down_until


async def test_what_mends_a_stable_that_is_down_has_only_to_be_good_itself() -> None:
    """It would be waited for in vain that stable can be compared with, and users go back to what fails."""
    cloud = Cloud({"europe-west1": 600, "us-central1": 6_000}, down_until=NOW + timedelta(days=1), mended=True)
    judgement = await watched(cloud)
    assert judgement.verdict is Verdict.HEALTHY
    assert cloud.now - NOW < timedelta(minutes=15)


async def test_what_fails_more_than_it_may_is_not_let_through_because_stable_fails_too() -> None:
    cloud = Cloud({"europe-west1": 600, "us-central1": 600}, 0.1, down_until=NOW + timedelta(days=1), mended=True)
    assert (await watched(cloud)).verdict is Verdict.INCONCLUSIVE


async def test_the_limit_ends_the_wait() -> None:
    cloud = Cloud({"europe-west1": 6, "us-central1": 6})
    limit_s = a_request().settings.inconclusive_limit_s
    await watched(cloud, "pause")
    assert timedelta(seconds=limit_s) <= cloud.now - NOW <= timedelta(seconds=limit_s + 600)
