"""Worker pools by the official client: revisions, instance splits, instances that really run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.run.pools.shares import shared_out
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_pools import LATEST, Pools, Split, eventually, lines_of, template, to, works
from tests.infra.emulator.emulated_run import HELLO, PARENT, QUICK, Own, new_name, short

pytestmark = pytest.mark.usefixtures("cloud_env")
TASK = {"limits": {"cpu": "0.5"}}


def test_a_pool_has_a_ready_revision_and_as_many_instances_as_it_wants() -> None:
    name = new_name("pool")
    pool = Pools().create(name, template(env={"WORD": "hello"}), count=2)
    revision = short(pool.latest_ready_revision)
    assert revision.startswith(f"{name}-00001-") and not pool.reconciling
    assert [(each.type_, each.percent) for each in pool.instance_split_statuses] == [(LATEST, 100)]
    eventually(lambda: works(name, revision, 2))
    assert set(lines_of(name)) == {f"works {name} {revision} hello False"}
    found = Pools().revisions.get_revision(name=pool.latest_ready_revision)
    assert found.service == name and found.containers[0].resources.limits["cpu"] == "1000m"


def test_instances_are_shared_out_among_revisions_and_one_without_a_share_has_none() -> None:
    name, pools = new_name("pool"), Pools()
    pool = pools.create(name, template(revision=f"{name}-one"), count=3)
    eventually(lambda: works(name, f"{name}-one", 3))
    pool.template.revision, pool.instance_splits = f"{name}-two", [to(f"{name}-one", 100)]
    dark = pools.update(pool)
    assert short(dark.latest_ready_revision) == f"{name}-two"
    assert {each.name.rsplit("/", 1)[1] for each in pools.revisions.list_revisions(parent=dark.name)} == {
        f"{name}-one", f"{name}-two"
    }  # fmt: skip
    assert len(lines_of(name, f"{name}-one")) == 3
    before = len(lines_of(name, f"{name}-two"))  # of the instance that has proven it
    dark.instance_splits = [to(f"{name}-one", 66), to(f"{name}-two", 34)]
    split = pools.update(dark, "instance_splits")
    assert [(s.revision, s.percent) for s in split.instance_split_statuses] == [
        (f"{name}-one", 66),
        (f"{name}-two", 34),
    ]
    eventually(lambda: len(lines_of(name, f"{name}-two")) > before)
    assert len(lines_of(name, f"{name}-one")) == 3  # those that stay are not started again


def test_an_instance_that_ends_is_started_again_and_the_log_says_so() -> None:
    name = new_name("pool")
    Pools().create(name, template("import sys; print('dies', flush=True); sys.exit(3)"))
    eventually(lambda: lines_of(name).count("dies") >= 2)
    assert "Container called exit(3)." in lines_of(name, log="system")


def test_a_revision_whose_startup_probe_fails_is_not_ready_and_instances_stay_where_they_were() -> None:
    name, pools = new_name("pool"), Pools()
    pool = pools.create(name, template(revision=f"{name}-good"))
    probe = run_v2.Probe(tcp_socket=run_v2.TCPSocketAction(port=9999), period_seconds=1, failure_threshold=1)
    pool.template = template(container={"startup_probe": probe}, revision=f"{name}-bad")
    assert "failed the configured startup probe checks" in pools.refused(lambda: pools.update(pool))
    after = pools.get(name)
    assert (
        short(after.latest_ready_revision) == f"{name}-good" and short(after.latest_created_revision) == f"{name}-bad"
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"made": template(container={"ports": [run_v2.ContainerPort(container_port=80)]})}, "ports: is not supported"),
        ({"made": template(container={"resources": run_v2.ResourceRequirements(TASK)})}, "one of 1, 2, 4, 6, 8"),
        ({"made": template(env={"CLOUD_RUN_WORKER_POOL": "x"})}, "reserved env names"),
        ({"made": template(revision="other-1")}, "must be prefixed by the name"),
        ({"count": -1}, "manual_instance_count"),
        ({"instance_splits": [Split(type_=LATEST, percent=40)]}, "must sum to 100, but sum to 40"),
        ({"instance_splits": [to("gone", 100)]}, "Invalid value at 'worker_pool.instance_splits'"),
        ({"labels": {"run.googleapis.com/x": "y"}}, "reserved for the system"),
        ({"made": run_v2.WorkerPoolRevisionTemplate()}, "1 to 10 containers"),
    ],
)
def test_what_google_refuses(fields: dict[str, Any], said: str) -> None:
    pools = Pools()
    assert said in pools.refused(lambda: pools.start(new_name("pool"), **fields))


@pytest.mark.parametrize("name", ["Upper", "ends-", "1st", "a" * 50])
def test_names_that_no_pool_can_have(name: str) -> None:
    assert "CreateWorkerPoolRequest.worker_pool_id" in Pools().refused(lambda: Pools().start(name))


def test_a_probe_must_say_a_port_and_liveness_is_not_told_by_tcp() -> None:
    pools, tcp = Pools(), run_v2.Probe(tcp_socket=run_v2.TCPSocketAction(port=9))
    none = template(container={"startup_probe": run_v2.Probe(tcp_socket=run_v2.TCPSocketAction())})
    assert "must say a port" in pools.refused(lambda: pools.start(new_name("pool"), none))
    alive = template(container={"liveness_probe": tcp})
    assert "startup probes only" in pools.refused(lambda: pools.start(new_name("pool"), alive))


def test_etags_validation_and_revisions_that_are_in_use() -> None:
    name, pools = new_name("pool"), Pools()
    made = pools.create(name)
    stale = run_v2.WorkerPool(made, etag='"old"')
    assert "Conflict for resource" in pools.refused(lambda: pools.update(stale))
    dry = run_v2.UpdateWorkerPoolRequest(worker_pool=run_v2.WorkerPool(made, description="x"), validate_only=True)
    pools.client.update_worker_pool(dry)
    assert pools.get(name).description == ""
    in_use = pools.refused(lambda: pools.revisions.delete_revision(name=made.latest_ready_revision))
    assert "actively serving" in in_use
    again = pools.update(made, force_new_revision=True)
    assert again.latest_ready_revision != made.latest_ready_revision
    pools.revisions.delete_revision(name=made.latest_ready_revision).result(polling=QUICK)
    assert [each.name for each in pools.revisions.list_revisions(parent=made.name)] == [again.latest_ready_revision]


def test_a_deleted_pool_is_gone_with_its_revisions_and_policy() -> None:
    name, pools = new_name("pool"), Pools()
    pool = pools.create(name)
    binding = policy_pb2.Binding(role="roles/run.developer", members=["user:ada@example.com"])
    pools.client.set_iam_policy(
        iam_policy_pb2.SetIamPolicyRequest(resource=pool.name, policy=policy_pb2.Policy(bindings=[binding]))
    )
    assert pools.client.get_iam_policy(request={"resource": pool.name}).bindings[0].role == "roles/run.developer"
    pools.client.delete_worker_pool(name=pool.name).result(polling=QUICK)
    assert "of kind 'WORKERPOOL'" in pools.refused(lambda: pools.get(name))
    assert not list(pools.revisions.list_revisions(parent=pool.name))
    assert pool.name not in {each.name for each in pools.client.list_worker_pools(parent=PARENT)}


def test_a_service_and_a_pool_of_the_same_name_have_revisions_of_their_own() -> None:
    name, pools = new_name("pool"), Pools()
    pools.create(name)
    service = run_v2.Service(template=run_v2.RevisionTemplate(containers=[run_v2.Container(image=HELLO)]))
    run_v2.ServicesClient().create_service(parent=PARENT, service=service, service_id=name).result(polling=QUICK)
    kinds = {each.name.split("/")[4] for each in pools.revisions.list_revisions(parent=f"{PARENT}/workerPools/{name}")}
    assert kinds == {"workerPools"}
    assert len(list(pools.revisions.list_revisions(parent=f"{PARENT}/services/{name}"))) == 1


@given(st.integers(0, 200), st.lists(st.integers(0, 100), min_size=1, max_size=4))
def test_every_instance_has_a_revision_and_percents_are_met_within_one(count: int, cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), 100]
    shares = {f"r{i}": high - low for i, (low, high) in enumerate(pairwise(marks)) if high > low}
    found = shared_out(count, shares)
    assert sum(found.values()) == count
    assert all(abs(found.get(name, 0) - count * percent / 100) < 1 for name, percent in shares.items())


@pytest.fixture
def own(cloud: LocalCloud, tmp_path: Path) -> Iterator[Own]:
    yield from Own.over(tmp_path / "cloud", cloud)


def test_a_pool_is_at_work_again_when_a_killed_emulator_is_back(own: Own) -> None:
    name = new_name("pool")
    with own.running(kill=True):
        Pools().create(name, template(revision=f"{name}-one"), count=2)
        eventually(lambda: works(name, f"{name}-one", 2))
    with own.running():
        eventually(lambda: works(name, f"{name}-one", 4))  # two of before, whose log is kept
        assert Pools().get(name).instance_split_statuses[0].percent == 100
