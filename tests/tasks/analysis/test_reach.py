"""A revision is asked at its own URL, or where slipway.yaml says, by its tag."""

from __future__ import annotations

import pytest

from tasks.analysis.proof import prove_candidate
from tasks.analysis.reach import asks_dark, at_tag, in_front, stable_at
from tasks.analysis.senses import Senses
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Snapshot, Verdict
from tests.tasks.builders import a_request

PLACE = Place("api", "europe-west1")
OWN = "https://v1---api.run.app"


def a_candidate(url: str | None) -> Candidate:
    before = Snapshot(PLACE, (), "", "old", "https://v0---api.run.app", "v0")
    return Candidate("new", "v1", OWN, "https://api.run.app", before, (), Health(url=url))


@pytest.mark.parametrize(
    ("url", "dark", "front", "stable"),
    [
        (None, OWN, "https://api.run.app", "https://v0---api.run.app"),
        (
            "https://{tag}---{region}.example.com/",
            "https://v1---europe-west1.example.com",
            "https://v1---europe-west1.example.com",
            "https://v0---europe-west1.example.com",
        ),
        ("https://api.example.com", "", "https://api.example.com", ""),
    ],
    ids=["its own", "by tag", "with traffic"],
)
def test_a_revision_is_asked_where_slipway_yaml_says(url: str | None, dark: str, front: str, stable: str) -> None:
    candidate = a_candidate(url)
    assert at_tag(candidate.health, PLACE, "v1", OWN) == dark
    assert (in_front(candidate), stable_at(candidate)) == (front, stable)
    assert asks_dark(candidate.health) == bool(dark)


def test_a_revision_without_a_tag_has_no_address_behind_a_load_balancer() -> None:
    assert at_tag(Health(url="https://{tag}.example.com"), PLACE, "", OWN) == ""


async def test_what_can_only_be_asked_with_traffic_is_let_through_to_it_and_says_so() -> None:
    proof = await prove_candidate(a_request(), a_candidate("https://api.example.com"), Senses())
    assert (proof.verdict, proof.attempts) == (Verdict.HEALTHY, 0)
    assert "once it has traffic" in proof.reason
