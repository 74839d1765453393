"""Services of a cluster: those to which no pod belongs, that nothing names and no manifest defines."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.references import MAKE_PODS, selects, template_labels
from tasks.cleanup.kinds.kubernetes.things import Thing

CLUSTER_SERVICE = Kind("cluster service")
OVER = ("Succeeded", "Failed")


class ClusterServices(ClusterKind):
    kind = CLUSTER_SERVICE
    resources = words(CLUSTER_SERVICE, ("", "Service"))
    needs = permissions("services")

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        """Of one that selects nothing, somebody else says where it leads, and nobody can tell who comes."""
        spec = thing.body.get("spec") or {}
        if not spec.get("selector"):
            return "whoever maintains where it leads: it selects no pods"
        return f"whoever calls it: {answers}" if (answers := answering(thing, cluster)) else ""


def answering(service: Thing, cluster: Cluster) -> str:
    """Who answers for it, or will: a workload that stays may have no pods just now, scaled to none over night."""
    if count := len(pods_of(service, cluster)):
        return f"{count} pods answer for it"
    return next((f"{each.identity}, which stays, has none now" for each in _staying(service, cluster)), "")


def _staying(service: Thing, cluster: Cluster) -> Iterator[Thing]:
    """The workloads that it leads to and that are defined, or not the app's to take away."""
    for each in cluster.within(service.namespace):
        leads = each.resource.kind in MAKE_PODS - {"Pod"} and selects(service, template_labels(each))
        if leads and cluster.stays(each):
            yield each


def pods_of(service: Thing, cluster: Cluster) -> list[Thing]:
    return [
        each
        for each in cluster.within(service.namespace)
        if each.resource.kind == "Pod"
        and selects(service, each.labels)
        and (each.body.get("status") or {}).get("phase") not in OVER
    ]
