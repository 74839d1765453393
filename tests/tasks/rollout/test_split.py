"""The split rules: by example for each situation a service can be in, and by a model of Cloud Run for all of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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

V1, V2, V3 = "api-v1", "api-v2", "api-v3"
CANARY = (5, 25, 50)


def live(*targets: Target, latest: str | None = V1, ready: str = f"{V1} {V2} {V3}") -> Traffic:
    return Traffic(targets, latest, frozenset(ready.split()))


def shares(targets: tuple[Target, ...]) -> dict[str | None, int]:
    return {target.revision: target.percent for target in targets if target.percent}


def tags(targets: tuple[Target, ...]) -> dict[str, str | None]:
    return {target.tag: target.revision for target in targets if target.tag}


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
            id="another-sum-is-scaled-by-largest-remainder",
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
        assert "api-v1, api-v3" in refusal.value.remedy

    def test_a_first_deployment_is_told_apart(self) -> None:
        first = dark(Traffic((), None, frozenset()), V1, "v1")
        assert first.first
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
        while (step := next_split(live(*split), V1, V2, CANARY, Verdict.HEALTHY)).move is Move.FORWARD:
            split = step.targets
            seen.append(step.percent)
        assert seen == [5, 25, 50, 100]
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

    def test_steps_that_stable_cannot_pay_for_are_refused_before_the_first(self) -> None:
        with pytest.raises(TrafficConflict) as refusal:
            next_split(live(Target(V1, 40), Target(V3, 60)), V1, V2, CANARY, Verdict.HEALTHY)
        assert "to get 50 %, but with api-v1 it has only 40 %; api-v3 holds 60 %" in refusal.value.problem
        assert refusal.value.state == "api-v2 keeps 0 % of the traffic."

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
        with pytest.raises(TrafficConflict, match="api-v1 cannot take its traffic back"):
            next_split(live(Target(V3, 75), Target(V2, 25), ready=f"{V2} {V3}"), V1, V2, CANARY, Verdict.UNHEALTHY)

    def test_a_dark_candidate_that_fails_moves_nothing_even_where_stable_is_gone(self) -> None:
        before = live(Target(V3, 100), Target(V2, 0, "v2"), ready=f"{V2} {V3}")
        step = next_split(before, V1, V2, CANARY, Verdict.UNHEALTHY)
        assert (step.move, step.targets) == (Move.BACK, before.targets)

    def test_the_share_of_a_candidate_that_broke_down_goes_to_stable_not_to_a_larger_third(self) -> None:
        before = live(Target(V1, 15), Target(V2, 25), Target(V3, 60), ready=f"{V1} {V3}")
        assert shares(next_split(before, V1, V2, CANARY, Verdict.UNHEALTHY).targets) == {V1: 40, V3: 60}

    def test_a_candidate_that_was_deleted_after_its_proof_gets_no_traffic(self) -> None:
        before = live(Target(V1, 95), Target(V2, 5), ready=V1)
        with pytest.raises(TrafficConflict, match="api-v2 was healthy, but is gone or not ready now"):
            next_split(before, V1, V2, CANARY, Verdict.HEALTHY)

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
        with pytest.raises(TrafficConflict, match="api-v1 cannot serve"):
            restore(live(Target(V2, 100), ready=V2), live(Target(V1, 100)))


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


class Service(RuleBasedStateMachine):
    """A Cloud Run service on which Slipway releases while people deploy, shift, tag and delete."""

    @initialize()
    def the_service_exists(self) -> None:
        self.count = 1
        self.ready = {"r1"}
        self.latest = "r1"
        self.targets: tuple[Target, ...] = ()
        self.user_tags: dict[str, str | None] = {}
        self.candidate = ""
        self.stable: str | None = None
        self.snapshot = self.service

    @property
    def service(self) -> Traffic:
        return Traffic(self.targets, self.latest, frozenset(self.ready))

    def serving(self) -> dict[str, int]:
        """What Cloud Run routes: nothing of the service's own rules, only its API's."""
        received: dict[str, int] = {}
        for target in self.targets or (Target(None, 100),):
            name = target.revision or self.latest
            received[name] = received.get(name, 0) + target.percent
        return {name: percent for name, percent in received.items() if percent}

    def write(self, targets: tuple[Target, ...], allowed: set[str]) -> None:
        """Write a decided split, checked as a split that must be right in every world."""
        before = self.serving()
        assert sum(target.percent for target in targets) == 100
        assert all(0 <= target.percent <= 100 for target in targets)
        assert all(target.revision is not None for target in targets if target.percent)
        receivers = {target.revision for target in targets if target.percent}
        assert receivers <= self.ready, "a revision that cannot serve gets traffic"
        grown = {t.revision for t in targets if t.percent > before.get(str(t.revision), 0)}
        assert grown <= allowed, "an unproven revision gets traffic"
        kept = {tag: rev for tag, rev in self.user_tags.items() if rev is None or rev in self.ready}
        assert kept.items() <= tags(targets).items(), "a user's tag is lost"
        self.targets = targets
        self.user_tags = kept

    def largest(self) -> set[str]:
        """Who may receive the share of revisions that are gone."""
        alive = {name: percent for name, percent in self.serving().items() if name in self.ready}
        return {name for name, percent in alive.items() if percent == max(alive.values())}

    @rule()
    def slipway_deploys(self) -> None:
        if not set(self.serving()) & self.ready:
            return
        name = f"r{self.count + 1}"
        snapshot, stable = self.service, stable_revision(self.service)
        self.ready.add(name)  # the write that creates the revision also sets the split
        split = dark(snapshot, name, f"slipway-{name}")
        assert shares(split.targets).get(name, 0) == 0
        self.write(split.targets, self.largest())
        self.count += 1
        self.latest, self.candidate, self.snapshot, self.stable = name, name, snapshot, stable

    @precondition(lambda self: self.candidate)
    @rule(verdict=st.sampled_from(Verdict), steps=st.sampled_from([(), (50,), CANARY]))
    def slipway_steps(self, verdict: Verdict, steps: tuple[int, ...]) -> None:
        held = self.serving().get(self.candidate, 0)
        try:
            step = next_split(self.service, self.stable, self.candidate, steps, verdict)
        except TrafficConflict:
            return
        if self.candidate not in self.ready:
            held = 0
        allowed = self.largest() | ({self.candidate} if verdict is Verdict.HEALTHY else {str(self.stable)})
        self.write(step.targets, allowed)
        now = shares(step.targets).get(self.candidate, 0)
        assert now == step.percent
        match step.move:
            case Move.FORWARD:
                assert verdict is Verdict.HEALTHY
                assert held < now <= min([s for s in (*steps, 100) if s > held])
            case Move.HOLD:
                assert verdict is Verdict.INCONCLUSIVE
            case Move.DONE:
                assert verdict is Verdict.HEALTHY
                assert now == held or self.candidate in self.largest()
            case Move.BACK:
                assert verdict is Verdict.UNHEALTHY
                assert now == 0

    @precondition(lambda self: self.candidate)
    @rule()
    def slipway_restores(self) -> None:
        try:
            split = restore(self.service, self.snapshot)
        except TrafficConflict:
            return
        before = {target.revision or self.snapshot.latest_ready for target in normalise(self.snapshot.targets)}
        self.write(split, {str(revision) for revision in before if revision})

    @rule()
    def a_person_deploys(self) -> None:
        self.count += 1
        self.latest = f"r{self.count}"
        self.ready.add(self.latest)

    @rule(data=st.data(), percent=st.integers(0, 100))
    def a_person_shifts_traffic(self, data: st.DataObject, percent: int) -> None:
        choice = st.sampled_from([None, *sorted(self.ready)])
        split = (Target(data.draw(choice), percent), Target(data.draw(choice), 100 - percent))
        self.targets = normalise((*split, *(t for t in self.targets if t.tag and not t.percent)))

    @rule(data=st.data(), tag=st.sampled_from(["beta", "preview", "debug"]))
    def a_person_sets_a_tag(self, data: st.DataObject, tag: str) -> None:
        holder = data.draw(st.sampled_from([None, *sorted(self.ready)]))
        split = self.targets or (Target(None, 100),)
        self.targets = (*(t for t in split if t.tag != tag), Target(holder, 0, tag))
        self.user_tags[tag] = holder

    @rule(data=st.data())
    def a_revision_breaks_or_is_deleted(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from(sorted(self.ready)))
        if gone != self.latest and len(self.ready) > 1:
            self.ready.discard(gone)

    @invariant()
    def the_differences_to_itself_are_none(self) -> None:
        changes = changed_by_other(self.targets, normalise(self.targets))
        assert not changes.traffic + changes.tags


TestEveryReachableState = Service.TestCase
TestEveryReachableState.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
