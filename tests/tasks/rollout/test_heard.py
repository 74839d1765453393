"""The way back: what a release sends, heard, is what slipway.yaml said; and what it cannot say is told."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given

from tasks.drift.compare import compare
from tasks.rollout.heard import heard
from tests.tasks.rollout.services import IMAGE, OTHERS, WHERE, Body, sent, services


def same(body: Body) -> Body:
    """The body with what may differ as it is: names of volumes that hold secrets, and versions that are looked up."""
    body = {"name": f"{OTHERS}/services/web", **copy.deepcopy(body)}
    template = body["template"]
    at = {
        mount["name"]: mount["mountPath"] for each in template["containers"] for mount in each.get("volumeMounts", ())
    }
    new = {
        each["name"]: f"{each['secret']['secret']} at {at[each['name']].rstrip('/')}"
        for each in template.get("volumes", ())
        if "secret" in each
    }
    new |= {each["name"]: "cloudsql" for each in template.get("volumes", ()) if "cloudSqlInstance" in each}
    for each in template.get("volumes", ()):
        each["name"] = new.get(each["name"], each["name"])
        for item in each.get("secret", {}).get("items", ()):
            item["version"] = item["version"].replace("latest", "1")
    for container in template["containers"]:
        container["image"] = IMAGE.reference if container.get("ports") or len(template["containers"]) == 1 else "x"
        for mount in container.get("volumeMounts", ()):
            mount["name"] = new.get(mount["name"], mount["name"])
        for variable in container.get("env", ()):
            reference = variable.get("valueSource", {}).get("secretKeyRef", {"version": ""})
            reference["version"] = reference["version"].replace("latest", "1")
    return body


@given(services())
def test_what_is_heard_gives_the_same_again(settings: Body) -> None:
    body = sent(settings)
    said = heard(body, WHERE)
    assert said.left == {}
    again = sent(said.settings)
    assert compare(body, again) == compare(again, body) == ()
    assert heard(again, WHERE).settings == said.settings
    assert said.image == IMAGE.reference


def test_nothing_is_heard_of_a_service_that_says_nothing_or_what_is_so_by_default() -> None:
    usual = {"memory": "512Mi", "cpu": "1000m", "max_instances": 100, "concurrency": 80, "port": 8080, "timeout": "5m"}
    assert heard(sent({}), WHERE).settings == {}
    assert heard(sent({**usual, "ingress": "all", "cpu_boost": True, "min_instances": 0}), WHERE).settings == {}
    assert heard({"template": {"containers": [{"image": "x"}]}}, WHERE).settings == {"cpu_boost": False}
    for cpu in (1, "500m", "2000m", 0.5):  # Google fills in 1000m: this somebody has said
        assert heard(sent({"cpu": cpu}), WHERE).settings == {"cpu": cpu}


# Bodies as tools send them, each with names and habits of its own.
BODIES: dict[str, Body] = {
    "terraform with a sidecar before the app": {
        "ingress": "INGRESS_TRAFFIC_ALL",
        "template": {
            "containers": [
                {"name": "pooler", "image": "x", "resources": {"limits": {"cpu": "0.25", "memory": "128Mi"}},
                 "startupProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 3, "failureThreshold": 5}},
                {"name": "app", "image": "x", "ports": [{"name": "http1", "containerPort": 8080}],
                 "dependsOn": ["pooler"], "resources": {"limits": {"cpu": "1000m", "memory": "1073741824"}}},
            ],
            "labels": {"team": "web"},
            "vpcAccess": {"connector": f"{OTHERS}/connectors/main", "egress": "PRIVATE_RANGES_ONLY"},
        },
    },
    "a service of YAML whose sidecar waits for the app": {
        "template": {
            "containers": [
                {"name": "app", "image": "x", "ports": [{"containerPort": 8080}], "resources": {"cpuIdle": True},
                 "startupProbe": {"httpGet": {"path": "/startup", "port": 8080}}},
                {"name": "metrics", "image": "x", "resources": {"cpuIdle": True}, "dependsOn": ["app"]},
            ],
            "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        },
    },
    "half a CPU each": {
        "template": {
            "containers": [
                {"name": "app", "image": "x", "ports": [{"containerPort": 80}],
                 "resources": {"limits": {"cpu": "0.5", "memory": "128Mi"}, "cpuIdle": True}},
                {"name": "api", "image": "x", "resources": {"limits": {"cpu": "1.0"}, "cpuIdle": True},
                 "volumeMounts": [{"name": "config", "mountPath": "/app/config"}]},
            ],
            "maxInstanceRequestConcurrency": 20,
            "volumes": [{"name": "config", "secret": {"secret": "api-config", "items": [
                {"path": "file.yaml", "version": "latest"}]}}],
        },
    },
    "gcloud with a database and secrets": {
        "invokerIamDisabled": True,
        "scaling": {"minInstanceCount": 1, "maxInstanceCount": 1},
        "template": {
            "containers": [{
                "image": "x", "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpuIdle": False,
                                            "startupCpuBoost": True},
                "env": [{"name": "B", "value": "1"}, {"name": "A"},
                        {"name": "S", "valueSource": {"secretKeyRef": {"secret": "s", "version": "latest"}}},
                        {"name": "T", "valueSource": {"secretKeyRef": {
                            "secret": "projects/acme-prod/secrets/t", "version": "2"}}}],
                "volumeMounts": [{"name": "sql", "mountPath": "/cloudsql"}, {"name": "s-1", "mountPath": "/secrets"}],
            }],
            "volumes": [{"name": "sql", "cloudSqlInstance": {"instances": ["acme-prod:europe-west1:main"]}},
                        {"name": "s-1", "secret": {"secret": "s", "items": [{"path": "f.json", "version": "latest"}]}}],
            "serviceAccount": "svc@acme-prod.iam.gserviceaccount.com",
            "timeout": "60s",
        },
    },
    "two containers that see other secrets at the same place": {
        "template": {
            "containers": [
                {"name": "app", "image": "x", "ports": [{"containerPort": 8080}], "resources": {"cpuIdle": True},
                 "volumeMounts": [{"name": "one", "mountPath": "/secrets"}]},
                {"name": "side", "image": "x", "resources": {"cpuIdle": True},
                 "volumeMounts": [{"name": "two", "mountPath": "/secrets"}]},
            ],
            "volumes": [
                {"name": "one", "secret": {"secret": "a", "items": [{"path": "f", "version": "1"}]}},
                {"name": "two", "secret": {"secret": "b", "items": [{"path": "f", "version": "1"}]}},
            ],
        },
    },
    "a sidecar that listens where an app does, with the probe that an app has by default": {
        "template": {
            "containers": [
                {"name": "app", "image": "x", "ports": [{"containerPort": 8081}], "resources": {"cpuIdle": True},
                 "dependsOn": ["auth"]},
                {"name": "auth", "image": "x", "resources": {"cpuIdle": True},
                 "startupProbe": {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1,
                                  "tcpSocket": {"port": 8080}},
                 "livenessProbe": {"httpGet": {"path": "/", "port": 8080}}},
            ],
        },
    },
    "a page beside a model that has the GPU": {
        "template": {
            "containers": [
                {"name": "web", "image": "x", "ports": [{"containerPort": 8080}], "dependsOn": ["model"],
                 "resources": {"limits": {"cpu": "2", "memory": "4Gi"}, "cpuIdle": False, "startupCpuBoost": True}},
                {"name": "model", "image": "x", "startupProbe": {"tcpSocket": {"port": 11434}},
                 "resources": {"limits": {"cpu": "6", "memory": "16Gi", "nvidia.com/gpu": "1"}, "cpuIdle": False}},
            ],
            "nodeSelector": {"accelerator": "nvidia-l4"},
            "gpuZonalRedundancyDisabled": True,
        },
    },
    "volumes with slashes at their ends, and what is so by default": {
        "template": {
            "containers": [{
                "image": "x", "resources": {"cpuIdle": True},
                "volumeMounts": [{"name": "share", "mountPath": "/mnt/share/"}, {"name": "tmp", "mountPath": "/tmp/x"},
                                 {"name": "conf", "mountPath": "/etc/nginx/conf.d/"}],
            }],
            "volumes": [{"name": "share", "nfs": {"server": "10.0.0.2", "path": "/"}}, {"name": "tmp", "emptyDir": {}},
                        {"name": "conf", "secret": {"secret": "conf", "items": [{"path": "a.conf", "version": "1"}]}}],
        },
    },
    "labels of the service alone, and a slow start": {
        "labels": {"team": "web"},
        "description": "text",
        "template": {
            "containers": [{
                "image": "x", "ports": [{"containerPort": 8000}], "resources": {},
                "startupProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 15, "failureThreshold": 40},
                "livenessProbe": {"httpGet": {"path": "/"}},
            }],
            "sessionAffinity": True,
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_other_tools_have_sent_is_sent_again(body: Body) -> None:
    said = heard(body, WHERE)
    assert said.left == {}
    again = sent(said.settings)
    assert compare(same(body), same(again)) == compare(same(again), same(body)) == ()


LEFT: list[tuple[Body, Body, str]] = [
    ({"serviceMesh": {"mesh": "m"}}, {}, "template.serviceMesh.mesh"),
    ({"healthCheckDisabled": True}, {}, "template.healthCheckDisabled"),
    ({"encryptionKeyShutdownDuration": "3600s"}, {}, "template.encryptionKeyShutdownDuration"),
    ({"labels": {"Team": "x"}}, {}, "template.labels[Team]"),
    ({"annotations": {"not a key": "x"}}, {}, "template.annotations[not a key]"),
    ({"vpcAccess": {"networkInterfaces": [{"tags": ["x"]}]}}, {}, "template.vpcAccess"),
    ({}, {"baseImageUri": "x"}, "template.containers[0].baseImageUri"),
    ({}, {"env": [{"name": "9", "value": "x"}]}, "template.containers[0].env[9]"),
    ({}, {"env": [{"name": "A", "valueSource": {"secretKeyRef": {"secret": "a", "version": "stable"}}}]},
     "template.containers[0].env[A]"),
    ({}, {"resources": {"limits": {"memory": "1001k"}}}, "template.containers[0].resources.limits.memory"),
    ({"volumes": [{"name": "v", "emptyDir": {"medium": "DISK"}}]}, {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
     "template.containers[0].volumeMounts[/v]"),
    ({"volumes": [{"name": "v", "secret": {"secret": "s", "defaultMode": 256}}]},
     {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, "template.containers[0].volumeMounts[/v]"),
    ({"volumes": [{"name": "v", "emptyDir": {}}]}, {"volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}]},
     "template.containers[0].volumeMounts[/v]"),
    ({"volumes": [{"name": "v", "gcs": {"bucket": "shop-data"}}]},
     {"volumeMounts": [{"name": "v", "mountPath": "/in"}, {"name": "v", "mountPath": "/out"}]},
     "template.containers[0].volumeMounts[/out]"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "container", "path"), LEFT, ids=[case[2] for case in LEFT])
def test_what_slipway_yaml_cannot_say_is_told(template: Body, container: Body, path: str) -> None:
    said = heard({"template": {"containers": [{"image": "x", **container}], **template}}, WHERE)
    assert path in said.left
    sent(said.settings)  # the rest is said, and accepted


@pytest.mark.parametrize("whole", [{"multiRegionSettings": {"regions": ["a"]}}, {"buildConfig": {"name": "x"}}])
def test_what_it_cannot_say_of_the_service_is_told(whole: Body) -> None:
    assert heard({**whole, "template": {"containers": [{"image": "x"}]}}, WHERE).left


def test_what_cloud_run_and_its_clients_write_is_no_setting() -> None:
    body = {
        "name": f"{OTHERS}/services/web",
        "client": "gcloud",
        "launchStage": "GA",
        "etag": "x",
        "labels": {"cloud.googleapis.com/location": "europe-west1", "goog-terraform-provisioned": "true"},
        "template": {
            "revision": "web-00001-abc",
            "labels": {"client.knative.dev/nonce": "x", "managed-by": "slipway", "slipway-app": "shop"},
            "annotations": {"run.googleapis.com/client-name": "gcloud", "slipway-says": "[]"},
            "serviceAccount": "123-compute@developer.gserviceaccount.com",
            "containers": [{
                "image": "x", "ports": [{"name": "http1", "containerPort": 8080}],
                "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}, "cpuIdle": True, "startupCpuBoost": True},
                "startupProbe": {"timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1,
                                 "tcpSocket": {"port": 8080}},
            }],
        },
    }  # fmt: skip
    said = heard(body, WHERE)
    assert (said.settings, said.left) == ({}, {})


def test_secrets_that_float_are_told() -> None:
    assert heard(BODIES["gcloud with a database and secrets"], WHERE).floating == ("s",)


def test_a_secret_of_a_project_that_only_its_number_names_stays_that_projects() -> None:
    theirs = "projects/42/secrets/key"
    env = [{"name": "A", "valueSource": {"secretKeyRef": {"secret": theirs, "version": "7"}}}]
    mount = [{"name": "v", "mountPath": "/v"}]
    volumes = [{"name": "v", "secret": {"secret": theirs}}]
    containers = [{"image": "x", "env": env, "volumeMounts": mount}]
    said = heard({"template": {"containers": containers, "volumes": volumes}}, WHERE)
    assert said.settings["secrets"] == {"A": f"{theirs}:7", "/v/key": theirs}


def test_the_name_that_cloud_run_gives_a_container_is_nobodys_setting() -> None:
    assert "container" not in heard({"template": {"containers": [{"name": "web-1", "image": "x"}]}}, WHERE).settings
    sidecar = {"name": "proxy", "image": "x", "dependsOn": ["web-1"]}
    two = [{"name": "web-1", "image": "x", "ports": [{"containerPort": 8080}]}, sidecar]
    assert heard({"template": {"containers": two}}, WHERE).settings["container"] == "web-1"


def test_a_label_that_begins_as_one_of_the_systems_is_the_users() -> None:
    labels = {"managed-by-team": "web", "managed-by": "them"}
    said = heard({"labels": labels, "template": {"containers": [{"image": "x"}]}}, WHERE)
    assert said.settings["service_labels"] == {"managed-by-team": "web"}
