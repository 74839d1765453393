"""Who may call a service while its traffic moves: nobody new before what let them in has all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from prefect import flow

from infra.gcp.run import access, services
from tasks.analysis.probes import ANSWERS
from tasks.failures.errors import SlipwayError, TrafficConflict
from tasks.model import Candidate, Ending, Outcome, Place, Serving
from tasks.rollout.restore import give_back
from tasks.rollout.sent import Sent, Splits, Written
from tasks.rollout.shift import _advance_all, has_all, shift
from tasks.rollout.split import Move, NextSplit
from tasks.rollout.whole import opening
from tests.conftest import LocalCloud
from tests.serving import serving
from tests.tasks.rollout.two import RUN, Two, bucket

__all__ = ["bucket"]  # fixture
ALL, LB, INTERNAL = (f"INGRESS_TRAFFIC_{name}" for name in ("ALL", "INTERNAL_LOAD_BALANCER", "INTERNAL_ONLY"))


@pytest.mark.parametrize(
    ("wanted", "before", "opened"),
    [
        ({"ingress": ALL}, {"ingress": INTERNAL}, {"ingress"}),
        ({"ingress": LB}, {"ingress": INTERNAL}, {"ingress"}),
        ({}, {"ingress": LB}, {"ingress"}),  # as Cloud Run reads it
        ({"ingress": INTERNAL}, {"ingress": ALL}, set()),
        ({"ingress": ALL}, {}, set()),
        ({}, {"iapEnabled": True}, {"iapEnabled"}),
        ({"iapEnabled": True}, {}, set()),
        ({"invokerIamDisabled": True}, {}, {"invokerIamDisabled"}),
        ({}, {"invokerIamDisabled": True}, set()),
        ({}, {"defaultUriDisabled": True}, {"defaultUriDisabled"}),
        ({"defaultUriDisabled": True}, {}, set()),
        ({"description": "x", "scaling": {"minInstanceCount": 1}}, {}, set()),
    ],
)
def test_what_lets_more_callers_in_is_told_from_what_does_not(
    wanted: dict[str, Any], before: dict[str, Any], opened: set[str]
) -> None:
    assert opening(wanted, before) == opened


@pytest.mark.parametrize(
    ("move", "percent", "everything"),
    [(Move.FORWARD, 5, False), (Move.FORWARD, 100, True), (Move.DONE, 90, True), (Move.HOLD, 50, False)],
)
def test_a_candidate_has_all_where_nothing_else_serves_or_others_keep_their_share(
    move: Move, percent: int, *, everything: bool
) -> None:
    assert has_all(NextSplit(move, (), percent, "")) is everything


async def steps_up(two: Two, candidate: Candidate) -> list[tuple[int, bool, str]]:
    """After each step: the candidate's percent, whether everybody may call, and the ingress."""
    written: Written = {two.place: (two.split(one=100),)}
    seen: list[tuple[int, bool, str]] = []

    @flow(name="deploy")
    async def deploy() -> None:
        while True:
            [taken] = await _advance_all(two.request, [candidate], written, Sent())
            service = (await two.live()).service
            seen.append((taken.percent, await access.is_public(two.name), service.whole["ingress"]))
            if taken.move is Move.DONE:
                return

    await deploy()
    return seen


async def test_a_door_opens_when_nothing_else_serves(prefect: None) -> None:
    two = await Two(public=True, strategy="{canary: [5]}").made()
    service = (await two.live()).service
    closed = {"name": two.name, "etag": service.etag, "ingress": INTERNAL}
    whole = (await services.update_service(closed, ["ingress"], 60)).whole
    before = replace(two.candidate.before, whole=whole)
    seen = await steps_up(two, replace(two.candidate, before=before, whole={**whole, "ingress": ALL}))
    assert seen == [(5, False, INTERNAL), (100, True, ALL), (100, True, ALL)]


async def test_a_door_closes_with_the_first_share(prefect: None) -> None:
    two = await Two(public=False, opened=True, strategy="{canary: [5]}").made()
    whole = {**two.candidate.before.whole, "ingress": INTERNAL}
    seen = await steps_up(two, replace(two.candidate, whole=whole))
    assert seen == [(percent, False, INTERNAL) for percent in (5, 100, 100)]


async def test_a_door_that_was_closed_before_the_first_share_is_open_again_when_it_comes_to_none(prefect: None) -> None:
    two = await Two(public=False, opened=True, strategy="{canary: [5]}").made()
    written: Written = {two.place: (two.split(one=100),)}
    await two.move(one=90, two=10)  # as somebody else may do at any time

    @flow(name="deploy")
    async def deploy() -> Ending:
        with pytest.raises(TrafficConflict):
            await _advance_all(two.request, [two.candidate], written, Sent())
        assert not await access.is_public(two.name)
        await two.move(one=100)
        return await give_back(two.request, two.candidate, written[two.place], careful=False)

    assert (await deploy()).outcome is Outcome.UNTOUCHED
    assert await access.is_public(two.name)


class Noted(dict[Place, Splits]):
    """Keeps what was written into it."""

    def __init__(self, first: Mapping[Place, Splits]) -> None:
        super().__init__(first)
        self.all: list[Splits] = []

    def __setitem__(self, place: Place, splits: Splits) -> None:
        super().__setitem__(place, splits)
        self.all.append(splits)


async def test_all_traffic_at_once_is_planned_once(prefect: None) -> None:
    """Nothing is watched in between, so that nothing can have become of it."""
    two = await Two(public=True).made()
    before, after = two.split(one=100), two.split(two=100)
    written = Noted({two.place: (before,)})

    @flow(name="deploy")
    async def deploy() -> tuple[Serving, ...]:
        return await shift(two.request, [replace(two.candidate, health=ANSWERS)], written, Sent(), two.ledger())

    [serving] = await deploy()
    assert serving.revision == two.two
    assert written.all == [(before, after), (after,)]
    assert await two.routed() == {two.two: 100}


class Refusing(BaseHTTPRequestHandler):
    """As Google's front end is where a new policy is not known yet."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()


async def test_what_is_known_to_be_bad_is_not_kept_until_the_others_are_verified(
    prefect: None, cloud: LocalCloud
) -> None:
    two = await Two(public=True).made()
    await two.move(two=100)
    await access.set_public(two.name, public=True)
    before = 4  # looks at the two until they are verified: what serves, and whom to let in
    cloud.put("/faults", [{"method": f"{RUN}/GetService", "code": "PERMISSION_DENIED", "skip": before, "times": 1}])

    @flow(name="deploy")
    async def deploy(url: str) -> None:
        candidate = replace(two.candidate, service_url=url)
        written: Written = {two.place: (two.split(two=100),)}
        await shift(two.request, [candidate, candidate], written, Sent(), two.ledger())

    with serving(Refusing) as url:
        async with asyncio.timeout(200):  # the other would be waited for a quarter of an hour
            with pytest.raises(SlipwayError, match="permission"):
                await deploy(url)
    cloud.put("/faults", [])
