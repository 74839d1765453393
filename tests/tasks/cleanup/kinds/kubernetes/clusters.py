"""Clusters as a look has seen them, made of plain objects, and the world that clean-up decides about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from infra.gcp.kubernetes.api import Resource
from tasks.cleanup.engine.model import Foreign, Kind, Listing, Policy, RetentionRule, World
from tasks.cleanup.inventory import Names
from tasks.cleanup.kinds.adapter import Keys, Look
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.kubernetes.cluster import Cluster, together
from tasks.cleanup.kinds.kubernetes.kind import item_name
from tasks.cleanup.kinds.kubernetes.things import SINCE, Identity, Thing, thing_of
from tasks.cleanup.kinds.kubernetes.users import BEYOND, CLUSTER_KINDS, Clusters
from tasks.cleanup.kinds.kubernetes.view import all_clusters
from tasks.cleanup.memory import Memory
from tasks.manifest.kubernetes import Kubernetes
from tests.tasks.builders import MANIFEST, NOW, a_request
from tests.tasks.cleanup.looks import a_look

ID = "projects/acme-prod/locations/europe-west1/clusters/main"
OURS = {"app.kubernetes.io/part-of": "shop"}
LIVE, OLD = "v1.4.0", "v1.3.0"
NS = "shop"
SETTINGS: dict[str, Any] = {"cluster": "main", "namespaces": [NS], "selector": OURS, "manifests": "k8s"}
RESOURCES = {
    "Pod": ("", "v1", "pods"),
    "Deployment": ("apps", "v1", "deployments"),
    "ReplicaSet": ("apps", "v1", "replicasets"),
    "StatefulSet": ("apps", "v1", "statefulsets"),
    "DaemonSet": ("apps", "v1", "daemonsets"),
    "Job": ("batch", "v1", "jobs"),
    "CronJob": ("batch", "v1", "cronjobs"),
    "ConfigMap": ("", "v1", "configmaps"),
    "Secret": ("", "v1", "secrets"),
    "PersistentVolumeClaim": ("", "v1", "persistentvolumeclaims"),
    "PersistentVolume": ("", "v1", "persistentvolumes"),
    "Service": ("", "v1", "services"),
    "ServiceAccount": ("", "v1", "serviceaccounts"),
    "Role": ("rbac.authorization.k8s.io", "v1", "roles"),
    "Ingress": ("networking.k8s.io", "v1", "ingresses"),
    "Namespace": ("", "v1", "namespaces"),
    "VolumeSnapshot": ("snapshot.storage.k8s.io", "v1", "volumesnapshots"),
    "StorageClass": ("storage.k8s.io", "v1", "storageclasses"),
    "VolumeSnapshotClass": ("snapshot.storage.k8s.io", "v1", "volumesnapshotclasses"),
    "ControllerRevision": ("apps", "v1", "controllerrevisions"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "horizontalpodautoscalers"),
    "ValidatingAdmissionPolicyBinding": ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings"),
    "ReferenceGrant": ("gateway.networking.k8s.io", "v1beta1", "referencegrants"),
    "Widget": ("example.com", "v1", "widgets"),
}
OUTSIDE = ("Namespace", "PersistentVolume", "StorageClass", "VolumeSnapshotClass", "ValidatingAdmissionPolicyBinding")


def an_object(kind: str, name: str, *, labels: Mapping[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Of the app and of an older version unless told otherwise; keys of `metadata` go there, all others beside it."""
    meta: dict[str, Any] = {
        key: more.pop(key)
        for key in ("annotations", "ownerReferences", "finalizers", "deletionTimestamp", "managedFields", "generation")
        if key in more
    }
    given = {**OURS, "app.kubernetes.io/version": OLD} if labels is None else dict(labels)
    place = {} if kind in OUTSIDE else {"namespace": more.pop("namespace", NS)}
    created = (NOW - timedelta(days=100)).isoformat()
    meta = {"name": name, **place, "uid": f"uid-{kind}-{name}", "resourceVersion": "7", "labels": given, **meta}
    return {"kind": kind, "metadata": {**meta, "creationTimestamp": created}, **more}


def since(hours: float) -> dict[str, str]:
    """The annotation of a first step that was so long ago."""
    return {SINCE: (NOW - timedelta(hours=hours)).isoformat()}


def a_thing(found: Mapping[str, Any]) -> Thing:
    group, version, plural = RESOURCES[found["kind"]]
    return thing_of(Resource(group, version, plural, found["kind"], found["kind"] not in OUTSIDE), found)


def a_cluster(
    objects: Iterable[Mapping[str, Any]], defined: Iterable[Mapping[str, Any]] = (), live: str = LIVE, **settings: Any
) -> Cluster:
    said = Kubernetes.model_validate({**SETTINGS, **settings})
    things = [a_thing(each) for each in objects]
    namespaces = tuple(each for each in things if each.resource.kind == "Namespace")
    known = [
        Identity(*_group_and_kind(each), each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for each in defined
    ]
    watched = tuple(dict.fromkeys((*said.namespaces, *(each.name for each in namespaces))))
    return Cluster(
        a_request(text=MANIFEST), said, ID, tuple(each for each in things if each not in namespaces), namespaces,
        watched, frozenset(known), live, (Listing("everything", NOW, len(things)),),
    )  # fmt: skip


def _group_and_kind(found: Mapping[str, Any]) -> tuple[str, str]:
    return RESOURCES[found["kind"]][0], found["kind"]


async def world_of(*clusters: Cluster) -> World:
    """With what earlier looks have seen prepared. clusters: of one environment each."""
    look = a_look((clusters[0].request,))
    prepared = {
        item_name(each, cluster): each.since
        for cluster in clusters
        for each in (*cluster.things, *cluster.namespaces)
        if each.since
    }
    look = replace(look, memory=Memory(disabled=prepared), asked=dict(look.asked))
    look.asked[all_clusters] = asyncio.get_running_loop().create_future()
    look.asked[all_clusters].set_result(together(clusters))
    return await seen(look)


async def seen(look: Look) -> World:
    """What a look comes to."""
    found = {kind: await kind.list(look) for kind in CLUSTER_KINDS}
    users = await Clusters().list(look)
    nothing: dict[Kind, Keys] = dict.fromkeys((IMAGE, *BEYOND), lambda _: ())
    names = Names(nothing | {each.kind: each.keys(look, found[each].items) for each in CLUSTER_KINDS})
    return World(
        tuple(item for each in CLUSTER_KINDS for item in names.items(found[each])),
        names.uses(users),
        users.listings,
        tuple(Clusters().required(look.requests)),
        kinds={each.kind: each.traits for each in CLUSTER_KINDS},
    )


def a_policy(now: datetime = NOW, **more: Any) -> Policy:
    rule = RetentionRule(foreign=Foreign.DELETE, max_percent=100.0)
    return Policy("shop", now, {each.kind: rule for each in CLUSTER_KINDS}, max_items=10**6, min_live=0, **more)


def short(names: Sequence[str]) -> list[str]:
    """configmaps/a of the full names."""
    return sorted("/".join(name.rsplit("/", 2)[-2:]) for name in names)
