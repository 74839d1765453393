"""What makes pods: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs. Stopped before it is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Look
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, spoken, words
from tasks.cleanup.kinds.kubernetes.references import Name, claims_of_sets, selects, structural, template_labels
from tasks.cleanup.kinds.kubernetes.things import Thing
from tasks.cleanup.kinds.kubernetes.view import SCALER
from tasks.cleanup.memory import CLOCK_SKEW

WORKLOAD = Kind("workload")
STOP = Action("stop")  # no pods: what breaks shows who used it; the annotation says how many there were
BEFORE = "slipway/replicas-before"
STOPPED = "slipway/stopped-generation"  # what it was when it was stopped: it counts changes
NOWHERE = "slipway/stopped"  # a node label that no node has
SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")


class Workloads(ClusterKind):
    kind = WORKLOAD
    traits = Traits(standing=True, first=STOP, settle_s=DAY_S)
    resources = words(
        WORKLOAD,
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("", "ReplicationController"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    )
    needs = tuple(
        need
        for each in ("deployments", "statefulSets", "daemonSets", "replicaSets", "jobs", "cronJobs")
        for need in permissions(each)
    )

    def parts(self, thing: Thing, cluster: Cluster) -> Iterable[Name]:
        claims = [each.name for each in cluster.things if each.resource.kind == "PersistentVolumeClaim"]
        return (*structural(thing), *claims_of_sets(thing, claims))

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        """A Service that is defined, and that leads to its pods and to none that are defined; what scales it; a Job's
        own work, which a stop would break off.
        """
        if thing.resource.group == "batch" and (thing.body.get("status") or {}).get("active") and not has_ended(thing):
            return "what it runs just now"
        labels = template_labels(thing)
        here = cluster.within(thing.namespace)
        for scaler in (each for each in here if each.resource.kind == SCALER and cluster.stays(each)):
            target = (scaler.body.get("spec") or {}).get("scaleTargetRef") or {}
            if (target.get("kind"), target.get("name")) == (thing.resource.kind, thing.name):
                return f"{scaler.identity}, which scales it"
        for service in (each for each in here if each.resource.kind == "Service" and cluster.is_defined(each)):
            if selects(service, labels) and not any(
                selects(service, template_labels(each)) and cluster.is_defined(each) for each in here
            ):
                return f"{service.identity}, which leads to its pods alone"
        return ""

    def prepared(self, thing: Thing, cluster: Cluster, look: Look) -> datetime | None:
        """Since clean-up stopped it, if it still is; whoever has changed it after that may have stopped it himself."""
        if thing.taken is None or thing.touched > thing.taken + CLOCK_SKEW:
            return None
        if thing.annotations.get(STOPPED, str(thing.generation)) != str(thing.generation):
            return None
        return thing.since if is_stopped(thing) else None

    def undo_first(self, item: Item) -> str:
        where, what = spoken(item)
        match what.partition("/")[0]:
            case "jobs" | "cronjobs":
                change: dict[str, Any] = {"suspend": False}
            case "daemonsets":
                change = {"template": {"spec": {"nodeSelector": {NOWHERE: None}}}}
            case _:
                return f"kubectl {where}scale {what} --replicas=N, which its annotation {BEFORE} tells"
        return f"kubectl {where}patch {what} --type=merge -p '{json.dumps({'spec': change})}'"

    def preparation(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        kind, spec, meta = found["kind"], found.get("spec") or {}, found["metadata"]
        told, change = dict[str, str](), dict[str, Any]()
        if kind in SCALED:
            count, change = spec.get("replicas", 1), {"replicas": 0}
            told[BEFORE] = str(count or (meta.get("annotations") or {}).get(BEFORE, 0))
            changes = bool(count)
        elif kind == "DaemonSet":
            change = {"template": {"spec": {"nodeSelector": {NOWHERE: "true"}}}}
            changes = NOWHERE not in _nodes(spec)
        else:
            change, changes = {"suspend": True}, not spec.get("suspend")
        if meta.get("generation"):
            told[STOPPED] = str(meta["generation"] + changes)
        return {"metadata": {"annotations": told}, "spec": change}


def is_stopped(thing: Thing) -> bool:
    spec = thing.body.get("spec") or {}
    if thing.resource.kind in SCALED:
        return bool(spec.get("replicas", 1) == 0)
    if thing.resource.kind == "DaemonSet":
        return NOWHERE in _nodes(spec)
    return bool(spec.get("suspend")) or has_ended(thing)


def _nodes(spec: Mapping[str, Any]) -> Mapping[str, str]:
    """Labels of the nodes on which the pods of a DaemonSet may be."""
    return ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector") or {}


def has_ended(thing: Thing) -> bool:
    """A Job that is through, or has failed for good: there is nothing left to stop."""
    conditions = (thing.body.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in ("Complete", "Failed") and each.get("status") == "True" for each in conditions)
