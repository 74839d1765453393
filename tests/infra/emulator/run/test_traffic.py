"""Traffic on the local Cloud Run: shares, tags, and the revisions they keep alive."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.infra.emulator.emulated_run import QUICK, Run, answer, fetch, latest, new_name, short, template, to

State = run_v2.Condition.State


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def two_revisions(run: Run) -> tuple[run_v2.Service, str, str]:
    """A service with a revision at 100 % and a newer one, dark, with the tag `next`."""
    name = new_name()
    old, new = f"{name}-v1", f"{name}-v2"
    service = run.create(name, template(revision=old, env={"VERSION": "1"}))
    service.template = template(revision=new, env={"VERSION": "2"})
    service.traffic = [to(old, 100), to(new, tag="next")]
    return run.update(service), old, new


def test_a_dark_revision_answers_at_its_tag_only(run: Run) -> None:
    service, old, new = two_revisions(run)
    statuses = {(s.revision, s.percent, s.tag): s.uri for s in service.traffic_statuses}
    tag_uri = statuses[(new, 0, "next")]
    assert statuses[(old, 100, "")] == "" and tag_uri.startswith("http://127.0.0.1:")
    assert {answer(service.uri)["revision"] for _ in range(5)} == {old}
    assert answer(tag_uri)["revision"] == new


def test_requests_are_split_by_percent(run: Run) -> None:
    service, old, new = two_revisions(run)
    service.traffic = [to(old, 75), to(new, 25)]
    service = run.update(service, "traffic")
    seen = [answer(service.uri)["revision"] for _ in range(100)]
    assert (seen.count(old), seen.count(new)) == (75, 25)


def test_latest_traffic_follows_the_latest_ready_revision(run: Run) -> None:
    service, _, new = two_revisions(run)
    service.traffic = [latest()]
    service = run.update(service, "traffic")
    assert answer(service.uri)["revision"] == new
    service.template = template(env={"VERSION": "3"})
    service = run.update(service)
    assert answer(service.uri)["revision"] == short(service.latest_ready_revision) != new


def test_a_tag_that_is_taken_away_no_longer_answers(run: Run) -> None:
    service, old, new = two_revisions(run)
    tag_uri = next(s.uri for s in service.traffic_statuses if s.tag)
    service.traffic = [to(old, 100)]
    run.update(service, "traffic")
    with pytest.raises(Exception, match=r"refused"):
        fetch(tag_uri)
    assert new in {short(r.name) for r in run.revisions.list_revisions(parent=service.name)}


def test_traffic_to_a_revision_that_does_not_exist_fails_and_moves_nothing(run: Run) -> None:
    service, old, _ = two_revisions(run)
    service.traffic = [to(f"{short(service.name)}-gone", 100)]
    error = run.failure(run.start_update(service, "traffic"))
    assert error.code == 500 or error.grpc_status_code
    assert error.message == (
        f"Revision '{short(service.name)}-gone' does not exist or is deleted. Update all traffic to route to "
        "currently available revisions."
    )
    now = run.get(short(service.name))
    assert now.terminal_condition.state == State.CONDITION_FAILED
    assert answer(now.uri)["revision"] == old


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ([to("x-1", 50)], "must sum to 100"),
        ([to("x-1", 100, "t"), to("x-2", 0, "t")], "tags must be unique"),
        ([latest(50), latest(50)], "once only"),
        ([to("x-1", 100, "Bad")], "Traffic tag 'Bad'"),
        ([to("", 100)], "must name a revision"),
    ],
    ids=["sum", "tags", "latest twice", "tag form", "no revision"],
)
def test_impossible_traffic_is_refused(run: Run, traffic: list[run_v2.TrafficTarget], words: str) -> None:
    service = run.create(new_name())
    service.traffic = traffic
    with pytest.raises(exceptions.InvalidArgument, match=words):
        run.start_update(service, "traffic")


def test_traffic_of_the_first_deployment_may_name_its_own_revision(run: Run) -> None:
    name = new_name()
    service = run.create(name, template(revision=f"{name}-v1"), traffic=[latest(), to(f"{name}-v1", tag="first")])
    tagged = next(status for status in service.traffic_statuses if status.tag == "first")
    assert answer(tagged.uri)["revision"] == f"{name}-v1"


def test_a_revision_that_serves_cannot_be_deleted(run: Run) -> None:
    service, old, new = two_revisions(run)
    for revision in (old, new):
        with pytest.raises(exceptions.FailedPrecondition, match="because it is actively serving"):
            run.revisions.delete_revision(name=f"{service.name}/revisions/{revision}")


def test_a_retired_revision_can_be_deleted(run: Run) -> None:
    service, old, new = two_revisions(run)
    service.traffic = [to(new, 100)]
    run.update(service, "traffic")
    name = f"{service.name}/revisions/{old}"
    assert run.revisions.delete_revision(name=name).result(polling=QUICK).name == name
    with pytest.raises(exceptions.NotFound, match="of kind 'REVISION'"):
        run.revisions.get_revision(name=name)
