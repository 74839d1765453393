"""Whose an object is, and what keeps it although it is the app's."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.cleanup.kinds.kubernetes.ownership import applyset_id, by_manager, hold_on, is_ours, manager_of, version_hold
from tasks.manifest.kubernetes import Kubernetes, is_protected
from tests.tasks.cleanup.kinds.kubernetes.clusters import LIVE, OURS, SETTINGS, a_thing, an_object

BY_LABELS = Kubernetes.model_validate(SETTINGS)
OWNER: dict[str, Any] = {"ownerReferences": [{"apiVersion": "v1", "kind": "ClusterSecret", "name": "s", "uid": "1"}]}


def test_an_applyset_is_known_by_what_kubectl_computes() -> None:
    """As kubectl 1.32 did: `kubectl apply -n shop --prune --applyset=shop`."""
    said = {key: value for key, value in SETTINGS.items() if key != "selector"}
    settings = Kubernetes.model_validate({**said, "applyset": "shop"})
    assert applyset_id(settings) == "applyset-GwAbKEnoQdgaoi0MSLuXqidpqgFxJVNssD4MzmoY9us-v1"
    assert is_ours({"applyset.kubernetes.io/part-of": applyset_id(settings)}, settings)
    assert not is_ours({"applyset.kubernetes.io/part-of": "applyset-x-v1"}, settings)


@pytest.mark.parametrize(
    ("more", "manager"),
    [
        ({}, ""),
        ({"labels": OURS | {"app.kubernetes.io/managed-by": "kustomize"}}, ""),
        ({"labels": OURS | {"app.kubernetes.io/managed-by": "Helm"},
          "annotations": {"meta.helm.sh/release-name": "r"}}, "Helm (release r)"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD"),
        ({"labels": OURS | {"kustomize.toolkit.fluxcd.io/name": "x"}}, "Flux"),
        ({"annotations": {"cnrm.cloud.google.com/project-id": "x"}}, "Config Connector"),
        ({"annotations": {"cert-manager.io/certificate-name": "x"}}, "cert-manager"),
        ({"labels": OURS | {"applyset.kubernetes.io/part-of": "applyset-x-v1"}}, "the ApplySet applyset-x-v1"),
        ({"annotations": {"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}, "Reflector"),
        ({"annotations": {"replicator.v1.mittwald.de/replicate-to": "team-.*"}}, "Replicator"),
        ({"managedFields": [{"manager": "kubectl"}, {"manager": "argocd-controller"}]}, "Argo CD"),
        (OWNER, "ClusterSecret s"),
        ({"labels": OURS | {"owner": "helm", "status": "superseded"}}, "Helm"),
    ],
    ids=["nobody", "kustomize", "helm", "argo", "flux", "connector", "certificate", "applyset", "reflected",
         "replicated", "writer", "owner", "a release of helm"],
)  # fmt: skip
def test_another_tools_mark_outweighs_the_apps_labels(more: dict[str, Any], manager: str) -> None:
    assert manager_of(a_thing(an_object("ConfigMap", "s", **more)), BY_LABELS) == manager


def test_a_label_of_managed_by_may_be_the_apps_own_mark() -> None:
    own = {"app.kubernetes.io/managed-by": "our-pipeline"}
    settings = Kubernetes.model_validate({**SETTINGS, "selector": own})
    assert manager_of(a_thing(an_object("Secret", "s", labels=own)), settings) == ""


def test_what_others_manage_is_told_with_their_name() -> None:
    helm = a_thing(an_object("ConfigMap", "s", annotations={"meta.helm.sh/release-name": "r"}))
    made = a_thing(an_object("Secret", "t", **OWNER))
    assert by_manager([helm, made], BY_LABELS) == {"Helm (release r)": [helm]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ""),
        ({"annotations": {"helm.sh/resource-policy": "keep"}}, "it is held by helm.sh/resource-policy: keep"),
        ({"annotations": {"argocd.argoproj.io/sync-options": "Prune=false"}}, "it is held by argocd"),
        ({"annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}}, ""),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]},
         "deleted since 2026-01-01T00:00:00Z and waits for a/b"),
        ({"finalizers": ["example.com/hold"]}, "example.com/hold has to let it go"),
        ({"finalizers": ["kubernetes.io/pvc-protection"]}, ""),
    ],
    ids=["nothing", "helm", "argo", "other option", "ending", "finalizer", "built in"],
)  # fmt: skip
def test_holds_are_respected(more: dict[str, Any], said: str) -> None:
    found = hold_on(a_thing(an_object("ConfigMap", "a", **more)))
    assert said in found
    assert bool(said) == bool(found)


def test_of_a_secret_the_key_of_a_hold_suffices_as_its_values_are_not_read() -> None:
    told = {"helm.sh/resource-policy": "keep", "kubectl.kubernetes.io/last-applied-configuration": '{"password": "x"}'}
    secret = a_thing(an_object("Secret", "s", annotations=told))
    assert hold_on(secret)
    assert "password" not in repr(secret)


@pytest.mark.parametrize(
    ("version", "stays"),
    [
        *((version, False) for version in ("v1.3.0", "1.3.9", "v1_3_0", "v1.4.0-rc.1", "")),
        *((version, True) for version in ("v1.4.0", "1.4.0", "v1_4_0", "v1.4.1", "blue", "v1.4.0-canary")),
    ],
)
def test_only_what_is_of_an_older_version_or_of_none_is_left_over(version: str, stays: bool) -> None:
    labels = {**OURS, **({"app.kubernetes.io/version": version} if version else {})}
    assert bool(version_hold(a_thing(an_object("ConfigMap", "a", labels=labels)), BY_LABELS, LIVE)) == stays


@pytest.mark.parametrize(
    "name", ["default", "kube-system", "kube-node-lease", "gke-managed-system", "gmp-system", "flux-system"]
)
def test_namespaces_of_the_cluster_and_of_controllers_are_nobodys(name: str) -> None:
    assert is_protected(name)
    with pytest.raises(ValueError, match="the cluster's own"):
        Kubernetes.model_validate({**SETTINGS, "namespaces": [name]})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kubeconfig": "x"}, "one of cluster and kubeconfig"),
        ({"applyset": "x"}, "one of selector and applyset"),
        ({"selector": {}}, "one of selector and applyset"),
        ({"context": "x"}, "context is for kubeconfig"),
        ({"manifests": "../x"}, "inside the repository"),
    ],
    ids=["cluster", "both", "neither", "context", "outside"],
)
def test_settings_that_contradict_each_other_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Kubernetes.model_validate({**SETTINGS, **change})
