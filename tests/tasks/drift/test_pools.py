"""What of a worker pool is not as it was released."""

from __future__ import annotations

from typing import Any

from google.cloud import run_v2
from google.protobuf import json_format

from infra.gcp.run.worker_pools import RunPool, _pool
from tasks.drift.pools import differences, released_pools, rows
from tasks.history.pool_record import PoolRecord
from tasks.history.record import State
from tasks.model import Outcome
from tests.tasks.builders import a_record
from tests.tasks.rollout.test_pool import as_written, desired

NAME = "projects/acme-test/locations/europe-west1/workerPools/shop-mailer"


def released(said: str = "scaling: 3, env: {A: b}, memory: 1Gi") -> tuple[PoolRecord, RunPool]:
    wanted = desired(said)
    known = PoolRecord(
        pool="mailer",
        name=NAME,
        revision=wanted.revision,
        template={**wanted.template, "revision": wanted.revision},
        whole=dict(wanted.whole),
        outcome=Outcome.LIVE,
    )
    return known, changed(as_written(wanted), revision=wanted.revision)


def changed(pool: RunPool, revision: str = "", **body: Any) -> RunPool:
    there = json_format.MessageToDict(pool.resource) | body
    if revision:
        there["instanceSplits"] = [
            {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision": revision, "percent": 100}
        ]
    return _pool(json_format.ParseDict(there, run_v2.WorkerPool.pb()()))


def test_a_pool_as_it_was_released_differs_in_nothing() -> None:
    known, live = released()
    assert differences(known, live, ()) == ()
    assert rows(known, ()) == [{"pool": "mailer", "setting": "", "live": "", "as released": ""}]


def test_what_was_said_and_where_the_instances_are_is_compared_and_nothing_else() -> None:
    known, live = released()
    body = json_format.MessageToDict(live.resource)
    container = {**body["template"]["containers"][0], "args": ["theirs"]}
    container["resources"] = {"limits": {"memory": "2Gi"}}
    template = {**body["template"], "containers": [container]}
    live = changed(live, "shop-mailer-theirs", template=template, scaling={"manualInstanceCount": 9}, description="x")
    found = {each.path: each.live for each in differences(known, live, ())}
    assert found.pop("instances") == "shop-mailer-theirs 100 %"
    assert any("memory" in path for path in found) and any("scaling" in path for path in found)
    assert not any("args" in path or "description" in path for path in found)
    assert not differences(known, None, ())[0].live


def test_the_newest_release_that_stands_says_how_a_pool_is_to_be() -> None:
    def pool(revision: str) -> tuple[PoolRecord, ...]:
        return (PoolRecord(pool="mailer", name=NAME, revision=revision),)

    history = [
        a_record("v3", 3, pools=pool("three"), state=State.FAILED),
        a_record("v2", 2, pools=pool("two")),
        a_record("v1", 1, pools=pool("one")),
    ]
    assert released_pools(history)["mailer"].revision == "two"
