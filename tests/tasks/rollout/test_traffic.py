"""When the URL that users have is asked for longer than a minute."""

from __future__ import annotations

import pytest

from tasks.analysis.verdict import Probe
from tasks.rollout.traffic import PROPAGATION_LIMIT_S, refused_at_the_door

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
