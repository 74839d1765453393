"""The split rules by a model of Cloud Run: right in every state that people and releases can bring a service to."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infra.gcp.run.traffic import TrafficTarget as Target
from tasks.failures.errors import TrafficConflict
from tasks.model import Verdict
from tasks.rollout.split import Move, Traffic, changed_by_other, dark, next_split, normalise, restore, stable_revision
from tests.tasks.rollout.splits import CANARY, shares, tags


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
