"""Whose an object is: the app's by the labels that slipway.yaml declares, unless anything else shows that it is not.

Pure. Labels are copied by operators to what they make, so an owner outweighs them, and so does another tool's mark:
https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

import semver

from tasks.cleanup.kinds.kubernetes.things import Thing
from tasks.manifest.kubernetes import Kubernetes

PART_OF = "applyset.kubernetes.io/part-of"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS_BY_HAND = frozenset({"", "kubectl", "kustomize", "slipway"})  # who applies what a person has written
# By the beginnings of labels and annotations that a tool leaves on what it keeps.
MARKS = (
    ("meta.helm.sh/", "Helm"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/", "Flux"),
    ("helm.toolkit.fluxcd.io/", "Flux"),
    ("config.k8s.io/owning-inventory", "Config Sync or kpt"),
    ("configmanagement.gke.io/", "Config Sync"),
    ("configsync.gke.io/", "Config Sync"),
    ("cnrm.cloud.google.com/", "Config Connector"),
    ("managed-by-cnrm", "Config Connector"),
    ("objectset.rio.cattle.io/", "Fleet"),
    ("fleet.cattle.io/", "Fleet"),
    ("olm.", "Operator Lifecycle Manager"),
    ("operators.coreos.com/", "Operator Lifecycle Manager"),
    ("addonmanager.kubernetes.io/", "the cluster's add-ons"),
    ("components.gke.io/", "GKE"),
    ("crossplane.io/", "Crossplane"),
    ("cert-manager.io/certificate-name", "cert-manager"),
    ("reconcile.external-secrets.io/", "External Secrets"),
    ("reflector.v1.k8s.emberstack.com/", "Reflector"),  # also what others have copies of, which go with it
    ("replicator.v1.mittwald.de/", "Replicator"),
    ("kubed.appscode.com/", "Config Syncer"),
    ("clustersecret.io/", "ClusterSecret"),
    ("app.kubernetes.io/created-by", "what created it"),
    ("skaffold.dev/run-id", "Skaffold"),
    ("kubernetes.io/service-account.", "its service account"),
    ("kapp.k14s.io/", "kapp"),
    ("pulumi.com/", "Pulumi"),
)
# Who has written fields of it: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
WRITERS = {
    "argocd-controller": "Argo CD", "argocd-application-controller": "Argo CD", "kustomize-controller": "Flux",
    "helm-controller": "Flux", "helm": "Helm", "configsync": "Config Sync", "configsync.gke.io": "Config Sync",
    "cnrm-controller-manager": "Config Connector", "pulumi-kubernetes": "Pulumi", "Terraform": "Terraform",
    "HashiCorp": "Terraform", "fleetagent": "Fleet", "kapp-server": "kapp",
}  # fmt: skip
# What tells every tool to leave a thing where it is; what is said of a Secret is not read, so the key alone counts.
HOLDS = (
    ("cli-utils.sigs.k8s.io/on-remove", ("keep",)),
    ("client.lifecycle.config.k8s.io/deletion", ("detach",)),
    ("argocd.argoproj.io/sync-options", ("Prune=", "Delete=")),
    ("kustomize.toolkit.fluxcd.io/prune", ("disabled",)),
    ("helm.sh/resource-policy", ("keep",)),
    ("kor/used", ("true",)),
)
STAGES = ("alpha", "beta", "dev", "pre", "rc", "snapshot")  # that come before a release, and are over with it
# Of finalizers whose controllers are part of every cluster, and do their work by themselves.
KNOWN_FINALIZERS = (
    "kubernetes.io/pvc-protection", "service.kubernetes.io/load-balancer-cleanup", "networking.gke.io/",
    "foregroundDeletion", "orphan", "batch.kubernetes.io/job-tracking",
)  # fmt: skip


def manager_of(thing: Thing, settings: Kubernetes) -> str:
    """Who else keeps it, in words; '' for nobody."""
    if thing.owners:
        return thing.owners[0]
    said = thing.labels.get(MANAGED_BY, "")
    if said not in OURS_BY_HAND and settings.selector.get(MANAGED_BY) != said:
        return f"{said} (release {release})" if (release := _release(thing)) else said
    keys = (*thing.labels, *thing.annotations)
    for start, tool in MARKS:
        if any(key.startswith(start) for key in keys if not _declared(key, settings)):
            return f"{tool} (release {release})" if (release := _release(thing)) and tool == "Helm" else tool
    if thing.labels.get("heritage") in ("Helm", "Tiller") or thing.labels.get("owner") in ("helm", "TILLER"):
        return "Helm"  # the second are the releases themselves: https://helm.sh/docs/topics/advanced/#storage-backends
    if wrote := next((WRITERS[each] for each in thing.writers if each in WRITERS), ""):
        return wrote
    other = thing.labels.get(PART_OF, "")
    return f"the ApplySet {other}" if other and other != applyset_id(settings) else ""


def _release(thing: Thing) -> str:
    return thing.annotations.get("meta.helm.sh/release-name", "")


def _declared(key: str, settings: Kubernetes) -> bool:
    return key in settings.selector


def is_ours(labels: Mapping[str, str], settings: Kubernetes) -> bool:
    """By the labels alone."""
    if settings.applyset is not None:
        return labels.get(PART_OF) == applyset_id(settings)
    return all(labels.get(key) == value for key, value in settings.selector.items())


def applyset_id(settings: Kubernetes) -> str:
    """https://kubernetes.io/docs/reference/labels-annotations-taints/#applyset-kubernetes-io-id; '' without one."""
    if settings.applyset is None:
        return ""
    kind, name = parent_of(settings)
    text = f"{name}.{settings.namespaces[0]}.{kind}."
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"applyset-{digest}-v1"


def parent_of(settings: Kubernetes) -> tuple[str, str]:
    """(kind, name) of the ApplySet's parent."""
    plural, _, name = (settings.applyset or "").rpartition("/")
    return ("ConfigMap" if plural == "configmaps" else "Secret"), name


def hold_on(thing: Thing) -> str:
    """Why it has to stay although it is the app's, in words; '' if nothing says so."""
    for key, values in HOLDS:
        for said in (each.get(key) for each in (thing.labels, thing.annotations)):
            if said is not None and (said == "" or any(value in said for value in values)):
                return f"it is held by {key}: {said}".removesuffix(": ")
    if thing.deleting:
        waits = ", ".join(thing.finalizers) or "its controllers"
        told = "; ".join(conditions(thing))
        return f"it is being deleted since {thing.deleting} and waits for {waits}{f': {told}' if told else ''}"
    strange = [each for each in thing.finalizers if not each.startswith(KNOWN_FINALIZERS)]
    return f"whoever set its finalizer {strange[0]} has to let it go" if strange else ""


def conditions(thing: Thing) -> list[str]:
    """What holds up the end of a namespace, in the cluster's own words."""
    found = (thing.body.get("status") or {}).get("conditions") or ()
    return [str(each.get("message", "")) for each in found if _holds_up(each)]


def _holds_up(condition: Mapping[str, str]) -> bool:
    return condition.get("status") == "True" and condition.get("type", "").startswith("Namespace")


def version_hold(thing: Thing, settings: Kubernetes, live: str) -> str:
    """Why its version keeps it: only what is of an older one than `live`, or of none, is left over.

    A canary may be called v1.4.0-canary, which sorts before the v1.4.0 that it is of.
    """
    said = thing.labels.get(settings.version_label, "")
    if not said:
        return ""
    if normal(said) == normal(live):
        return f"it is of version {said}, which is live, though {settings.manifests} does not define it"
    older, newer = parsed(said), parsed(live)
    if older is None or newer is None or older > newer or _is_beside(older, newer):
        return f"it is of version {said}, which is not known to be older than {live}"
    return ""


def _is_beside(older: semver.Version, newer: semver.Version) -> bool:
    """Whether it is of the same release and no stage on the way to it."""
    same = older.finalize_version() == newer.finalize_version()
    return same and not (older.prerelease or "").startswith(STAGES)


def normal(version: str) -> str:
    """A version as labels and tags have it: v1.4.0, 1.4.0 and v1_4_0 are the same."""
    return version.replace("__", "+").replace("_", ".").removeprefix("v")


def parsed(version: str) -> semver.Version | None:
    try:
        return semver.Version.parse(normal(version))
    except ValueError:
        return None


def by_manager(things: Iterable[Thing], settings: Kubernetes) -> dict[str, list[Thing]]:
    """What carries the app's labels and yet is somebody else's, by whose; without what an owner has made."""
    found: dict[str, list[Thing]] = {}
    for each in things:
        if not each.owners and is_ours(each.labels, settings) and (manager := manager_of(each, settings)):
            found.setdefault(manager, []).append(each)
    return found
