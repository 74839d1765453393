"""What release records tell: which releases were good, and what keeps one from going back to them."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.history.job_record import JobRecord
from tasks.history.record import (
    Approval,
    ReleaseRecord,
    State,
    TargetRecord,
    good,
    irreversible_since,
    seen_healthy,
    with_candidate,
    with_ending,
    with_snapshot,
)
from tasks.manifest.settings import Health
from tasks.model import Candidate, Ending, Outcome, Override, Place, Snapshot
from tests.tasks.builders import NOW, a_record

REGION = "europe-west1"
API = Place("api", REGION)
BEFORE = Snapshot(API, (), "api-1", "api-1", config={"timeout": "5s"})


def revision_of(target: TargetRecord | None) -> str | None:
    return target.revision if target else None


def named(*releases: ReleaseRecord) -> list[str]:
    return [release.version for release in good(releases[::-1])]


def test_only_what_was_seen_healthy_is_good() -> None:
    states = [State.RELEASED, State.FAILED, State.CANCELLED, State.STARTED]
    assert named(*(a_record(f"v{day}", day, state=state) for day, state in enumerate(states))) == ["v0"]


def test_what_a_rollback_left_is_not_good_until_it_is_released_again() -> None:
    left = a_record("v1", 0), a_record("v2", 1), a_record("v1", 2, action="rollback", left="v2")
    assert named(*left) == ["v1"]
    assert named(*left, a_record("v2", 3)) == ["v2", "v1"]


def test_what_is_gone_back_to_is_good_though_a_part_of_it_served_before() -> None:
    """As where a rollback is gone on with by its name, when a region that was away answers again."""
    history = a_record("v1", 0), a_record("v2", 1), a_record("v1", 2, action="rollback", left="v2")
    assert named(*history, a_record("v1", 3, action="rollback", left="v1")) == ["v1"]
    assert named(*history, a_record("v1", 3, action="rollback", left="v1"), a_record("v3", 4)) == ["v3", "v1"]


@pytest.mark.parametrize("state", [State.RELEASED, State.FAILED, State.CANCELLED, State.STARTED])
def test_an_irreversible_migration_holds_however_its_release_ended(state: State) -> None:
    first = a_record("v1", 0)
    second = a_record("v2", 1, irreversible=True, state=state)
    assert irreversible_since([second, first], first) is second
    assert irreversible_since([second, first], second) is None


class TestSeenHealthy:
    HISTORY = (a_record("v3", 3, state=State.FAILED), a_record("v2", 2), a_record("v1", 1))

    def test_the_newest_good_release_counts_and_a_failed_one_never(self) -> None:
        assert revision_of(seen_healthy(self.HISTORY, API, ("api-v4",))) == "api-v2"

    def test_what_is_known_to_be_bad_is_passed_over(self) -> None:
        assert revision_of(seen_healthy(self.HISTORY, API, ("api-v4", "api-v2"))) == "api-v1"

    def test_a_place_in_which_nothing_was_released_has_none(self) -> None:
        assert seen_healthy(self.HISTORY, Place("api", "elsewhere"), ()) is None

    def test_nothing_from_before_an_irreversible_migration_is_gone_back_to(self) -> None:
        history = (a_record("v4", 4, state=State.STARTED, irreversible=True), *self.HISTORY)
        assert seen_healthy(history, API, ()) is None


def test_a_record_of_an_older_version_of_slipway_is_read_and_what_it_did_not_say_is_empty() -> None:
    old: dict[str, Any] = {
        "app": "shop", "environment": "production", "version": "v1", "kind": "release", "commit": "c", "run_id": "1",
        "started": "2026-01-01T00:00:00Z", "state": "released", "something_dropped_since": 1,
        "targets": [{"service": "api", "region": REGION, "revision": "api-v1", "outcome": "live"}],
    }  # fmt: skip
    read = ReleaseRecord.model_validate(old)
    assert (read.images, read.approval, read.override, read.targets[0].before) == ({}, None, None, ())
    assert read.hooks == ()
    assert revision_of(seen_healthy([read], API, ())) == "api-v1"


def test_the_snapshot_is_recorded_before_there_is_a_candidate_and_stays_with_it() -> None:
    planned = TargetRecord(service="api", region=REGION)
    snapped = with_snapshot(planned, BEFORE)
    assert (snapped.serving, snapped.config, snapped.revision) == ("api-1", {"timeout": "5s"}, "")
    candidate = Candidate("api-2", "v2", "https://v2", "https://api", BEFORE, (), Health())
    deployed = with_candidate(snapped, candidate, {"api": "image@sha256:2"})
    assert (deployed.revision, deployed.serving, deployed.image) == ("api-2", "api-1", "image@sha256:2")
    assert deployed.outcome == "dark"


def test_a_revision_is_known_for_ever_by_the_health_it_was_proven_with() -> None:
    health = Health.model_validate({"path": "/old", "status": [200, 301], "body": "ok", "timeout": "5s"})
    candidate = Candidate("api-2", "v2", "https://v2", "https://api", BEFORE, (), health)
    kept = with_candidate(TargetRecord(service="api", region=REGION), candidate, {})
    read = TargetRecord.model_validate_json(kept.model_dump_json())
    assert read.proven_by == health
    assert TargetRecord.model_validate({"service": "api", "region": REGION}).proven_by is None


def test_a_record_is_open_while_anything_could_not_be_given_back() -> None:
    ended = a_record("v1", 0, state=State.FAILED)
    owed = ended.targets[0].model_copy(update={"outcome": Outcome.FAILED})
    assert not ended.is_open
    assert ended.model_copy(update={"targets": (owed,)}).is_open
    assert a_record("v1", 0, state=State.STARTED).is_open
    assert not a_record("v1", 0, state=State.RELEASED, targets=(owed,)).is_open
    job = JobRecord(job="tidy", name="projects/p/locations/r-r1/jobs/tidy", outcome=Outcome.FAILED)
    for state in (State.RELEASED, State.FAILED):
        assert a_record("v1", 0, state=state, jobs=(job,)).is_open
    done = job.model_copy(update={"outcome": Outcome.LIVE})
    assert not a_record("v1", 0, state=State.RELEASED, jobs=(done,)).is_open


def test_a_record_of_before_jobs_were_kept_can_be_read() -> None:
    kept = a_record("v1", 0).model_dump(mode="json")
    del kept["jobs"]
    assert ReleaseRecord.model_validate(kept).jobs == ()


def test_what_was_never_deployed_was_not_touched_by_a_failed_release() -> None:
    planned, dark = (
        TargetRecord(service="api", region=REGION, outcome=each) for each in (Outcome.PLANNED, Outcome.DARK)
    )
    assert with_ending(planned, None).outcome is Outcome.UNTOUCHED
    assert with_ending(dark, None) == dark
    assert with_ending(dark, Ending(API, Outcome.ESCALATED, "why")).said == "why"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", None),
        ("Ada: go, the numbers are good", Approval(who="Ada", decision="go", reason="the numbers are good")),
        ("Ada: Ops: go, at last: go", Approval(who="Ada: Ops", decision="go", reason="at last: go")),
        ("Ada: go, no reason given", Approval(who="Ada", decision="go")),
        ("somehow", Approval(who="somehow", decision="go")),
    ],
    ids=["none", "with a reason", "with colons", "without a reason", "in other words"],
)
def test_an_approval_that_was_recorded_in_words_is_read(written: str, read: Approval | None) -> None:
    assert reread({"approval": written}).approval == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", None),
        ("Ada: the shop is down", Override(who="Ada", why="the shop is down")),
        ("somehow", Override.model_construct(who="somehow", why="")),
    ],
    ids=["none", "as it was written", "in other words"],
)
def test_an_override_that_was_recorded_in_words_is_read(written: str, read: Override | None) -> None:
    assert reread({"override": written}).override == read


def test_who_decided_what_and_when_survives_the_way_through_the_bucket() -> None:
    override = Override(who="Ada", why="the shop is down")
    record = a_record("v1", 1, approval=Approval(who="Ada", decision="go", when=NOW), override=override)
    assert ReleaseRecord.model_validate_json(record.model_dump_json()) == record


def test_the_words_of_an_outcome_stay_the_same_in_records() -> None:
    words = ["planned", "dark", "live", "untouched", "taken back", "left", "escalated", "failed", "being given back"]
    assert [str(outcome) for outcome in Outcome] == words
    target = TargetRecord(service="api", region=REGION, outcome=Outcome.TAKEN_BACK)
    assert target.model_dump(mode="json")["outcome"] == "taken back"


def reread(fields: dict[str, Any]) -> ReleaseRecord:
    return ReleaseRecord.model_validate({**a_record("v1", 1).model_dump(mode="json"), **fields})
