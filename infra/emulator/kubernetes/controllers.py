"""What the controllers of a control plane do, until nothing is left to do. There are no nodes: pods stay pending.

https://kubernetes.io/docs/concepts/architecture/controller/: Deployments, ReplicaSets, StatefulSets, Jobs, the garbage
collector, the protection of claims, and namespaces.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from infra.emulator.kubernetes.defaults import filled
from infra.emulator.kubernetes.kinds import BUILT_IN, Kind
from infra.emulator.kubernetes.objects import Object, Objects, now

LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_DIGITS = str.maketrans("0123456789", "456789bcdf")  # how a hash is written in names
CLAIM = "kubernetes.io/pvc-protection"
POD, REPLICA_SET = BUILT_IN["", "pods"], BUILT_IN["apps", "replicasets"]
CLAIMS, NAMESPACES = BUILT_IN["", "persistentvolumeclaims"], BUILT_IN["", "namespaces"]
ROUNDS = 50  # more than any chain of owners is long


def settle(objects: Objects, cluster: str) -> None:
    """Runs every controller until none changes anything."""
    for _ in range(ROUNDS):
        version = objects.version(cluster)
        for run in (_namespaces, _deployments, _replica_sets, _stateful_sets, _jobs, _garbage, _claims, _free):
            run(objects, cluster)
        if objects.version(cluster) == version:
            return
    raise RuntimeError(f"The controllers of {cluster} do not come to rest.")


def _alive(objects: Objects, cluster: str, kind: Kind) -> Iterator[Object]:
    return (each for each in objects.every(cluster, kind) if "deletionTimestamp" not in each["metadata"])


def _namespaces(objects: Objects, cluster: str) -> None:
    for each in objects.every(cluster, NAMESPACES):
        name = each["metadata"]["name"]
        if "deletionTimestamp" in each["metadata"]:
            _end(objects, cluster, each)
            continue
        for kind, what in (
            (BUILT_IN["", "serviceaccounts"], "default"),
            (BUILT_IN["", "configmaps"], "kube-root-ca.crt"),
        ):
            if objects.get(cluster, kind, name, what) is None:
                data = {"data": {"ca.crt": "PEM"}} if kind.kind == "ConfigMap" else {}
                objects.add(cluster, kind, {"metadata": {"name": what, "namespace": name}, **data})


def _end(objects: Objects, cluster: str, namespace: Object) -> None:
    """Deletes what is in it; what a finalizer holds keeps the namespace, too."""
    name, held = namespace["metadata"]["name"], []
    for kind, found in list(objects.everything(cluster, name)):
        meta = found["metadata"]
        if meta.get("finalizers") and not (kind is CLAIMS and meta["finalizers"] == [CLAIM]):
            held.append(f"{kind.plural}.{kind.group or ''} has 1 resource instances")
            if "deletionTimestamp" not in meta:
                ending = {**meta, "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
                objects.change(cluster, kind, {**found, "metadata": ending})
        else:
            objects.remove(cluster, kind, found)
    if not held:
        objects.remove(cluster, NAMESPACES, namespace)
        return
    finalizers = sorted(
        {each for _, found in objects.everything(cluster, name) for each in found["metadata"].get("finalizers", ())}
    )
    status = {**namespace["status"], "conditions": _conditions(namespace, held, finalizers)}
    objects.change(cluster, NAMESPACES, {**namespace, "status": status})


def _conditions(namespace: Object, held: list[str], finalizers: list[str]) -> list[dict[str, str]]:
    before = {each["type"]: each for each in namespace["status"].get("conditions", ())}
    in_finalizers = ", ".join(f"{each} in 1 resource instances" for each in finalizers)
    said = (
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
         "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "False", "ContentDeleted",
         "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "True", "SomeResourcesRemain",
         f"Some resources are remaining: {', '.join(held)}"),
        ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
         f"Some content in the namespace has finalizers remaining: {in_finalizers}"),
    )  # fmt: skip
    return [
        {
            "type": what,
            "status": status,
            "lastTransitionTime": before.get(what, {}).get("lastTransitionTime", now()),
            "reason": reason,
            "message": message,
        }
        for what, status, reason, message in said
    ]


def _deployments(objects: Objects, cluster: str) -> None:
    """One ReplicaSet for each template; older ones are scaled down at once, as if the new pods were ready."""
    kind = BUILT_IN["apps", "deployments"]
    for each in _alive(objects, cluster, kind):
        spec, meta = each["spec"], each["metadata"]
        hashed = _hash(spec["template"])
        name = f"{meta['name']}-{hashed}"
        for old in _owned(objects, cluster, REPLICA_SET, each):
            wanted = spec["replicas"] if old["metadata"]["name"] == name else 0
            objects.change(cluster, REPLICA_SET, {**old, "spec": {**old["spec"], "replicas": wanted}})
        if objects.get(cluster, REPLICA_SET, meta["namespace"], name) is None:
            labels = {**spec["template"]["metadata"].get("labels", {}), "pod-template-hash": hashed}
            template = {**spec["template"], "metadata": {**spec["template"]["metadata"], "labels": labels}}
            selector = {"matchLabels": {**spec["selector"].get("matchLabels", {}), "pod-template-hash": hashed}}
            made = {"spec": {"replicas": spec["replicas"], "selector": selector, "template": template}}
            _make(objects, cluster, REPLICA_SET, each, kind, name, labels, made)


def _replica_sets(objects: Objects, cluster: str) -> None:
    for each in _alive(objects, cluster, REPLICA_SET):
        pods = _owned(objects, cluster, POD, each)
        template, wanted = each["spec"]["template"], each["spec"]["replicas"]
        for pod in pods[wanted:]:
            objects.remove(cluster, POD, pod)
        for _ in range(wanted - len(pods)):
            name = f"{each['metadata']['name']}-{_random()}"
            labels = template["metadata"].get("labels", {})
            _make(objects, cluster, POD, each, REPLICA_SET, name, labels, {"spec": template["spec"]})


def _stateful_sets(objects: Objects, cluster: str) -> None:
    """The first pod, which never gets ready, and its claims, which stay when the set goes."""
    kind = BUILT_IN["apps", "statefulsets"]
    for each in _alive(objects, cluster, kind):
        spec, meta = each["spec"], each["metadata"]
        pods = _owned(objects, cluster, POD, each)
        if not spec["replicas"]:
            for pod in pods:
                objects.remove(cluster, POD, pod)
            continue
        name, labels = f"{meta['name']}-0", spec["template"]["metadata"].get("labels", {})
        volumes = []
        for template in spec.get("volumeClaimTemplates", ()):
            of = template["metadata"]
            claim = f"{of['name']}-{name}"
            volumes.append({"name": of["name"], "persistentVolumeClaim": {"claimName": claim}})
            if objects.get(cluster, CLAIMS, meta["namespace"], claim) is None:
                both = {**of.get("labels", {}), **spec["selector"].get("matchLabels", {})}
                new = {"metadata": {"name": claim, "namespace": meta["namespace"], "labels": both}}
                objects.add(cluster, CLAIMS, filled(CLAIMS, {**new, "spec": template["spec"]}))
        if not pods:
            inner = spec["template"]["spec"]
            made = {"spec": {**inner, "volumes": [*inner.get("volumes", ()), *volumes]}}
            _make(objects, cluster, POD, each, kind, name, labels, made)


def _jobs(objects: Objects, cluster: str) -> None:
    kind = BUILT_IN["batch", "jobs"]
    for each in _alive(objects, cluster, kind):
        spec, meta = each["spec"], each["metadata"]
        own = {"controller-uid": meta["uid"], "job-name": meta["name"]}
        if "selector" not in spec:
            template = spec["template"]
            labels = {**template["metadata"].get("labels", {}), **own}
            template = {**template, "metadata": {**template["metadata"], "labels": labels}}
            spec = {**spec, "selector": {"matchLabels": {"controller-uid": meta["uid"]}}, "template": template}
            each = objects.change(cluster, kind, {**each, "spec": spec})
        pods = _owned(objects, cluster, POD, each)
        if spec.get("suspend"):
            for pod in pods:
                objects.remove(cluster, POD, pod)
        elif not pods and not each.get("status", {}).get("completionTime"):
            name, labels = f"{meta['name']}-{_random()}", spec["template"]["metadata"]["labels"]
            _make(objects, cluster, POD, each, kind, name, labels, {"spec": spec["template"]["spec"]})
            objects.change(cluster, kind, {**each, "status": {"active": 1, "startTime": now()}})


def _garbage(objects: Objects, cluster: str) -> None:
    """https://kubernetes.io/docs/concepts/architecture/garbage-collection/"""
    everything = list(objects.everything(cluster))
    uids = {found["metadata"]["uid"] for _, found in everything}
    dependents: dict[str, list[tuple[Kind, Object]]] = {}
    for kind, found in everything:
        owners = found["metadata"].get("ownerReferences", ())
        for owner in owners:
            dependents.setdefault(owner["uid"], []).append((kind, found))
        if owners and not any(owner["uid"] in uids for owner in owners):
            _begin_end(objects, cluster, kind, found)
    for kind, found in everything:
        if "deletionTimestamp" in found["metadata"]:
            _cascade(objects, cluster, kind, found, dependents.get(found["metadata"]["uid"], []))


def _cascade(objects: Objects, cluster: str, kind: Kind, found: Object, below: list[tuple[Kind, Object]]) -> None:
    """What the finalizers of the two slower ways of deleting ask for."""
    finalizers = found["metadata"].get("finalizers", ())
    if "orphan" in finalizers:
        for of, each in below:
            _disown(objects, cluster, of, each, found["metadata"]["uid"])
        _unfinalize(objects, cluster, kind, found, "orphan")
    elif "foregroundDeletion" in finalizers:
        for of, each in below:
            _begin_end(objects, cluster, of, each)
        if not below:
            _unfinalize(objects, cluster, kind, found, "foregroundDeletion")


def _begin_end(objects: Objects, cluster: str, kind: Kind, found: Object) -> None:
    meta = found["metadata"]
    if not meta.get("finalizers") and not (kind is POD and found["spec"].get("nodeName")):
        objects.remove(cluster, kind, found)
    elif "deletionTimestamp" not in meta:
        objects.change(cluster, kind, {**found, "metadata": {**meta, "deletionTimestamp": now()}})


def _disown(objects: Objects, cluster: str, kind: Kind, found: Object, uid: str) -> None:
    meta = dict(found["metadata"])
    meta["ownerReferences"] = [each for each in meta["ownerReferences"] if each["uid"] != uid]
    if not meta["ownerReferences"]:
        del meta["ownerReferences"]
    objects.change(cluster, kind, {**found, "metadata": meta})


def _unfinalize(objects: Objects, cluster: str, kind: Kind, found: Object, finalizer: str) -> None:
    meta = dict(found["metadata"])
    meta["finalizers"] = [each for each in meta["finalizers"] if each != finalizer]
    if not meta["finalizers"]:
        del meta["finalizers"]
    objects.change(cluster, kind, {**found, "metadata": meta})


def _claims(objects: Objects, cluster: str) -> None:
    """A claim that a scheduled pod mounts waits for the pod; an unscheduled one does not hold it."""
    for each in objects.every(cluster, CLAIMS):
        meta = each["metadata"]
        if "deletionTimestamp" not in meta or CLAIM not in meta.get("finalizers", ()):
            continue
        pods = (pod for pod in objects.every(cluster, POD, meta["namespace"]) if pod["spec"].get("nodeName"))
        if not any(meta["name"] in _mounted(pod) for pod in pods):
            _unfinalize(objects, cluster, CLAIMS, each, CLAIM)


def _free(objects: Objects, cluster: str) -> None:
    """What waited for finalizers alone, and has none any more, is gone."""
    for kind, found in list(objects.everything(cluster)):
        meta = found["metadata"]
        waits = meta.get("finalizers") or meta.get("deletionGracePeriodSeconds") or kind is NAMESPACES
        if "deletionTimestamp" in meta and not waits:
            objects.remove(cluster, kind, found)


def _mounted(pod: Mapping[str, Any]) -> set[str]:
    volumes = pod["spec"].get("volumes") or ()
    return {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}


def _owned(objects: Objects, cluster: str, kind: Kind, owner: Object) -> list[Object]:
    uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
    return [
        each
        for each in objects.every(cluster, kind, namespace)
        if any(reference["uid"] == uid for reference in each["metadata"].get("ownerReferences", ()))
        and "deletionTimestamp" not in each["metadata"]
    ]


def _make(
    objects: Objects, cluster: str, kind: Kind, owner: Object, of: Kind, name: str, labels: Any, body: Object
) -> None:
    reference = {"apiVersion": of.group_version, "kind": of.kind, "name": owner["metadata"]["name"]}
    reference |= {"uid": owner["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}
    meta = {"name": name, "namespace": owner["metadata"]["namespace"], "labels": labels}
    meta["ownerReferences"] = [reference]
    objects.add(cluster, kind, filled(kind, {"metadata": meta, **body}))


def _hash(template: Mapping[str, Any]) -> str:
    return str(zlib.crc32(json.dumps(template, sort_keys=True).encode()) | 1 << 31).translate(_DIGITS)


def _random() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(5))
