"""The split rules, by example for each situation a service can be in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.run.traffic import TrafficTarget as Target
from tasks.failures.errors import TrafficConflict
from tasks.model import Verdict
from tasks.rollout.split import (
    Move,
    NextSplit,
    Traffic,
    changed_by_other,
    dark,
    next_split,
    normalise,
    pinned,
    restore,
    stable_revision,
)
from tests.tasks.rollout.splits import CANARY, shares, tags

V1, V2, V3 = "api-v1", "api-v2", "api-v3"


def live(*targets: Target, latest: str | None = V1, ready: str = f"{V1} {V2} {V3}") -> Traffic:
    return Traffic(targets, latest, frozenset(ready.split()))


@pytest.mark.parametrize(
    ("given_split", "expected"),
    [
        pytest.param((), (Target(None, 100),), id="empty-is-all-to-latest"),
        pytest.param(
            (Target(V1, 100, "beta"),), (Target(V1, 100), Target(V1, 0, "beta")), id="percent-and-tag-are-separate"
        ),
        pytest.param(
            (Target(V1, 20), Target(V2, 60), Target(V1, 20)), (Target(V1, 40), Target(V2, 60)), id="duplicates-merge"
        ),
        pytest.param(
            (Target(V1, 0, "a"), Target(V2, 100), Target(V1, 0, "b"), Target(V1, 0, "a")),
            (Target(V2, 100), Target(V1, 0, "a"), Target(V1, 0, "b")),
            id="every-tag-is-kept-once",
        ),
        pytest.param(
            (Target(V1, 1), Target(V2, 1), Target(V3, 1)),
            (Target(V1, 34), Target(V2, 33), Target(V3, 33)),
            id="another-sum-is-scaled",
        ),
        pytest.param(
            (Target(V1, 5), Target(V2, 1)),
            (Target(V1, 83), Target(V2, 17)),
            id="what-is-left-over-by-largest-remainder",
        ),
    ],
)
def test_a_split_is_written_as_gcloud_writes_it(given_split: tuple[Target, ...], expected: tuple[Target, ...]) -> None:
    assert normalise(given_split) == expected


some_targets = st.lists(
    st.builds(Target, st.sampled_from([None, V1, V2, V3]), st.integers(0, 100), st.sampled_from(["", "a", "b", "c"]))
)


@given(some_targets)
def test_a_normal_split_sums_to_100_keeps_every_tag_and_stays_as_it_is(targets: list[Target]) -> None:
    split = normalise(targets)
    assert sum(target.percent for target in split) == 100
    assert all(not (target.percent and target.tag) for target in split)
    assert tags(split).keys() == {target.tag for target in targets if target.tag}
    assert normalise(split) == split


@pytest.mark.parametrize(
    "split", [(), (Target(None, 100),), (Target(V1, 90), Target(None, 10))], ids=["empty", "all", "some"]
)
def test_a_service_whose_latest_receives_traffic_is_not_pinned(split: tuple[Target, ...]) -> None:
    assert pinned(live(*split)) is None


def test_a_service_pinned_by_an_earlier_rollback_is_reported_with_what_a_plain_deploy_would_get() -> None:
    reason = pinned(live(Target(V1, 100), Target(None, 0, "next"), latest=V2))
    assert reason is not None
    assert "api-v1 holds 100 %" in reason
    assert "gets 0 %" in reason
    assert "The newest ready revision, api-v2, is such a one." in reason


@pytest.mark.parametrize("latest", [V1, None], ids=["it-has-the-traffic", "none-is-ready"])
def test_the_newest_revision_is_named_only_where_it_gets_nothing(latest: str | None) -> None:
    reason = pinned(live(Target(V1, 100), latest=latest))
    assert reason is not None
    assert "newest" not in reason


def test_there_is_no_stable_revision_where_none_that_has_traffic_is_ready() -> None:
    assert stable_revision(live(Target("dead", 100))) is None


def test_the_stable_revision_is_never_read_off_a_tag_entry() -> None:
    assert stable_revision(live(Target(V2, 0, "beta"), Target(V3, 30), Target(V1, 70))) == V1


def test_the_stable_revision_of_a_half_done_canary_is_not_the_candidate() -> None:
    assert stable_revision(live(Target(V2, 75), Target(V1, 25)), candidate=V2) == V1


class TestDark:
    def test_the_revision_behind_latest_keeps_the_traffic_by_name(self) -> None:
        split = dark(live(Target(None, 100)), V2, "v2")
        assert split.targets == (Target(V1, 100), Target(V2, 0, "v2"))
        assert split.notes == ("LATEST is pinned to api-v1, so that the candidate gets nothing of its 100 %",)
        assert not split.first

    def test_user_tags_and_foreign_shares_stay(self) -> None:
        before = live(Target(V1, 90), Target(V3, 10), Target(V3, 0, "beta"), Target(None, 0, "newest"))
        split = dark(before, V2, "v2").targets
        assert shares(split) == {V1: 90, V3: 10}
        assert tags(split) == {"beta": V3, "newest": None, "v2": V2}

    def test_a_second_deploy_of_the_candidate_changes_nothing(self) -> None:
        once = dark(live(Target(None, 100)), V2, "v2").targets
        assert dark(live(*once, latest=V2), V2, "v2").targets == once

    def test_a_resumed_release_keeps_the_share_the_candidate_has_reached(self) -> None:
        assert shares(dark(live(Target(V1, 75), Target(V2, 25)), V2, "v2").targets) == {V1: 75, V2: 25}

    def test_stale_entries_are_dropped_with_a_note_and_their_share_goes_to_the_largest(self) -> None:
        before = live(Target("dead", 30), Target(V3, 30), Target(V1, 40), Target("dead", 0, "old"))
        split = dark(before, V2, "v2")
        assert shares(split.targets) == {V1: 70, V3: 30}
        assert tags(split.targets) == {"v2": V2}
        assert split.notes == (
            "dead is gone or not ready: its 30 % go to a revision that serves",
            "tag old is dropped: dead is gone or not ready",
        )

    def test_a_failed_revision_left_in_the_desired_traffic_does_not_break_the_next_deploy(self) -> None:
        stuck = Traffic((Target("failed", 100),), V1, frozenset({V1, V3}), observed=(Target(V1, 80), Target(V3, 20)))
        assert shares(dark(stuck, V2, "v2").targets) == {V1: 80, V3: 20}

    def test_when_nothing_ready_serves_the_deploy_is_refused_with_the_revisions_to_choose_from(self) -> None:
        with pytest.raises(TrafficConflict) as refusal:
            dark(Traffic((Target("failed", 100),), None, frozenset({V1, V3})), V2, "v2")
        assert refusal.value.remedy.startswith("gcloud run services update-traffic --to-revisions=REVISION=100, ")
        assert refusal.value.remedy.endswith("one of api-v1, api-v3")

    def test_what_has_served_before_takes_over_where_nothing_ready_serves(self) -> None:
        split = dark(Traffic((Target("failed", 100),), None, frozenset({V1, V3})), V1, "v1", served=True)
        assert split.targets == (Target(V1, 100), Target(V1, 0, "v1"))
        assert not split.first

    def test_a_first_deployment_is_told_apart(self) -> None:
        first = dark(Traffic((), None, frozenset()), V1, "v1")
        assert first.first
        assert first.notes == ()
        assert first.targets == (Target(V1, 100), Target(V1, 0, "v1"))

    def test_a_first_deployment_that_is_run_again_is_still_the_first(self) -> None:
        assert dark(live(Target(V1, 100), ready=V1), V1, "v1").first

    @pytest.mark.parametrize(("tag", "own"), [("slipway-next", ()), ("v2", ("v2",))], ids=["prefix", "recorded"])
    def test_our_tag_moves_from_an_older_revision(self, tag: str, own: tuple[str, ...]) -> None:
        split = dark(live(Target(V1, 100), Target(V3, 0, tag)), V2, tag, own)
        assert tags(split.targets) == {tag: V2}
        assert split.notes == (f"tag {tag} moves from api-v3 to api-v2",)

    @pytest.mark.parametrize(("holder", "name"), [(V3, V3), (None, "LATEST")], ids=["revision", "latest"])
    def test_a_tag_of_somebody_else_is_not_taken(self, holder: str | None, name: str) -> None:
        with pytest.raises(TrafficConflict, match=f"somebody else has put it on {name}"):
            dark(live(Target(V1, 100), Target(holder, 0, "v2")), V2, "v2", own_tags=("v1",))


class TestNextSplit:
    def test_a_canary_climbs_its_steps_on_health_alone_and_ends(self) -> None:
        split: tuple[Target, ...] = (Target(V1, 100), Target(V2, 0, "v2"))
        seen = []
        for _ in range(len(CANARY) + 1):
            step = next_split(live(*split), V1, V2, CANARY, Verdict.HEALTHY)
            split = step.targets
            seen.append((step.move, step.percent))
        assert seen == [(Move.FORWARD, percent) for percent in (5, 25, 50, 100)]
        step = next_split(live(*split), V1, V2, CANARY, Verdict.HEALTHY)
        assert step == NextSplit(Move.DONE, split, 100, "healthy at 100 %: the release is complete")

    @pytest.mark.parametrize("held", [0, 5, 25, 50, 100])
    def test_an_inconclusive_verdict_holds_the_split(self, held: int) -> None:
        before = normalise((Target(V1, 100 - held), Target(V2, held), Target(V3, 0, "beta")))
        step = next_split(live(*before), V1, V2, CANARY, Verdict.INCONCLUSIVE)
        assert (step.move, step.targets, step.percent) == (Move.HOLD, before, held)

    @pytest.mark.parametrize("held", [0, 5, 25, 50, 100])
    def test_an_unhealthy_verdict_gives_everything_back(self, held: int) -> None:
        before = live(Target(V1, 100 - held), Target(V2, held), Target(V2, 0, "v2"), Target(V1, 0, "beta"))
        step = next_split(before, V1, V2, CANARY, Verdict.UNHEALTHY)
        assert step.targets == (Target(V1, 100), Target(V2, 0, "v2"), Target(V1, 0, "beta"))
        assert (step.move, step.percent) == (Move.BACK, 0)

    def test_direct_goes_to_everything_at_once_and_keeps_the_old_revisions_tag(self) -> None:
        step = next_split(live(Target(V1, 100), Target(V1, 0, "v1")), V1, V2, (), Verdict.HEALTHY)
        assert step.targets == (Target(V2, 100), Target(V1, 0, "v1"))

    def test_a_share_between_two_steps_goes_on_to_the_next_higher(self) -> None:
        step = next_split(live(Target(V1, 90), Target(V2, 10)), V1, V2, CANARY, Verdict.HEALTHY)
        assert shares(step.targets) == {V1: 75, V2: 25}

    def test_a_third_revision_keeps_its_share_to_the_end(self) -> None:
        before: tuple[Target, ...] = (Target(V1, 70), Target(V2, 20), Target(V3, 10))
        up = next_split(live(*before), V1, V2, (50,), Verdict.HEALTHY)
        assert shares(up.targets) == {V1: 40, V2: 50, V3: 10}
        last = next_split(live(*up.targets), V1, V2, (50,), Verdict.HEALTHY)
        assert shares(last.targets) == {V2: 90, V3: 10}
        done = next_split(live(*last.targets), V1, V2, (50,), Verdict.HEALTHY)
        assert (done.move, done.percent) == (Move.DONE, 90)
        assert "api-v3 keeps its 10 %" in done.reason
        back = next_split(live(*last.targets), V1, V2, (50,), Verdict.UNHEALTHY)
        assert shares(back.targets) == {V1: 90, V3: 10}

    def test_the_end_names_every_revision_that_keeps_a_share(self) -> None:
        before = live(Target(V2, 80), Target(V3, 15), Target("web", 5), ready=f"{V1} {V2} {V3} web")
        done = next_split(before, V1, V2, CANARY, Verdict.HEALTHY)
        assert done.reason == "healthy at 80 %: the release is complete; api-v3 keeps its 15 %; web keeps its 5 %"

    def test_steps_that_stable_cannot_pay_for_are_refused_before_the_first(self) -> None:
        with pytest.raises(TrafficConflict) as refusal:
            before = live(Target(V1, 40), Target(V3, 50), Target("web", 10), ready=f"{V1} {V2} {V3} web")
            next_split(before, V1, V2, CANARY, Verdict.HEALTHY)
        assert refusal.value.problem == (
            "the candidate is to get 50 %, but with api-v1 it has only 40 %; api-v3 holds 50 %; web holds 10 %."
        )
        assert refusal.value.state == "api-v2 keeps 0 % of the traffic."

    def test_stable_may_give_its_last_percent_to_the_largest_step(self) -> None:
        step = next_split(live(Target(V1, 50), Target(V3, 50)), V1, V2, CANARY, Verdict.HEALTHY)
        assert shares(step.targets) == {V1: 45, V2: 5, V3: 50}

    def test_stable_may_give_the_one_percent_that_it_has(self) -> None:
        step = next_split(live(Target(V1, 1), Target(V3, 99)), V1, V2, (), Verdict.HEALTHY)
        assert shares(step.targets) == {V2: 1, V3: 99}

    def test_a_stable_revision_without_traffic_has_nothing_to_give(self) -> None:
        with pytest.raises(TrafficConflict, match="api-v3 holds 100 %"):
            next_split(live(Target(V3, 100)), V1, V2, (), Verdict.HEALTHY)

    def test_an_unhealthy_first_deployment_has_nothing_to_go_back_to_and_says_so(self) -> None:
        step = next_split(live(Target(V1, 100), ready=V1), None, V1, CANARY, Verdict.UNHEALTHY)
        assert (step.move, shares(step.targets)) == (Move.BACK, {V1: 100})
        assert "no earlier revision to go back to" in step.reason

    def test_a_healthy_first_deployment_is_done(self) -> None:
        step = next_split(live(Target(V1, 100), ready=V1), None, V1, CANARY, Verdict.HEALTHY)
        assert (step.move, step.percent) == (Move.DONE, 100)

    def test_traffic_is_not_given_back_to_a_revision_that_is_gone(self) -> None:
        with pytest.raises(TrafficConflict, match="api-v1 cannot take its traffic back") as refusal:
            next_split(live(Target(V3, 75), Target(V2, 25), ready=f"{V2} {V3}"), V1, V2, CANARY, Verdict.UNHEALTHY)
        assert refusal.value.state == "api-v2 keeps 25 % of the traffic."

    def test_a_dark_candidate_that_fails_moves_nothing_even_where_stable_is_gone(self) -> None:
        before = live(Target(V3, 100), Target(V2, 0, "v2"), ready=f"{V2} {V3}")
        step = next_split(before, V1, V2, CANARY, Verdict.UNHEALTHY)
        assert (step.move, step.targets) == (Move.BACK, before.targets)
        assert step.reason == "unhealthy at 0 %: back to api-v1"

    def test_the_share_of_a_candidate_that_broke_down_goes_to_stable_not_to_a_larger_third(self) -> None:
        before = live(Target(V1, 15), Target(V2, 25), Target(V3, 60), ready=f"{V1} {V3}")
        assert shares(next_split(before, V1, V2, CANARY, Verdict.UNHEALTHY).targets) == {V1: 40, V3: 60}

    def test_a_candidate_that_was_deleted_after_its_proof_gets_no_traffic(self) -> None:
        before = live(Target(V1, 95), Target(V2, 5), ready=V1)
        with pytest.raises(TrafficConflict, match="api-v2 was healthy, but is gone or not ready now") as refusal:
            next_split(before, V1, V2, CANARY, Verdict.HEALTHY)
        assert refusal.value.state == "api-v2 gets no more traffic."

    def test_a_service_none_of_whose_targets_is_ready_is_not_shifted(self) -> None:
        with pytest.raises(TrafficConflict, match="gone or not ready"):
            next_split(live(Target("dead", 100)), V1, V2, CANARY, Verdict.HEALTHY)

    def test_everything_returns_to_stable_even_when_all_entries_are_stale(self) -> None:
        step = next_split(live(Target("dead", 100)), V1, V2, CANARY, Verdict.UNHEALTHY)
        assert shares(step.targets) == {V1: 100}


class TestRestore:
    def test_the_snapshot_returns_with_the_tags_set_since(self) -> None:
        snapshot = live(Target(V1, 80), Target(V3, 20), Target(V1, 0, "old"))
        now = live(Target(V2, 100), Target(V2, 0, "v2"), Target(V1, 0, "debug"), Target(V3, 0, "old"))
        split = restore(now, snapshot)
        assert shares(split) == {V1: 80, V3: 20}
        assert tags(split) == {"v2": V2, "debug": V1, "old": V3}

    def test_latest_in_a_snapshot_means_what_it_meant_then(self) -> None:
        assert shares(restore(live(Target(V2, 100), latest=V2), live(latest=V1))) == {V1: 100}

    def test_the_share_of_a_deleted_revision_is_shared_out_in_proportion(self) -> None:
        snapshot = live(Target(V1, 40), Target(V2, 20), Target(V3, 40))
        now = live(Target("new", 100), ready=f"{V1} {V2} new")
        assert shares(restore(now, snapshot)) == {V1: 67, V2: 33}

    def test_with_nothing_left_to_restore_the_rollback_is_refused_by_name(self) -> None:
        with pytest.raises(TrafficConflict, match="api-v1 cannot serve") as refusal:
            restore(live(Target(V2, 100), ready=V2), live(Target(V1, 100)))
        assert refusal.value.state == "Traffic is as it was."

    def test_a_snapshot_in_which_nothing_served_is_told_so(self) -> None:
        with pytest.raises(TrafficConflict, match="what served before cannot serve"):
            restore(live(Target(V2, 100)), Traffic((Target("dead", 100),), None, frozenset()))


class TestChangedByOther:
    def test_the_same_split_written_differently_is_no_change(self) -> None:
        changes = changed_by_other(
            [Target(V1, 95), Target(V2, 5, "v2")], [Target(V2, 0, "v2"), Target(V2, 5), Target(V1, 95)]
        )
        assert (changes.traffic, changes.tags) == ((), ())

    def test_moved_traffic_is_told_for_each_revision(self) -> None:
        changes = changed_by_other([Target(V1, 95), Target(V2, 5)], [Target(None, 50), Target(V1, 50)])
        assert changes.traffic == (
            "api-v1: 95 % expected, 50 % found",
            "api-v2: 5 % expected, 0 % found",
            "LATEST: 0 % expected, 50 % found",
        )

    def test_tags_are_told_apart_from_traffic(self) -> None:
        changes = changed_by_other(
            [Target(V1, 100), Target(V1, 0, "gone"), Target(V2, 0, "moved")],
            [Target(V1, 100), Target(None, 0, "moved"), Target(V1, 0, "new")],
        )
        assert changes.traffic == ()
        assert changes.tags == (
            "tag gone: on api-v1 expected, nowhere found",
            "tag moved: on api-v2 expected, on LATEST found",
            "tag new: nowhere expected, on api-v1 found",
        )
