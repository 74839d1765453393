"""What objects name, wherever they do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.cleanup.kinds.kubernetes.references import (
    Name,
    claims_of_sets,
    images_of,
    mentioned,
    structural,
    told,
)
from tests.tasks.cleanup.kinds.kubernetes.clusters import NS, a_thing, an_object

TEMPLATE_OF: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "Deployment": lambda spec: {"template": {"spec": spec}},
    "DaemonSet": lambda spec: {"template": {"spec": spec}},
    "StatefulSet": lambda spec: {"template": {"spec": spec}},
    "ReplicaSet": lambda spec: {"replicas": 0, "template": {"spec": spec}},
    "Job": lambda spec: {"template": {"spec": spec}},
    "CronJob": lambda spec: {"jobTemplate": {"spec": {"template": {"spec": spec}}}},
    "Pod": lambda spec: spec,
}
KEY = {"name": "a", "key": "k"}


@pytest.mark.parametrize("where", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize("kind", TEMPLATE_OF)
def test_every_container_of_every_template_counts(kind: str, where: str) -> None:
    container = {
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": KEY}},
            {"name": "B", "valueFrom": {"secretKeyRef": KEY}},
        ],
        "envFrom": [{"configMapRef": {"name": "b"}}, {"secretRef": {"name": "b"}}],
    }
    thing = a_thing(an_object(kind, "user", spec=TEMPLATE_OF[kind]({where: [container]})))
    assert structural(thing) == {Name(of, NS, name) for of in ("ConfigMap", "Secret") for name in ("a", "b")}


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ({"volumes": [{"configMap": {"name": "a"}}]}, "ConfigMap"),
        ({"volumes": [{"secret": {"secretName": "a"}}]}, "Secret"),
        ({"volumes": [{"persistentVolumeClaim": {"claimName": "a"}}]}, "PersistentVolumeClaim"),
        ({"volumes": [{"projected": {"sources": [{"secret": {"name": "a"}}]}}]}, "Secret"),
        ({"volumes": [{"csi": {"nodePublishSecretRef": {"name": "a"}}}]}, "Secret"),
        ({"volumes": [{"flexVolume": {"secretRef": {"name": "a"}}}]}, "Secret"),
        ({"volumes": [{"azureFile": {"secretName": "a"}}]}, "Secret"),
        ({"imagePullSecrets": [{"name": "a"}]}, "Secret"),
    ],
    ids=["config map", "secret", "claim", "projected", "csi", "flex", "azure", "pull"],
)
def test_every_volume_counts(spec: dict[str, Any], kind: str) -> None:
    assert structural(a_thing(an_object("Pod", "user", spec=spec))) == {Name(kind, NS, "a")}


def test_an_ingress_names_its_certificates_and_all_its_backends() -> None:
    path = {"backend": {"service": {"name": "b", "port": {"number": 80}}}}
    spec = {
        "tls": [{"secretName": "t"}],
        "defaultBackend": {"service": {"name": "a"}},
        "rules": [{"http": {"paths": [path]}}],
    }
    found = structural(a_thing(an_object("Ingress", "in", spec=spec)))
    assert found == {Name("Secret", NS, "t"), Name("Service", NS, "a"), Name("Service", NS, "b")}


@pytest.mark.parametrize("text", ["a", "shop/a", '{"default": "a"}', "http://a.shop.svc.cluster.local:80/x"])
def test_a_text_that_may_mean_something_counts(text: str) -> None:
    thing = a_thing(an_object("ServiceAccount", "s", annotations={"example.com/x": text}))
    assert list(mentioned(thing, {"a": {"Secret"}, "other": {"Secret"}})) == [Name("Secret", "", "a")]


def test_what_kubectl_has_last_applied_is_no_mention() -> None:
    told = {"kubectl.kubernetes.io/last-applied-configuration": '{"name": "a"}'}
    assert not list(mentioned(a_thing(an_object("ConfigMap", "s", annotations=told)), {"a": {"Secret"}}))


def test_every_string_of_a_custom_resource_counts_also_for_workloads() -> None:
    thing = a_thing(an_object("Widget", "w", spec={"deep": [{"er": "web"}]}))
    assert list(mentioned(thing, {"web": {"Deployment"}})) == [Name("Deployment", "", "web")]
    builtin = a_thing(an_object("ServiceAccount", "s", annotations={"x": "web"}))
    assert not list(mentioned(builtin, {"web": {"Deployment"}}))


def test_what_a_role_names_may_be_read_by_somebody() -> None:
    role = a_thing(an_object("Role", "r", rules=[{"resources": ["configmaps"], "resourceNames": ["a"]}]))
    assert Name("ConfigMap", NS, "a") in structural(role)


def test_what_a_stateful_set_was_and_can_be_again_counts() -> None:
    """`kubectl rollout undo` writes what a ControllerRevision has."""
    spec = {"containers": [{"image": "i", "envFrom": [{"configMapRef": {"name": "a"}}]}]}
    data = {"spec": {"template": {"$patch": "replace", "spec": spec}}}
    thing = a_thing(an_object("ControllerRevision", "db-7d9", data=data))
    assert structural(thing) == {Name("ConfigMap", NS, "a")}
    assert images_of(thing) == ("i",)


@pytest.mark.parametrize(
    ("kind", "body", "namespace"),
    [
        ("PersistentVolume", {"spec": {"csi": {"nodeStageSecretRef": {"name": "a", "namespace": NS}}}}, NS),
        ("PersistentVolume", {"spec": {"azureFile": {"secretName": "a", "secretNamespace": NS}}}, NS),
        ("StorageClass", {"parameters": {"csi.storage.k8s.io/provisioner-secret-name": "a", "type": "ssd"}}, ""),
    ],
    ids=["csi", "azure", "class"],
)
def test_secrets_of_volumes_and_their_classes_count(kind: str, body: dict[str, Any], namespace: str) -> None:
    assert structural(a_thing(an_object(kind, "v", **body))) == {Name("Secret", namespace, "a")}


def test_the_secret_of_a_class_of_snapshots_counts() -> None:
    said = {"csi.storage.k8s.io/snapshotter-secret-name": "a"}
    thing = a_thing(an_object("VolumeSnapshotClass", "c", parameters=said))
    assert list(mentioned(thing, {"a": {"Secret"}})) == [Name("Secret", "", "a")]


def test_images_of_custom_resources_count_though_no_pod_runs_them_now() -> None:
    image = "europe-west1-docker.pkg.dev/acme/shop/api"
    spec = {"jobTargetRef": {"template": {"spec": {"containers": [{"image": f"{image}:v1"}]}}}, "note": "and/or"}
    digest = f"{image}@sha256:{'a' * 64}"
    found = images_of(a_thing(an_object("Widget", "scaled", spec=spec, status={"last": digest})))
    assert set(found) == {f"{image}:v1", digest}


def test_what_a_program_in_the_cluster_is_told_of_things_outside_of_it() -> None:
    database = "acme:europe-west1:main"
    settings = a_thing(an_object("ConfigMap", "settings", data={"DATABASE": database}))
    mount = {"csi": {"driver": "gcsfuse.csi.storage.gke.io", "volumeAttributes": {"bucketName": "acme-files"}}}
    container = {"args": [database], "env": [{"name": "KEY", "value": "projects/acme/secrets/key"}]}
    pod = a_thing(an_object("Pod", "p", spec={"containers": [container], "volumes": [mount]}))
    pinned = {"data": [{"remoteRef": {"key": "key", "version": "3"}}]}
    outside = a_thing(an_object("Widget", "external-secret", spec=pinned))
    assert [list(told(each)) for each in (settings, pod, outside)] == [
        [database], ["projects/acme/secrets/key", database, "acme-files"],
        ["key", "3", "projects/0/secrets/key/versions/3"],
    ]  # fmt: skip


def test_a_snapshot_does_not_need_what_it_is_of() -> None:
    source = {"source": {"persistentVolumeClaimName": "disk"}}
    thing = a_thing(an_object("VolumeSnapshot", "s", spec=source))
    assert not list(mentioned(thing, {"disk": {"PersistentVolumeClaim"}}))


def test_claims_of_a_stateful_set_are_its_own_whatever_their_number() -> None:
    spec = {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]}
    thing = a_thing(an_object("StatefulSet", "db", spec=spec))
    found = claims_of_sets(thing, ["data-db-0", "data-db-17", "data-db-x", "data-db2-0", "logs-db-0"])
    assert [each.name for each in found] == ["data-db-0", "data-db-17"]
