"""What an API server fills in of what it is given: https://kubernetes.io/docs/reference/kubernetes-api/"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from infra.emulator.kubernetes.kinds import Kind

Spec = dict[str, Any]
GENERATIONS = (
    "apps",
    "batch",
    "networking.k8s.io",
    "policy",
    "apiextensions.k8s.io",
)  # groups whose objects count them
_ROLLING = {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}, "type": "RollingUpdate"}


def filled(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """A new or changed object as it is kept."""
    new = dict(given)
    if fill := _OBJECTS.get(kind.kind):
        new = fill(new)
    if kind.kind in _SPECS:
        new["spec"] = _SPECS[kind.kind](dict(new.get("spec") or {}))
    if kind.kind in _STATUSES:
        new.setdefault("status", _STATUSES[kind.kind])
    return new


def counts_generations(kind: Kind) -> bool:
    return kind.group in GENERATIONS or ("." in kind.group and not kind.group.endswith(".k8s.io"))


def _pod_spec(spec: Spec) -> Spec:
    containers = [_container(each) for each in spec.get("containers") or ()]
    said: Spec = {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler"}
    said |= {"securityContext": {}, "terminationGracePeriodSeconds": 30}
    return {**said, **spec, "containers": containers}


def _container(container: Spec) -> Spec:
    image = str(container.get("image", ""))
    pull = "Always" if image.endswith(":latest") or ":" not in image.rpartition("/")[2] else "IfNotPresent"
    said: Spec = {"imagePullPolicy": pull, "resources": {}}
    said |= {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
    return {**said, **container}


def _template(template: Mapping[str, Any] | None) -> Spec:
    given = dict(template or {})
    meta = {"creationTimestamp": None, **(given.get("metadata") or {})}
    return {**given, "metadata": meta, "spec": _pod_spec(dict(given.get("spec") or {}))}


def _deployment(spec: Spec) -> Spec:
    said: Spec = {"progressDeadlineSeconds": 600, "replicas": 1, "revisionHistoryLimit": 10, "strategy": _ROLLING}
    return {**said, **spec, "template": _template(spec.get("template"))}


def _replica_set(spec: Spec) -> Spec:
    return {"replicas": 1, **spec, "template": _template(spec.get("template"))}


def _stateful_set(spec: Spec) -> Spec:
    said: Spec = {"podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": 10, "serviceName": ""}
    said |= {"updateStrategy": {"rollingUpdate": {"partition": 0}, "type": "RollingUpdate"}}
    claims = [_claim_template(each) for each in spec.get("volumeClaimTemplates") or ()]
    more = {"volumeClaimTemplates": claims} if claims else {}
    return {**said, **spec, **more, "template": _template(spec.get("template"))}


def _claim_template(given: Mapping[str, Any]) -> Spec:
    meta = {"creationTimestamp": None, **given["metadata"]}
    spec = {"volumeMode": "Filesystem", **given.get("spec", {})}
    said: Spec = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}
    return {**said, **given, "metadata": meta, "spec": spec}


def _daemon_set(spec: Spec) -> Spec:
    rolling = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}, "type": "RollingUpdate"}
    said: Spec = {"revisionHistoryLimit": 10, "updateStrategy": rolling}
    return {**said, **spec, "template": _template(spec.get("template"))}


def _job(spec: Spec) -> Spec:
    return {"backoffLimit": 6, "completions": 1, "parallelism": 1, **spec, "template": _template(spec.get("template"))}


def _cron_job(spec: Spec) -> Spec:
    said: Spec = {
        "concurrencyPolicy": "Allow",
        "failedJobsHistoryLimit": 1,
        "successfulJobsHistoryLimit": 3,
        "suspend": False,
    }
    job = dict(spec.get("jobTemplate") or {})
    inner = dict(job.get("spec") or {})
    return {**said, **spec, "jobTemplate": {**job, "spec": {**inner, "template": _template(inner.get("template"))}}}


def _service(spec: Spec) -> Spec:
    ports = [{"protocol": "TCP", "targetPort": each.get("port"), **each} for each in spec.get("ports") or ()]
    return {"type": "ClusterIP", "sessionAffinity": "None", **spec, **({"ports": ports} if ports else {})}


def _claim(spec: Spec) -> Spec:
    return {"volumeMode": "Filesystem", **spec}


def _secret(new: dict[str, Any]) -> dict[str, Any]:
    given = new.pop("stringData", None) or {}
    data = {key: base64.b64encode(str(value).encode()).decode() for key, value in given.items()}
    return {"type": "Opaque", **new, **({"data": {**(new.get("data") or {}), **data}} if data else {})}


def _namespace(new: dict[str, Any]) -> dict[str, Any]:
    return {**new, "spec": {"finalizers": ["kubernetes"], **(new.get("spec") or {})}}


def _protected_claim(new: dict[str, Any]) -> dict[str, Any]:
    """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection"""
    meta = new["metadata"]
    if "uid" in meta:
        return new
    return {**new, "metadata": {"finalizers": ["kubernetes.io/pvc-protection"], **meta}}


_OBJECTS: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Secret": _secret,
    "Namespace": _namespace,
    "PersistentVolumeClaim": _protected_claim,
}
_SPECS: Mapping[str, Callable[[Spec], Spec]] = {
    "Pod": _pod_spec,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "ReplicationController": _replica_set,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "CronJob": _cron_job,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
}
_STATUSES: Mapping[str, Mapping[str, Any]] = {
    "Namespace": {"phase": "Active"},
    "Deployment": {},
    "ReplicaSet": {},
    "StatefulSet": {},
    "DaemonSet": {},
    "Job": {},
    "CronJob": {},
    "PersistentVolumeClaim": {"phase": "Pending"},
    "Pod": {"phase": "Pending", "qosClass": "BestEffort"},
    "Service": {"loadBalancer": {}},
    "Ingress": {"loadBalancer": {}},
}
