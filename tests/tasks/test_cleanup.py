"""Which revisions a release may take away."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from infra.gcp.run import TrafficTarget
from tasks.cleanup import superfluous
from tests.tasks.builders import NOW, a_revision, a_service

ages = st.lists(st.integers(0, 400), min_size=1, max_size=20, unique=True)


@given(ages=ages, keep=st.integers(1, 12), data=st.data())
def test_no_revision_goes_that_is_used_young_or_not_ours(ages: list[int], keep: int, data: st.DataObject) -> None:
    revisions = [a_revision(f"r{age}", age_days=age + 0.5, ours=data.draw(st.booleans())) for age in ages]
    serving = data.draw(st.sampled_from(revisions)).name
    tagged = data.draw(st.sampled_from(revisions)).name
    service = a_service(TrafficTarget(serving, 100), TrafficTarget(tagged, 0, "mine"), latest=f"r{min(ages)}")
    gone = superfluous(service, revisions, keep, timedelta(days=90), NOW)
    newest = sorted(ages)[:keep]
    for revision in gone:
        assert revision.name not in (serving, tagged)
        assert revision.labels.get("managed-by") == "slipway"
        assert NOW - revision.created > timedelta(days=90)
        assert int(revision.name[1:]) not in newest


def test_old_ones_beyond_the_kept_go() -> None:
    revisions = [a_revision(f"r{n}", age_days=100 + n) for n in range(5)]
    service = a_service(TrafficTarget("r0", 100), latest="r0")
    assert [r.name for r in superfluous(service, revisions, 2, timedelta(days=90), NOW)] == ["r2", "r3", "r4"]


def test_a_service_that_seems_to_serve_nothing_loses_nothing() -> None:
    revisions = [a_revision(f"r{n}", age_days=100 + n) for n in range(5)]
    assert superfluous(a_service(latest=""), revisions, 1, timedelta(days=1), NOW) == []
