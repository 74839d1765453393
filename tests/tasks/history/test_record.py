"""What release records tell: which releases were good, and what keeps one from going back to them."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.history.record import (
    ReleaseRecord,
    State,
    TargetRecord,
    good,
    irreversible_since,
    seen_healthy,
    with_candidate,
    with_outcome,
    with_snapshot,
)
from tasks.model import Candidate, Snapshot
from tests.tasks.builders import a_record

REGION = "europe-west1"
BEFORE = Snapshot("api", REGION, (), "api-1", "api-1", config={"timeout": "5s"})


def named(*releases: ReleaseRecord) -> list[str]:
    return [release.version for release in good(releases[::-1])]


def test_only_what_was_seen_healthy_is_good() -> None:
    states = [State.RELEASED, State.FAILED, State.CANCELLED, State.STARTED]
    assert named(*(a_record(f"v{day}", day, state=state) for day, state in enumerate(states))) == ["v0"]


def test_what_a_rollback_left_is_not_good_until_it_is_released_again() -> None:
    left = a_record("v1", 0), a_record("v2", 1), a_record("v1", 2, action="rollback", left="v2")
    assert named(*left) == ["v1"]
    assert named(*left, a_record("v2", 3)) == ["v2", "v1"]


@pytest.mark.parametrize("state", [State.RELEASED, State.FAILED, State.CANCELLED, State.STARTED])
def test_an_irreversible_migration_holds_however_its_release_ended(state: State) -> None:
    first = a_record("v1", 0)
    second = a_record("v2", 1, irreversible=True, state=state)
    assert irreversible_since([second, first], first) is second
    assert irreversible_since([second, first], second) is None


class TestSeenHealthy:
    HISTORY = (a_record("v3", 3, state=State.FAILED), a_record("v2", 2), a_record("v1", 1))

    def test_the_newest_good_release_counts_and_a_failed_one_never(self) -> None:
        assert seen_healthy(self.HISTORY, "api", REGION, ("api-v4",)) == "api-v2"

    def test_what_is_known_to_be_bad_is_passed_over(self) -> None:
        assert seen_healthy(self.HISTORY, "api", REGION, ("api-v4", "api-v2")) == "api-v1"

    def test_a_place_in_which_nothing_was_released_has_none(self) -> None:
        assert seen_healthy(self.HISTORY, "api", "elsewhere", ()) == ""

    def test_nothing_from_before_an_irreversible_migration_is_gone_back_to(self) -> None:
        history = (a_record("v4", 4, state=State.STARTED, irreversible=True), *self.HISTORY)
        assert seen_healthy(history, "api", REGION, ()) == ""


def test_a_record_of_an_older_version_of_slipway_is_read_and_what_it_did_not_say_is_empty() -> None:
    old: dict[str, Any] = {
        "app": "shop", "environment": "production", "version": "v1", "kind": "release", "commit": "c", "run_id": "1",
        "started": "2026-01-01T00:00:00Z", "state": "released", "something_dropped_since": 1,
        "targets": [{"service": "api", "region": REGION, "revision": "api-v1", "outcome": "live"}],
    }  # fmt: skip
    read = ReleaseRecord.model_validate(old)
    assert (read.images, read.override, read.targets[0].before) == ({}, "", ())
    assert seen_healthy([read], "api", REGION, ()) == "api-v1"


def test_the_snapshot_is_recorded_before_there_is_a_candidate_and_stays_with_it() -> None:
    planned = TargetRecord(service="api", region=REGION)
    snapped = with_snapshot(planned, BEFORE)
    assert (snapped.serving, snapped.config, snapped.revision) == ("api-1", {"timeout": "5s"}, "")
    candidate = Candidate("api", REGION, "api-2", "v2", "https://v2", "https://api", BEFORE, ())
    deployed = with_candidate(snapped, candidate, {"api": "image@sha256:2"})
    assert (deployed.revision, deployed.serving, deployed.image) == ("api-2", "api-1", "image@sha256:2")
    assert deployed.outcome == "dark"


def test_what_was_never_deployed_was_not_touched_by_a_failed_release() -> None:
    assert with_outcome(TargetRecord(service="api", region=REGION), "", "").outcome == "untouched"
    assert with_outcome(TargetRecord(service="api", region=REGION, outcome="dark"), "escalated", "why").said == "why"
