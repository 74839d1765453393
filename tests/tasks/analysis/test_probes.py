"""Which answers a probe accepts, and how often it is asked."""

from __future__ import annotations

import pytest

from tasks.analysis.probes import probe_until_clear, rules_of, wrong_with
from tasks.analysis.verdict import Probe, judge_probes
from tasks.manifest.settings import Health
from tasks.model import Verdict


@pytest.mark.parametrize(
    ("status", "body", "settings", "accepted"),
    [
        (200, "", {}, True),
        (204, "", {}, True),
        (301, "", {}, False),
        (301, "", {"status": (301,)}, True),
        (500, "ok", {"body": "ok"}, False),
        (200, "all ok here", {"body": "ok"}, True),
        (200, "starting", {"body": "ok"}, False),
    ],
)
def test_an_answer_counts_by_its_status_and_body(
    status: int, body: str, settings: dict[str, object], accepted: bool
) -> None:
    assert (wrong_with(status, body, Health(**settings)) == "") is accepted


@pytest.mark.parametrize("blip", [1, 3, 10])
async def test_one_failed_answer_after_the_first_accepted_one_asks_for_more_and_passes(blip: int) -> None:
    health, asked = Health(), 0

    async def ask() -> Probe:
        nonlocal asked
        asked += 1
        return Probe(asked != blip + 1, 20.0, 200)

    probes = await probe_until_clear(ask, health)
    assert judge_probes(probes, rules_of(health)).verdict is Verdict.HEALTHY
    assert len(probes) == blip + 1 + health.samples
