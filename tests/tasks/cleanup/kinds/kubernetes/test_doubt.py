"""A cluster that cannot be seen whole: nothing of it goes, nor what it may need elsewhere; all else does."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tasks.cleanup.engine.model import Foreign, Item, Kind, Listing, Policy, RetentionRule, Why, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.inventory import Names, doubts
from tasks.cleanup.kinds.adapter import Found, Look
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.build_logs import BUILD_LOG
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import item_name
from tasks.cleanup.kinds.kubernetes.users import BEYOND, CLUSTER_KINDS, Clusters, claims_of
from tasks.cleanup.kinds.kubernetes.view import all_clusters
from tasks.cleanup.kinds.load_balancers import CERTIFICATE, LOAD_BALANCER_PART
from tasks.cleanup.kinds.registry import KINDS
from tasks.cleanup.kinds.secret_versions import SECRET_VERSION
from tasks.cleanup.kinds.secrets import SECRET
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.cleanup.kinds.sql_instances import SQL_INSTANCE
from tests.tasks.builders import NOW, a_request
from tests.tasks.cleanup.kinds.kubernetes.clusters import a_cluster, a_thing, an_object
from tests.tasks.cleanup.looks import a_look

WHY = "Kubernetes objects in shop of main could not be listed: forbidden"
FAILED = Listing("Kubernetes objects in shop of main", NOW, 0, complete=False, error="forbidden")
UNREAD = Listing("Kubernetes definitions of production", NOW, 0, complete=False, error="no such commit")
LEFT = an_object("ConfigMap", "left-over")
UNREACHED = """
app: shop
services: {api: {}}
environments:
  production:
    project: acme-prod
    regions: [europe-west1]
    kubernetes:
      kubeconfig: /nowhere/kubeconfig
      context: gone
      namespaces: [shop]
      selector: {app.kubernetes.io/part-of: shop}
      manifests: k8s
"""
LOG = "gs://logs/old.log"
OLD = NOW.replace(year=NOW.year - 1)


def a_blind(cluster: Cluster) -> Cluster:
    return replace(cluster, listings=(FAILED,))


def beside() -> list[Item]:
    """Old things outside of clusters, of every kind that something in one may need, and one of another."""
    names = {
        IMAGE: "projects/acme-prod/locations/europe-west1/repositories/shop/dockerImages/api@sha256:1",
        SECRET: "projects/acme-prod/secrets/old",
        SECRET_VERSION: "projects/acme-prod/secrets/old/versions/1",
        SQL_INSTANCE: "projects/acme-prod/instances/old",
        SERVICE_ACCOUNT: "projects/acme-prod/serviceAccounts/old@acme-prod.iam.gserviceaccount.com",
        BUCKET: "gs://old",
        LOAD_BALANCER_PART: "projects/acme-prod/global/addresses/old",
        CERTIFICATE: "projects/acme-prod/global/sslCertificates/old",
        BUILD_LOG: LOG,
    }
    assert set(names) == {IMAGE, *BEYOND, BUILD_LOG}
    return [Item(kind, name, "g", "shop", OLD) for kind, name in names.items()]


async def world(*clusters: Cluster) -> World:
    look = looked(*clusters)
    found = {each: await each.list(look) for each in CLUSTER_KINDS}
    users = await Clusters().list(look)
    items = [*beside(), *(item for each in CLUSTER_KINDS for item in found[each].items)]
    by_kind: dict[Kind, list[Item]] = {each.kind: [] for each in KINDS}
    for item in items:
        by_kind[item.kind].append(item)
    names = Names({each.kind: each.keys(look, by_kind[each.kind]) for each in KINDS}, items)
    parts = Found(tuple(items), parts={n: p for each in CLUSTER_KINDS for n, p in found[each].parts.items()})
    listings = (*users.listings, Listing("all else", NOW, len(items)))
    required = tuple(Clusters().required(look.requests))
    return World(names.items(parts), names.uses(users), listings, required, kinds={e.kind: e.traits for e in KINDS})


def looked(*clusters: Cluster) -> Look:
    look = a_look((clusters[0].request,))
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    answer.set_result(clusters)
    look.asked[all_clusters] = answer
    return look


def going(found: World) -> list[str]:
    rule = RetentionRule(keep=0, foreign=Foreign.DELETE, max_percent=100.0)
    planned = plan(found, Policy("shop", NOW, {each.kind: rule for each in KINDS}, min_live=0))
    assert planned.refusals == ()
    return [step.item.name for step in planned.steps]


async def test_a_list_that_failed_keeps_what_is_in_the_cluster_and_what_it_may_use() -> None:
    whole = a_cluster([LEFT])
    everything = {item_name(a_thing(LEFT), whole), *(each.name for each in beside())}
    assert set(going(await world(whole))) == everything
    unknown = await world(a_blind(a_cluster([LEFT])))
    assert going(unknown) == [LOG]
    kept = plan(unknown, Policy("shop", NOW, {each.kind: RetentionRule() for each in KINDS}, min_live=0)).kept
    assert {(each.why, each.detail) for each in kept if each.kind != BUILD_LOG} == {
        (Why.IN_USE, f"nobody can tell whom: {WHY}")
    }


async def test_definitions_that_cannot_be_read_say_nothing_of_images() -> None:
    blind = replace(a_cluster([LEFT]), definitions=UNREAD)
    assert set(going(await world(blind))) == {each.name for each in beside()}


async def test_the_cluster_of_another_environment_is_judged_all_the_same() -> None:
    other = replace(a_cluster([LEFT]), id="projects/acme-staging/locations/europe-west1/clusters/other")
    gone = going(await world(a_blind(a_cluster([LEFT])), other))
    assert set(gone) == {LOG, item_name(a_thing(LEFT), other)}


async def test_what_cannot_be_seen_any_more_when_a_step_is_due_keeps_what_it_had() -> None:
    """As `carry_out` looks again: all it doubts is this cluster."""
    before = a_cluster([LEFT])
    request = a_request(text=UNREACHED)
    again = replace(a_look((request,)), earlier=looked(before))
    (now,) = await again.once(all_clusters)
    assert (now.things, now.doubt[:63]) == (
        before.things,
        "Kubernetes resources of gone of /nowhere/kubeconfig could not b",
    )
    found = await Clusters().list(again)
    assert list(doubts((), (), found.listings)) == []
    assert item_name(a_thing(LEFT), before) in {each.name for claim in found.claims for each in claim.needs}


@pytest.mark.parametrize("live", ["", "v1.4.0"])
async def test_images_of_pods_are_in_use_also_where_nothing_is_live(live: str) -> None:
    pod = an_object("Pod", "p", spec={"containers": [{"image": "eu.gcr.io/a/b:v1"}]})
    claims = list(claims_of(a_cluster([pod], live=live)))
    assert "eu.gcr.io/a/b:v1" in {each.name for claim in claims for each in claim.needs if each.kind == IMAGE}
