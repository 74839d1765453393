"""When the URL that users have is asked for longer than a minute, and when others may have moved traffic."""

from __future__ import annotations

import pytest
from prefect import flow

from tasks.analysis.verdict import Probe
from tasks.rollout.sent import Written
from tasks.rollout.traffic import PROPAGATION_LIMIT_S, advance, refused_at_the_door
from tests.tasks.rollout.two import Two

FINE, BUSY, DOWN = Probe(True, 1.0, 200), Probe(False, 1.0, 503), Probe(False, 1.0, None, "no answer")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_at_the_door_may_be_a_policy_that_is_not_known_everywhere_yet(status: int) -> None:
    refused = Probe(False, 1.0, status)
    assert refused_at_the_door([refused])
    assert refused_at_the_door([DOWN, refused])


@pytest.mark.parametrize("probes", [[FINE], [Probe(False, 1.0, 403), FINE], [BUSY], [DOWN], [Probe(True, 1.0, 403)]])
def test_any_other_answer_is_the_services_own(probes: list[Probe]) -> None:
    assert not refused_at_the_door(probes)


def test_it_is_waited_for_longer_than_google_says_that_a_policy_may_take() -> None:
    assert PROPAGATION_LIMIT_S > 7 * 60


async def test_somebody_else_who_goes_back_as_well_is_no_reason_to_stop(prefect: None) -> None:
    """As two people may at the same time: one with Slipway, one by hand."""
    two = await Two().made()
    written: Written = {two.place: (two.split(one=100),)}
    await two.move(two=100)

    @flow(name="rollback")
    async def rollback() -> int:
        return (await advance(two.request, two.candidate, None, written)).percent

    assert await rollback() == 100
