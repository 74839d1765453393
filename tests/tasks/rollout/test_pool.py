"""What a release asks of a worker pool, and how its instances pass to a new revision."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import run_v2
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.run.pools.shares import shared_out
from infra.gcp.run.worker_pools import RunPool, Split, _pool
from tasks.history.pool_record import PoolRecord
from tasks.model import Image
from tasks.rollout.pool import (
    as_it_is,
    bare_pool,
    body_before,
    desired_pool,
    is_as_before,
    split_for,
    steps_in_instances,
    whole_then,
)
from tasks.rollout.pools import pinned
from tests.tasks.builders import a_request, a_version
from tests.tasks.rollout.test_live import a_revision

TEXT = """
app: shop
services: {web: {}}
worker_pools: {mailer: {POOL}}
environments: {production: {project: acme-test, regions: [europe-west1]}}
"""
IMAGE = Image("web", "europe-west1-docker.pkg.dev/acme-test/shop/web", "sha256:" + "1" * 64, "v1.0.0")


def live(body: dict[str, Any]) -> RunPool:
    name = "projects/acme-test/locations/europe-west1/workerPools/shop-mailer"
    return _pool(json_format.ParseDict({"name": name, **body}, run_v2.WorkerPool.pb()()))


def desired(pool: str, over: RunPool | None = None, version: str = "v1.0.0") -> Any:
    return desired_pool(a_request(text=TEXT.replace("POOL", pool)), a_version(version), IMAGE, "mailer", {}, over)


def as_written(wanted: Any) -> RunPool:
    return live({"template": {**wanted.template, "revision": wanted.revision}, **wanted.whole})


def test_a_new_pool_is_what_is_said_of_it() -> None:
    probe = "startup_probe: {tcp: true, port: 9000}"
    wanted = desired(f"scaling: 3, command: [work], env: {{A: b}}, memory: 1Gi, labels: {{team: red}}, {probe}")
    (container,) = wanted.template["containers"]
    assert container == {
        "image": IMAGE.reference,
        "command": ["work"],
        "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "startupProbe": {"tcpSocket": {"port": 9000}},
    }
    assert wanted.revision.startswith("shop-mailer-v1-0-0-") and wanted.template["labels"]["team"] == "red"
    assert wanted.whole["scaling"] == {"manualInstanceCount": 3} and wanted.whole["labels"]["slipway-app"] == "shop"


def test_what_others_set_stays_and_what_was_said_and_is_no_more_goes() -> None:
    before = as_written(desired("scaling: 3, env: {A: b, C: d}, description: mails"))
    body = json_format.MessageToDict(before.resource)
    body["template"]["containers"][0]["env"].append({"name": "THEIRS", "value": "x"})
    body["template"]["vpcAccess"] = {"connector": "main"}
    body["scaling"] = {"manualInstanceCount": 7}
    after = desired("env: {A: new}", live(body), "v1.1.0")
    (container,) = after.template["containers"]
    assert {each["name"]: each["value"] for each in container["env"]} == {"A": "new", "THEIRS": "x"}
    assert after.template["vpcAccess"] == {"connector": "main"}
    assert after.whole["scaling"] == {"manualInstanceCount": 1} and "description" not in after.whole


def test_the_same_said_over_what_was_made_of_it_is_the_same_revision() -> None:
    said = "env: {A: b}, startup_probe: {http: /, port: 8080}, command: [x]"
    first = desired(said)
    assert desired(said, as_written(first)).revision == first.revision
    assert desired(said, as_written(first), "v1.1.0").revision != first.revision


def test_a_probe_on_the_port_that_services_have_keeps_it() -> None:
    """A worker's container has no port that it could follow from."""
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 5}
    template = {"containers": [{"image": "x", "startupProbe": probe}], "labels": {"managed-by": "slipway"}}
    assert bare_pool(template) == {"containers": [{"image": "x", "startupProbe": probe}]}


@pytest.mark.parametrize(
    ("steps", "instances", "expected"),
    [((5, 25, 50), 3, (1, 2)), ((5,), 1, ()), ((10, 50), 10, (1, 5)), ((5,), 0, ()), ((50,), 2, (1,)), ((), 5, ())],
)
def test_steps_are_in_instances(steps: tuple[int, ...], instances: int, expected: tuple[int, ...]) -> None:
    assert steps_in_instances(steps, instances) == expected


@given(st.data(), st.integers(2, 100))
def test_a_step_gives_the_revision_so_many_instances_and_all_percents_are_of_one_whole(data: Any, count: int) -> None:
    many = data.draw(st.integers(1, count - 1))
    first = data.draw(st.integers(1, 99))
    before = (Split("old", first), Split(None, 100 - first))
    splits = split_for(before, "newest", "new", many, count)
    assert sum(split.percent for split in splits) == 100
    shares = {str(split.revision): split.percent for split in splits}
    assert shared_out(count, shares)["new"] in (many, many + 1)  # percents are whole: of many instances it is near


@given(st.dictionaries(st.sampled_from("abc"), st.integers(1, 100), min_size=1))
def test_pinned_splits_are_of_one_whole_and_name_revisions(shares: dict[str, int]) -> None:
    assert sum(split.percent for split in pinned(shares)) == 100


def test_going_back_brings_what_was_said_then_and_keeps_what_others_have_set() -> None:
    then = desired("scaling: 3, labels: {team: red}")
    now = as_written(desired("description: new, labels: {more: blue}", as_written(then), "v1.1.0"))
    body = json_format.MessageToDict(now.resource)
    body["labels"]["theirs"] = "x"
    found = whole_then(live(body), then.template, then.whole)
    assert found["scaling"] == {"manualInstanceCount": 3} and "description" not in found
    assert {key: text for key, text in found["labels"].items() if not key.startswith("slipway-")} == {
        "managed-by": "slipway", "team": "red", "theirs": "x"
    }  # fmt: skip
    assert found["labels"]["slipway-version"] == "v1_0_0"


ONE, TWO = "shop-mailer-one", "shop-mailer-two"
LATEST = "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"


def pool_of(revision: str, *splits: dict[str, Any], **more: Any) -> RunPool:
    return live({"template": {"revision": revision}, "instanceSplits": list(splits), **more})


def share(revision: str, percent: int) -> dict[str, Any]:
    return {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": percent}


def record_of(pool: RunPool | None, **more: Any) -> PoolRecord:
    return PoolRecord(pool="mailer", name="n", **{**as_it_is(pool), **more})


def test_a_record_keeps_how_a_pool_was() -> None:
    there = pool_of(ONE, share(ONE, 40), share(TWO, 60), description="mails", scaling={"manualInstanceCount": 3})
    assert as_it_is(there) == {
        "existed": True,
        "stands_for": ONE,
        "before": ((ONE, 40), (TWO, 60)),
        "was_whole": {"description": "mails", "scaling": {"manualInstanceCount": 3}},
    }
    assert as_it_is(None) == {"existed": False, "stands_for": "", "before": (), "was_whole": {}}


def test_one_that_says_nothing_has_one_instance_of_its_newest_revision() -> None:
    there = live({"latestCreatedRevision": f"projects/p/locations/l/workerPools/shop-mailer/revisions/{ONE}"})
    found = as_it_is(there)
    assert (found["stands_for"], found["before"]) == (ONE, (("", 100),))
    assert found["was_whole"] == {"scaling": {"manualInstanceCount": 1}}


@pytest.mark.parametrize(
    ("now", "same"),
    [
        (pool_of(ONE, share(ONE, 100), labels={"team": "red"}, scaling={"manualInstanceCount": 3}), True),
        (pool_of(TWO, share(ONE, 100), labels={"team": "red"}, scaling={"manualInstanceCount": 3}), False),
        (pool_of(ONE, share(TWO, 100), labels={"team": "red"}, scaling={"manualInstanceCount": 3}), False),
        (pool_of(ONE, share(ONE, 100), labels={"team": "blue"}, scaling={"manualInstanceCount": 3}), False),
        (pool_of(ONE, share(ONE, 100), labels={"team": "red"}, scaling={"manualInstanceCount": 2}), False),
        (pool_of(ONE, share(ONE, 100), scaling={"manualInstanceCount": 3}), False),
    ],
    ids=["the same", "template", "splits", "label", "instances", "no label"],
)
def test_a_pool_is_as_it_was_when_all_of_it_is(now: RunPool, *, same: bool) -> None:
    then = pool_of(ONE, share(ONE, 100), labels={"team": "red"}, scaling={"manualInstanceCount": 3})
    assert is_as_before(now, record_of(then)) is same


def test_one_that_says_nothing_of_its_splits_is_as_one_that_follows_its_newest_revision() -> None:
    silent = live({"template": {"revision": ONE}, "scaling": {"manualInstanceCount": 1}})
    assert is_as_before(silent, record_of(pool_of(ONE, {"type": LATEST, "percent": 100})))


def test_going_back_brings_the_description_of_then_and_keeps_one_that_was_never_said() -> None:
    then = desired("scaling: 2, description: mails")
    assert whole_then(live({"description": "by others"}), then.template, then.whole)["description"] == "mails"
    silent = desired("command: [work]")
    kept = whole_then(live({"description": "by others", "scaling": {"manualInstanceCount": 4}}), silent.template, {})
    assert (kept["description"], kept["scaling"]) == ("by others", {"manualInstanceCount": 4})
    labels = whole_then(live({}), silent.template, {"labels": {"managed-by": "slipway", "theirs": "x"}})["labels"]
    assert labels == {"managed-by": "slipway"}


@pytest.mark.parametrize(
    ("before", "latest", "many", "splits"),
    [
        ((), "old", 1, (Split("old", 66), Split("new", 34))),
        ((Split("old", 100),), "x", 3, (Split("new", 100),)),
        ((Split("new", 100),), "new", 1, (Split("new", 100),)),
        ((Split(None, 100),), "", 1, (Split("new", 100),)),
        ((Split("a", 30), Split("b", 70)), "x", 1, (Split("a", 19), Split("b", 47), Split("new", 34))),
        ((Split("z", 30), Split("a", 70)), "x", 1, (Split("a", 47), Split("z", 19), Split("new", 34))),
        ((Split("a", 40), Split(None, 30), Split("new", 30)), "a", 1, (Split("a", 66), Split("new", 34))),
        ((Split("a", 40), Split(None, 30), Split("b", 30)), "a", 1, (Split("a", 47), Split("b", 19), Split("new", 34))),
    ],
    ids=[
        "nothing said",
        "all",
        "its own alone",
        "nothing ready",
        "two",
        "two, the other way",
        "latest is one of them",
        "of several",
    ],
)
def test_a_step_takes_from_all_in_their_parts(
    before: tuple[Split, ...], latest: str, many: int, splits: tuple[Split, ...]
) -> None:
    assert split_for(before, latest, "new", many, 3) == splits


def test_a_pool_gets_back_what_the_release_has_set_and_keeps_what_others_have_since() -> None:
    then = pool_of(ONE, share(ONE, 100), description="then", labels={"team": "red"}, scaling={"manualInstanceCount": 3})
    known = record_of(
        then, whole={"description": "new", "labels": {"team": "blue"}, "scaling": {"manualInstanceCount": 1}}
    )
    now = pool_of(TWO, share(TWO, 100), description="new", labels={"team": "ops"}, scaling={"manualInstanceCount": 1})
    body = body_before(now, known, None)
    assert body == {
        "description": "then",
        "scaling": {"manualInstanceCount": 3},
        "instanceSplits": [share(ONE, 100)],
    }


def test_what_a_release_has_taken_away_of_a_pool_comes_back() -> None:
    then = pool_of(ONE, share(ONE, 100), description="then", labels={"team": "red"})
    known = record_of(then, whole={"scaling": {"manualInstanceCount": 1}})
    body = body_before(pool_of(TWO, share(TWO, 100), scaling={"manualInstanceCount": 1}), known, None)
    assert (body["description"], body["labels"]) == ("then", {"team": "red"})


def test_instances_follow_the_newest_revision_again_where_that_is_what_it_was() -> None:
    then = record_of(pool_of(ONE, {"type": LATEST, "percent": 100}))
    full = f"projects/p/locations/l/workerPools/shop-mailer/revisions/{ONE}"
    follows, fixed = [{"type": LATEST, "percent": 100}], [share(ONE, 100)]
    assert body_before(pool_of(TWO, share(TWO, 100)), then, None)["instanceSplits"] == fixed
    assert body_before(pool_of(TWO, latestCreatedRevision=full), then, None)["instanceSplits"] == follows
    written = body_before(pool_of(TWO, share(TWO, 100)), then, a_revision(ONE))
    assert (written["instanceSplits"], written["template"]) == (follows, {"revision": ONE})
