"""Random clusters of which it is known, by how they are made, what has to stay. SLIPWAY_WORLDS says how many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.tasks.cleanup.kinds.kubernetes.clusters import LIVE, NS, OLD, OURS, an_object, since

Object = dict[str, Any]
RARELY = st.sampled_from([False] * 7 + [True])
HOURS = st.sampled_from([None, None, 1.0, 30.0, 200.0])  # since the first step
VERSIONS = st.sampled_from([OLD] * 6 + ["1.2.9", "v1_3_0", LIVE, "1.4.0", "v2.0.0", "blue", ""])
STAYING = (LIVE, "1.4.0", "v2.0.0", "blue")
MARKS: list[tuple[dict[str, str], dict[str, str]]] = [  # labels, annotations of other tools
    ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "r"}),
    ({"app.kubernetes.io/managed-by": "an-operator"}, {}),
    ({"kustomize.toolkit.fluxcd.io/name": "apps"}, {}),
    ({}, {"argocd.argoproj.io/tracking-id": "a:apps/Deployment:shop/web"}),
    ({}, {"config.k8s.io/owning-inventory": "i"}),
    ({"applyset.kubernetes.io/part-of": "applyset-other-v1"}, {}),
    ({}, {"cnrm.cloud.google.com/project-id": "p"}),
    ({"goog-managed-by": "cloudfunctions"}, {}),
]
HOLDS: list[dict[str, str]] = [
    {"helm.sh/resource-policy": "keep"},
    {"argocd.argoproj.io/sync-options": "Prune=false"},
    {"argocd.argoproj.io/sync-options": "SkipDryRunOnMissingResource=true,Delete=confirm"},
    {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
    {"cli-utils.sigs.k8s.io/on-remove": "keep"},
]
BESIDES: dict[str, Any] = {
    "ownerReferences": [{"apiVersion": "v1", "kind": "Widget", "name": "w", "uid": "uid-Widget-w"}],
    "finalizers": ["example.com/hold"],
    "deletionTimestamp": "2026-01-01T00:00:00Z",
}
SETTLE_H = {"Deployment": 24.0, "StatefulSet": 24.0, "CronJob": 24.0, "Namespace": 24.0}


@dataclass
class Made:
    """A cluster; by kind and name, what stays by itself, what an object needs, and since when it is prepared."""

    draw: st.DrawFn
    objects: list[Object] = field(default_factory=list)
    defined: list[Object] = field(default_factory=list)
    stays: set[str] = field(default_factory=set)
    needs: dict[str, set[str]] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    settling: set[str] = field(default_factory=set)
    judged: set[str] = field(default_factory=set)

    def add(self, kind: str, name: str, stopped: bool = True, **body: Any) -> Object:
        """Something that may go unless a drawn reason keeps it."""
        draw, key = self.draw, f"{kind}/{name}"
        labels, annotations, meta, keep = self._reasons(dict(body.pop("annotations", {})))
        hours = draw(HOURS)
        if hours is not None:
            annotations |= since(hours)
            hours = hours if stopped else None  # of what has been started again the annotation says nothing
        if hours is not None:
            self.prepared.add(key)
        made = an_object(kind, name, labels=labels, annotations=annotations, **meta, **body)
        if draw(RARELY):
            self.defined.append(made)
            keep = True
        if hours is not None and hours < SETTLE_H.get(kind, 168.0):
            self.settling.add(key)
        self.judged.add(key)
        self.objects.append(made)
        if keep:
            self.stays.add(key)
        return made

    def _reasons(self, annotations: dict[str, str]) -> tuple[dict[str, str], dict[str, str], Object, bool]:
        """Labels, annotations, and what else its metadata has; and whether any of it keeps the object."""
        draw, version = self.draw, self.draw(VERSIONS)
        labels = {**OURS, **({"app.kubernetes.io/version": version} if version else {})}
        keep = version in STAYING
        if draw(RARELY):
            del labels["app.kubernetes.io/part-of"]
            keep = True
        if draw(RARELY):
            more, told = draw(st.sampled_from(MARKS))
            labels, annotations, keep = {**labels, **more}, {**annotations, **told}, True
        if draw(RARELY):
            annotations, keep = {**annotations, **draw(st.sampled_from(HOLDS))}, True
        meta = {name: value for name, value in BESIDES.items() if draw(RARELY)}
        return labels, annotations, meta, keep or bool(meta)

    def stranger(self, kind: str, name: str, **body: Any) -> None:
        """Something that nobody judges and that stays."""
        self.objects.append(an_object(kind, name, labels={}, **body))

    def must_stay(self) -> set[str]:
        """With all that is needed by what stays, or is only prepared in this run."""
        stays = self.stays | (self.settling & self.prepared)
        while True:
            holding = {key for key in self.judged if key in stays or key not in self.prepared}
            more = {need for key in holding for need in self.needs.get(key, ())} & self.judged
            if more <= stays:
                return stays
            stays |= more


def _pod(volumes: list[Object] | None = None, **container: Any) -> Object:
    return {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "i", "image": "i", **container}],
            "volumes": volumes or []}  # fmt: skip


def _template(spec: Object) -> Object:
    return {"metadata": {"labels": {"pods": "none"}}, "spec": spec}


def _specs(kind: str, name: str) -> list[Object]:
    """Pod specs that name it, each in another place."""
    if kind == "ConfigMap":
        return [
            _pod(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": name, "key": "k"}}}]),
            _pod(envFrom=[{"configMapRef": {"name": name}}]),
            _pod([{"name": "v", "configMap": {"name": name}}]),
            _pod([{"name": "v", "projected": {"sources": [{"configMap": {"name": name}}]}}]),
        ]
    if kind == "Secret":
        return [
            _pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]),
            _pod(envFrom=[{"secretRef": {"name": name}}]),
            _pod([{"name": "v", "secret": {"secretName": name}}]),
            _pod([{"name": "v", "projected": {"sources": [{"secret": {"name": name}}]}}]),
            _pod([{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": name}}}]),
            {**_pod(), "imagePullSecrets": [{"name": name}]},
        ]
    return [_pod([{"name": "v", "persistentVolumeClaim": {"claimName": name}}])]


def _by_workload(made: Made, key: str, spec: Object, number: int) -> None:
    """Named by something that may go itself: it stays as long as that does."""
    kind = made.draw(st.sampled_from(["Deployment", "StatefulSet", "CronJob"]))
    name = f"user-{number}"
    stopped = made.draw(st.booleans())
    body: Object = {"replicas": 0 if stopped else 2, "template": _template(spec)}
    if kind == "CronJob":
        body = {"suspend": stopped, "jobTemplate": {"spec": {"template": _template(spec)}}}
    made.add(kind, name, stopped, spec=body)
    made.needs.setdefault(f"{kind}/{name}", set()).add(key)
    made.prepared.discard(key)  # whatever its annotation says, it has been in use until now


def _by_pod(made: Made, key: str, spec: Object, number: int) -> None:
    made.stranger("Pod", f"pod-{number}", spec=spec)
    made.stays.add(key)


def _by_old_replica_set(made: Made, key: str, spec: Object, number: int) -> None:
    owner = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "live", "uid": "u"}]
    made.stranger(
        "ReplicaSet", f"old-{number}", ownerReferences=owner, spec={"replicas": 0, "template": _template(spec)}
    )
    made.stays.add(key)


def _by_custom_resource(made: Made, key: str, _: Object, number: int) -> None:
    name = key.partition("/")[2]
    said = made.draw(st.sampled_from([name, f"{NS}/{name}", f'{{"default": "{name}"}}']))
    made.stranger("Widget", f"widget-{number}", spec={"deep": [{"ref": said}]})
    made.stays.add(key)


def _by_annotation(made: Made, key: str, _: Object, number: int) -> None:
    made.stranger("ServiceAccount", f"account-{number}", annotations={"example.com/uses": key.partition("/")[2]})
    made.stays.add(key)


USERS: list[Callable[[Made, str, Object, int], None]] = [
    _by_workload, _by_workload, _by_pod, _by_old_replica_set, _by_custom_resource, _by_annotation,
]  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> Made:
    made = Made(draw)
    number = 0
    for kind, stem in (("ConfigMap", "settings"), ("Secret", "keys"), ("PersistentVolumeClaim", "disk")):
        for count in range(draw(st.integers(0, 3))):
            name = f"{stem}-{count}"
            volume: dict[str, Any] = {"spec": {"volumeName": f"pv-{name}"}} if stem == "disk" else {}
            made.add(kind, name, **volume)
            if stem == "disk":
                _volume(made, name)
            if draw(st.booleans()):
                number += 1
                draw(st.sampled_from(USERS))(made, f"{kind}/{name}", draw(st.sampled_from(_specs(kind, name))), number)
    _front(made)
    _namespaces(made)
    return made


def _volume(made: Made, claim: str) -> None:
    """The data stays in a volume that is retained, or in a snapshot, or it does not and the claim has to stay."""
    how = made.draw(st.sampled_from(["Retain", "snapshot", "Delete", "snapshot that is not ready"]))
    policy = "Retain" if how == "Retain" else "Delete"
    made.stranger("PersistentVolume", f"pv-{claim}", spec={"persistentVolumeReclaimPolicy": policy})
    if how in ("Delete", "snapshot that is not ready"):
        made.stays.add(f"PersistentVolumeClaim/{claim}")
    if how.startswith("snapshot"):
        status = {"readyToUse": how == "snapshot"}
        source = {"persistentVolumeClaimName": claim}
        made.stranger("VolumeSnapshot", f"copy-of-it-{len(made.objects)}", spec={"source": source}, status=status)


def _front(made: Made) -> None:
    """Services and Ingresses, with and without pods behind them."""
    for number in range(made.draw(st.integers(0, 2))):
        service, ingress = f"front-{number}", f"door-{number}"
        made.add("Service", service, spec={"selector": {"pods": service}})
        busy = made.draw(st.booleans())
        if busy:
            labels = {"pods": service}
            made.objects.append(an_object("Pod", f"behind-{number}", labels=labels, status={"phase": "Running"}))
            made.stays.add(f"Service/{service}")
        if made.draw(st.booleans()):
            backend = {"service": {"name": service, "port": {"number": 80}}}
            made.add("Ingress", ingress, spec={"defaultBackend": backend, "tls": [{"secretName": "keys-0"}]})
            made.needs.setdefault(f"Ingress/{ingress}", set()).update({f"Service/{service}", "Secret/keys-0"})
            made.prepared -= {f"Service/{service}", "Secret/keys-0"}
            if busy:
                made.stays.add(f"Ingress/{ingress}")


def _namespaces(made: Made) -> None:
    made.objects.append(an_object("Namespace", NS))  # which slipway.yaml names
    for number in range(made.draw(st.integers(0, 2))):
        name = f"preview-{number}"
        made.add("Namespace", name)
        for kind, own in (("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")):
            made.objects.append(an_object(kind, own, labels={}, namespace=name))
            made.objects[-1]["metadata"]["uid"] += name
        if made.draw(st.booleans()):
            made.stays.add(f"Namespace/{name}")
            kind = made.draw(st.sampled_from(["Widget", "PersistentVolumeClaim", "ServiceAccount"]))
            made.objects.append(an_object(kind, f"left-{number}", labels={}, namespace=name))
