"""Environments that have a part in one namespace: each thing is listed once, and is kept by what is live in either."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.cleanup.engine.model import Listing, Plan, Why
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tests.tasks.builders import NOW
from tests.tasks.cleanup.kinds.kubernetes.clusters import OURS, a_cluster, a_policy, an_object, short, world_of

MINE, YOURS, LEFT = (an_object("ConfigMap", name) for name in ("mine", "yours", "left"))
EVERYTHING = [MINE, YOURS, LEFT]
SERVER = "https://10.0.0.1"


async def planned(*clusters: Cluster) -> Plan:
    found = plan(await world_of(*clusters), a_policy())
    assert found.refusals == ()
    return found


async def test_what_either_environment_defines_stays_and_the_rest_goes_once() -> None:
    found = await planned(a_cluster(EVERYTHING, [MINE]), a_cluster(EVERYTHING, [YOURS]))
    assert short([step.item.name for step in found.steps]) == ["configmaps/left"]
    assert sorted(short([each.name])[0] for each in found.kept) == ["configmaps/mine", "configmaps/yours"]


@pytest.mark.parametrize("turn", [1, -1], ids=["first", "second"])
async def test_the_version_that_is_live_in_either_stays(turn: int) -> None:
    clusters = [a_cluster([LEFT], live="v1.4.0"), a_cluster([LEFT], live="v1.3.0")]
    (kept,) = (await planned(*clusters[::turn])).kept
    assert (kept.why, kept.detail[:39]) == (Why.LOCKED, "it is of version v1.3.0, which is live,")


@pytest.mark.parametrize("turn", [1, -1], ids=["first", "second"])
async def test_each_may_have_labels_of_its_own(turn: int) -> None:
    labels: list[dict[str, Any]] = [{**OURS, "env": "production"}, {**OURS, "env": "staging"}]
    objects = [an_object("ConfigMap", each["env"], labels=each) for each in labels]
    clusters = [a_cluster(objects, selector=each) for each in labels]
    found = await planned(*clusters[::turn])
    assert short([step.item.name for step in found.steps]) == ["configmaps/production", "configmaps/staging"]


@pytest.mark.parametrize(
    "blind",
    [
        {"listings": (Listing("all", NOW, 0, complete=False, error="forbidden"),), "things": ()},
        {"id": "", "listings": (Listing("all", NOW, 0, complete=False, error="unreachable"),), "things": ()},
        {"definitions": Listing("definitions", NOW, 0, complete=False, error="no such commit")},
    ],
    ids=["a list", "the cluster", "the manifests"],
)
async def test_what_one_of_them_cannot_tell_none_can(blind: dict[str, Any]) -> None:
    sees, other = a_cluster(EVERYTHING, [MINE]), replace(a_cluster(EVERYTHING, [YOURS]), **blind)
    for clusters in ((sees, other), (other, sees)):
        assert (await planned(*clusters)).steps == ()
    apart = a_cluster(EVERYTHING, [MINE], namespaces=["elsewhere"])
    assert len((await planned(apart, replace(other, things=()))).steps) == 2


async def test_one_cluster_that_is_named_in_two_ways_is_left_alone() -> None:
    one = replace(a_cluster(EVERYTHING), server=SERVER)
    by_file = a_cluster(EVERYTHING, cluster=None, kubeconfig="~/.kube/config")
    assert (await planned(one, replace(by_file, id=SERVER, server=SERVER))).steps == ()
    assert len((await planned(one, replace(by_file, id="https://10.0.0.2", server="https://10.0.0.2"))).steps) == 6
