"""Where a rollback goes, and where it must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tasks.failures.errors import RollbackRefused
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.model import Override, Place
from tasks.release.rollback import narrowed
from tasks.release.target import as_it_was, choose, jobs_as_they_were, served_after
from tests.tasks.builders import MANIFEST, a_record, a_request, a_target

V0, V1, V2, V3 = (a_record(f"v{number}", number) for number in range(4))
OVERRIDE = Override(who="Ada", why="undone by hand")


def as_recorded(history: Sequence[ReleaseRecord]) -> dict[Place, str]:
    """What serves if all went as the records say; `history` is newest first."""
    good = next((record for record in history if record.state is State.RELEASED), None)
    return {place: target.revision for place, target in served_after(history, good).items()} if good else {}


def chosen(
    *history: ReleaseRecord,
    to: str | None = None,
    override: Override | None = None,
    live: dict[Place, str] | None = None,
) -> str:
    """`history` is oldest first."""
    newest_first = history[::-1]
    return choose(newest_first, live or as_recorded(newest_first), to, override)[0].version


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((V1, V2), "v1"),
        ((V1, a_record("v2", 2, state=State.FAILED), V3), "v1"),
        ((V1, V2, a_record("v3", 3, state=State.FAILED)), "v1"),
        ((V1, V2, V3, a_record("v2", 4, action="rollback", left="v3")), "v1"),
        ((V1, V2, V3, a_record("v1", 4, action="rollback", left="v3")), "v2"),
        ((V0, V1, V2, V3, a_record("v1", 4, action="rollback", left="v3")), "v0"),
        ((V0, V1, V2, a_record("v1", 4, action="rollback", left="v2"), a_record("v1", 5, action="refresh")), "v0"),
        ((V0, V1, V2, a_record("v1", 4)), "v2"),
        ((V1, V2, V3, a_record("v1", 4, action="rollback", left="v3"), a_record("v4", 5)), "v1"),
    ],
    ids=[
        "the one before", "not a failed one", "a failed newest changes nothing", "twice goes back twice",
        "after a jump to the first, one that nobody left", "after a jump, never forward",
        "nor when it was shipped again for drift", "from a version that was shipped again to what served before",
        "to what was gone back to before",
    ],
)  # fmt: skip
def test_without_a_name_the_good_release_before_what_serves_is_chosen(
    history: tuple[ReleaseRecord, ...], expected: str
) -> None:
    assert chosen(*history) == expected


@pytest.mark.parametrize(
    ("history", "to", "said"),
    [
        ((), None, "Nothing was ever released"),
        ((V1,), None, "nothing to go back to"),
        ((V1, V2), "v2", "is what serves now"),
        ((V1, V2), "v9", "never released here"),
        ((V1, a_record("v2", 2, state=State.FAILED, reason="20 % errors"), V3), "v2", "marked failed: 20 % errors"),
        ((V1, a_record("v2", 2, irreversible=True)), None, "v2 declares a migration"),
        ((V1, a_record("v2", 2, state=State.FAILED, irreversible=True), V3), "v1", "v2 declares a migration"),
        ((V1, V2, a_record("v1", 3, action="rollback", left="v2")), "v2", "what a rollback has left"),
    ],
    ids=[
        "empty history", "only one", "serves already", "unknown", "failed", "migration", "migration of a failed one",
        "left behind",
    ],
)  # fmt: skip
def test_a_rollback_is_refused_with_the_reason(history: tuple[ReleaseRecord, ...], to: str | None, said: str) -> None:
    with pytest.raises(RollbackRefused, match=said) as refused:
        chosen(*history, to=to)
    assert refused.value.remedy


API = Place("api", "europe-west1")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("to", [None, "v1"])
def test_a_version_that_failed_and_serves_all_the_same_is_gone_back_from(state: State, to: str | None) -> None:
    stuck = a_record("v2", 2, state=state, targets=(a_target("api", "api-v2"),))
    assert chosen(a_record("v0", 0), V1, stuck, to=to, live={API: "api-v2"}) == "v1"


@pytest.mark.parametrize("live", ["api-v2", "api-v3"], ids=["it was given back", "it still serves"])
def test_from_a_release_that_was_cancelled_for_it_a_rollback_goes_to_the_last_good_one_and_no_further(
    live: str,
) -> None:
    cancelled = a_record("v3", 3, state=State.CANCELLED, targets=(a_target("api", "api-v3"),))
    target, left = choose([cancelled, V2, V1], {API: live}, None, None, ["v3"])
    assert (target.version, left.version) == ("v2", "v3")


@pytest.mark.parametrize("again", ["deploy", "refresh"])
@pytest.mark.parametrize("revision", ["api-v2", "api-v2-again"], ids=["the same revision", "one of its own"])
def test_from_a_cancelled_second_release_of_the_good_version_it_goes_no_further_than_to_that(
    again: str, revision: str
) -> None:
    twice = a_record("v2", 3, run_id="again", action=again, state=State.CANCELLED, targets=(a_target("api", revision),))
    target, left = choose([twice, V2, V1], {API: "api-v2"}, None, None, ["again"])
    assert (target, left) == (V2, twice)


@pytest.mark.parametrize("live", ["api-v2", "api-v3"], ids=["it was given back", "nothing was moved yet"])
@pytest.mark.parametrize("state", [State.CANCELLED, State.RELEASED], ids=["undone", "finished for it"])
def test_from_a_rollback_that_was_cancelled_for_it_a_rollback_goes_where_that_was_going(
    live: str, state: State
) -> None:
    under_way = a_record("v2", 4, run_id="back", action="rollback", left="v3", state=state)
    target, left = choose([under_way, V3, V2, V1], {API: live}, None, None, ["back"])
    assert (target.version, left.version) == ("v2", "v3")


def test_a_release_that_had_ended_well_before_it_could_be_cancelled_is_gone_back_from_like_any_other() -> None:
    assert choose([V3, V2, V1], {API: "api-v3"}, None, None, ["v3"])[0] == V2


def test_a_second_release_that_failed_does_not_take_the_first_ones_good_name() -> None:
    """v2 is bad all the same: both brought the revision that serves, and going back is to the one before."""
    failed = a_record("v2", 3, run_id="again", state=State.FAILED)
    assert choose([failed, V2, V1], {API: "api-v2"}, None, None)[0] == V1


def test_one_that_failed_and_serves_with_a_revision_of_its_own_is_gone_back_from_to_its_own_versions_good_one() -> None:
    stuck = a_record("v2", 3, run_id="again", state=State.FAILED, targets=(a_target("api", "api-v2-again"),))
    assert choose([stuck, V2, V1], {API: "api-v2-again"}, None, None)[0] == V2


def test_what_nobody_knows_and_serves_is_gone_back_from() -> None:
    assert chosen(V1, V2, to="v2", live={API: "by-hand"}) == "v2"


def test_a_person_may_go_back_across_a_migration() -> None:
    assert chosen(V1, a_record("v2", 2, irreversible=True), override=OVERRIDE) == "v1"


class TestServicesThatDiffer:
    BOTH = a_record("v1", 1, targets=(a_target("api", "api-v1"), a_target("web", "web-v1")))
    WEB_ONLY = a_record("v2", 2, targets=(a_target("web", "web-v2"),))
    API_ONLY = a_record("v3", 3, targets=(a_target("api", "api-v3"),))

    @staticmethod
    def back(*history: ReleaseRecord, to: str | None = None) -> dict[str, str]:
        newest_first = history[::-1]
        live = as_recorded(newest_first)
        target, _ = choose(newest_first, live, to, None)
        return {each.service: each.revision for each in as_it_was(newest_first, target, live)}

    def test_what_was_shipped_again_for_drift_hides_neither_what_is_bad_nor_where_to_go(self) -> None:
        again = a_record("v1", 4, action="refresh", targets=(a_target("web", "web-v1"),))
        assert self.back(self.BOTH, self.API_ONLY, again) == {"api": "api-v1", "web": "web-v1"}

    def test_a_rollback_that_came_to_some_regions_only_can_be_gone_on_with(self) -> None:
        regions = ("europe-west1", "us-central1")

        def both(version: str) -> tuple[TargetRecord, ...]:
            return tuple(a_target("api", f"api-{version}", region) for region in regions)

        first, second = a_record("v1", 1, targets=both("v1")), a_record("v2", 2, targets=both("v2"))
        part = a_record("v1", 3, action="rollback", left="v2", targets=both("v1")[:1])
        live = {Place("api", regions[0]): "api-v1", Place("api", regions[1]): "api-v2"}
        chosen, _ = choose([part, second, first], live, "v1", None)
        assert [each.revision for each in as_it_was([part, second, first], chosen, live)] == ["api-v1", "api-v1"]

    def test_everything_is_as_it_was_when_the_release_was_out(self) -> None:
        """v2 was of one service: going back to it also takes back what v3 brought for the other one."""
        assert self.back(self.BOTH, self.WEB_ONLY, self.API_ONLY) == {"api": "api-v1", "web": "web-v2"}

    def test_a_service_that_newer_releases_left_alone_is_left_alone(self) -> None:
        newer = a_record("v3", 3, targets=(a_target("web", "web-v3"),))
        assert self.back(self.BOTH, self.WEB_ONLY, newer) == {"web": "web-v2"}

    def test_a_service_that_came_later_stays(self) -> None:
        newer = a_record("v2", 2, targets=(a_target("api", "api-v2"), a_target("mail", "mail-v2")))
        assert self.back(self.BOTH, newer) == {"api": "api-v1", "web": "web-v1"}

    def test_a_release_that_failed_since_brought_nothing_to_take_back(self) -> None:
        failed = self.API_ONLY.model_copy(update={"state": State.FAILED})
        newer = a_record("v4", 4, targets=(a_target("web", "web-v4"),))
        assert self.back(self.BOTH, self.WEB_ONLY, failed, newer) == {"web": "web-v2"}


class TestNarrowed:
    RELEASE = a_record(
        "v1", 1, targets=(a_target("api", "api-v1"), a_target("gone", "gone-v1"), a_target("api", "a", "asia-east1"))
    )

    def test_what_the_manifest_does_not_name_any_more_stays_as_it_is(self) -> None:
        kept = narrowed(a_request(), self.RELEASE)
        assert [(each.service, each.region) for each in kept.targets] == [("api", "europe-west1")]
        assert kept.images == {"api": self.RELEASE.targets[0].image}

    def test_what_was_released_under_another_name_is_not_given_traffic_under_the_new_one(self) -> None:
        renamed = a_request(text=MANIFEST.replace("port: 9000", "port: 9000, name: orders"))
        with pytest.raises(RollbackRefused, match=r"under other names: api in europe-west1 was shop-api"):
            narrowed(renamed, self.RELEASE)
        again = self.RELEASE.targets[0].model_copy(update={"name": "orders"})
        assert narrowed(renamed, self.RELEASE.model_copy(update={"targets": (again,)})).targets == (again,)

    def test_with_nothing_left_the_rollback_is_refused(self) -> None:
        with pytest.raises(RollbackRefused, match="names none of the services"):
            narrowed(replace(a_request(), services=("web",)), self.RELEASE)


def a_job(job: str, image: str) -> JobRecord:
    return JobRecord(job=job, name=f"projects/p/locations/r-r1/jobs/{job}", image=image)


def test_jobs_go_back_to_what_they_were_then_also_those_that_the_release_did_not_bring() -> None:
    history = [
        a_record("v4", 4, jobs=(a_job("migrate", "v4"), a_job("new", "v4"))),
        a_record("v3", 3, jobs=(a_job("migrate", "v3"),)),
        a_record("v2", 2, state=State.FAILED, jobs=(a_job("tidy", "v2"),)),
        a_record("v1", 1, jobs=(a_job("migrate", "v1"), a_job("tidy", "v1"))),
    ]
    found = {job.job: job.image for job in jobs_as_they_were(history, history[1])}
    assert found == {"migrate": "v3", "tidy": "v1"}
