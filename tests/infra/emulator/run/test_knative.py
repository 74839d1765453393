"""The Knative doors of the local Cloud Run: one state with API v2, and no answer that the real API could not give."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google.protobuf import json_format

from infra.emulator.run.knative import incoming, outgoing, selectors
from infra.emulator.run.state import RevisionPb, ServicePb
from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_run import APP, HELLO, REGION, Run, answer, new_name, short

REGIONAL = f"https://{REGION}-run.googleapis.com/apis/serving.knative.dev/v1/namespaces/{PROJECT}"
GLOBAL = f"https://run.googleapis.com/v1/projects/{PROJECT}/locations"
V2 = f"https://run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}"


@pytest.fixture
def v1(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[httpx.Client]:
    """A client that holds every answer against Google's discovery documents."""
    token = (cloud.data / "gcloud-token").read_text()
    with Checked(headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        yield client


def body(name: str, **template: Any) -> dict[str, Any]:
    """A Service as gcloud writes it."""
    container = {"image": HELLO, "name": "", "command": ["python3", "-c", APP]} | template.pop("container", {})
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": PROJECT,
            "annotations": {
                "run.googleapis.com/client-name": "gcloud",
                "run.googleapis.com/client-version": "528.0.0",
            },
        },
        "spec": {
            "template": {"metadata": template.pop("metadata", {}), "spec": {"containers": [container]} | template}
        },
    }


def is_ready(client: httpx.Client, name: str) -> dict[str, Any]:
    """Waits until the service's change is over and answers the service; fails the test if it did not succeed."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        service = client.get(f"{REGIONAL}/services/{name}").raise_for_status().json()
        ready = service["status"]["conditions"][0]
        settled = service["status"].get("observedGeneration") == service["metadata"]["generation"]
        if settled and ready["status"] != "Unknown":
            assert (ready["type"], ready["status"]) == ("Ready", "True"), ready
            return dict(service)
        time.sleep(0.05)
    raise AssertionError(f"{name} did not settle")


def test_a_service_made_by_v1_is_the_one_that_v2_shows(v1: httpx.Client) -> None:
    name = new_name("kn")
    created = v1.post(f"{REGIONAL}/services", json=body(name)).raise_for_status().json()
    assert [c["status"] for c in created["status"]["conditions"]] == ["Unknown"] * 3
    service = is_ready(v1, name)
    shown = Run().get(name)
    assert (service["metadata"]["uid"], service["status"]["url"]) == (shown.uid, shown.uri)
    assert service["status"]["latestReadyRevisionName"] == short(shown.latest_ready_revision)
    assert (shown.client, shown.client_version) == ("gcloud", "528.0.0")
    assert v1.get(f"{V2}/services/{name}").raise_for_status().json()["uid"] == shown.uid


def test_a_service_made_by_v2_is_the_one_that_v1_shows(v1: httpx.Client) -> None:
    made = Run().create(new_name("kn"), labels={"team": "red"}, description="A shop")
    service = is_ready(v1, short(made.name))
    assert service["metadata"]["labels"] == {"team": "red", "cloud.googleapis.com/location": REGION}
    assert service["metadata"]["annotations"]["run.googleapis.com/description"] == "A shop"
    assert service["metadata"]["annotations"]["run.googleapis.com/ingress"] == "all"
    assert service["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert service["status"]["traffic"][0]["revisionName"] == short(made.latest_ready_revision)


def test_a_service_put_back_as_it_was_read_makes_no_revision(v1: httpx.Client) -> None:
    made = Run().create(new_name("kn"))
    service = is_ready(v1, short(made.name))
    v1.put(f"{REGIONAL}/services/{short(made.name)}", json=service).raise_for_status()
    again = is_ready(v1, short(made.name))
    assert again["metadata"]["generation"] == 1
    assert again["status"]["latestCreatedRevisionName"] == service["status"]["latestCreatedRevisionName"]


def test_a_stale_resource_version_is_a_conflict(v1: httpx.Client) -> None:
    made = Run().create(new_name("kn"))
    service = is_ready(v1, short(made.name))
    service["metadata"]["labels"]["a"] = "b"
    v1.put(f"{REGIONAL}/services/{short(made.name)}", json=service).raise_for_status()
    refused = v1.put(f"{REGIONAL}/services/{short(made.name)}", json=service)
    assert (refused.status_code, refused.json()["error"]["status"]) == (409, "ABORTED")
    assert f"Conflict for resource '{short(made.name)}': version" in refused.json()["error"]["message"]


def test_traffic_is_split_and_tagged_over_v1(v1: httpx.Client) -> None:
    name = new_name("kn")
    v1.post(f"{REGIONAL}/services", json=body(name, metadata={"name": f"{name}-a"})).raise_for_status()
    service = is_ready(v1, name)
    service["spec"]["template"]["metadata"]["name"] = f"{name}-b"
    service["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "B", "value": "1"}]
    service["spec"]["traffic"] = [
        {"revisionName": f"{name}-a", "percent": 100},
        {"revisionName": f"{name}-b", "tag": "b"},
    ]
    v1.put(f"{REGIONAL}/services/{name}", json=service).raise_for_status()
    Run().open_to("allUsers", f"projects/{PROJECT}/locations/{REGION}/services/{name}")
    traffic = is_ready(v1, name)["status"]["traffic"]
    assert traffic[0] == {"revisionName": f"{name}-a", "percent": 100}
    assert answer(traffic[1]["url"])["revision"] == f"{name}-b"


def test_revisions_are_listed_by_label_newest_first(v1: httpx.Client) -> None:
    run = Run()
    service = run.create(new_name("kn"))
    service.template.labels = {"a": "b"}
    run.update(service)
    selector = {"labelSelector": f"serving.knative.dev/service = {short(service.name)}"}
    found = v1.get(f"{REGIONAL}/revisions", params=selector).raise_for_status().json()
    assert [item["metadata"]["name"][-9:-4] for item in found["items"]] == ["00002", "00001"]
    newest = found["items"][0]
    assert newest["status"]["imageDigest"].startswith(f"{HELLO}@sha256:")
    assert {c["type"]: c["status"] for c in newest["status"]["conditions"]}["Ready"] == "True"
    one = v1.get(f"{REGIONAL}/revisions/{newest['metadata']['name']}").raise_for_status().json()
    assert one == newest
    refused = v1.delete(f"{REGIONAL}/revisions/{newest['metadata']['name']}")
    assert refused.json()["error"]["status"] == "FAILED_PRECONDITION"
    v1.delete(f"{REGIONAL}/revisions/{found['items'][1]['metadata']['name']}").raise_for_status()


def test_lists_of_all_regions_and_of_other_kinds_conform(v1: httpx.Client) -> None:
    made = Run().create(new_name("kn"))
    everywhere = v1.get(f"{GLOBAL}/-/services").raise_for_status().json()
    assert short(made.name) in {item["metadata"]["name"] for item in everywhere["items"]}
    for path in ("routes", "configurations", f"routes/{short(made.name)}", f"configurations/{short(made.name)}"):
        assert v1.get(f"{REGIONAL}/{path}").raise_for_status().json()
    jobs = f"https://{REGION}-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/{EMPTY_PROJECT}/jobs"
    assert v1.get(jobs).raise_for_status().json()["items"] == []
    regions = v1.get(f"https://run.googleapis.com/v1/projects/{PROJECT}/locations").raise_for_status().json()
    assert REGION in {location["locationId"] for location in regions["locations"]}


def test_pages_of_services_go_on_where_they_ended(v1: httpx.Client) -> None:
    for _ in range(2):
        Run().create(new_name("kn"))
    first = v1.get(f"{REGIONAL}/services", params={"limit": 1}).json()
    second = v1.get(f"{REGIONAL}/services", params={"limit": 1, "continue": first["metadata"]["continue"]}).json()
    assert first["items"][0]["metadata"]["name"] != second["items"][0]["metadata"]["name"]


def test_a_deleted_service_is_not_found_once_it_is_gone(v1: httpx.Client) -> None:
    name = short(Run().create(new_name("kn")).name)
    deleted = v1.delete(f"{REGIONAL}/services/{name}").raise_for_status().json()
    assert (deleted["status"], deleted["details"]["name"]) == ("Success", name)
    deadline = time.monotonic() + 20
    while (response := v1.get(f"{REGIONAL}/services/{name}")).status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert response.json()["error"]["message"] == (
        f"Resource '{name}' of kind 'SERVICE' in region '{REGION}' in project '{PROJECT}' does not exist."
    )


def test_a_dry_run_answers_and_changes_nothing(v1: httpx.Client) -> None:
    name = new_name("kn")
    response = v1.post(f"{REGIONAL}/services", params={"dryRun": "all"}, json=body(name)).raise_for_status()
    assert response.json()["metadata"]["name"] == name
    assert v1.get(f"{REGIONAL}/services/{name}").status_code == 404


def test_the_whole_life_of_a_service_over_rest_conforms_to_v2(v1: httpx.Client) -> None:
    name = new_name("rest")
    service = {"template": {"containers": [{"image": HELLO, "command": ["python3", "-c", APP]}]}}
    operation = v1.post(f"{V2}/services", params={"serviceId": name}, json=service).raise_for_status().json()
    finish(v1, operation)
    shown = v1.get(f"{V2}/services/{name}").raise_for_status().json()
    patched = shown | {"labels": {"a": "b"}}
    finish(
        v1, v1.patch(f"{V2}/services/{name}", params={"updateMask": "labels"}, json=patched).raise_for_status().json()
    )
    assert v1.get(f"{V2}/services").raise_for_status().json()["services"]
    revisions = v1.get(f"{V2}/services/{name}/revisions").raise_for_status().json()["revisions"]
    assert v1.get(f"https://run.googleapis.com/v2/{revisions[0]['name']}").raise_for_status().json()
    policy = v1.get(f"{V2}/services/{name}:getIamPolicy").raise_for_status().json()
    assert policy == {"etag": "ACAB"}
    granted = {"policy": policy | {"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]}}
    assert v1.post(f"{GLOBAL}/{REGION}/services/{name}:setIamPolicy", json=granted).raise_for_status().json()["etag"]
    permissions = {"permissions": ["run.services.get", "run.services.setIamPolicy"]}
    tested = v1.post(f"{V2}/services/{name}:testIamPermissions", json=permissions).raise_for_status().json()
    assert tested == permissions
    finish(v1, v1.delete(f"{V2}/services/{name}").raise_for_status().json())


def finish(client: httpx.Client, operation: dict[str, Any]) -> None:
    deadline = time.monotonic() + 30
    while not operation.get("done"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
        operation = client.get(f"https://run.googleapis.com/v2/{operation['name']}").raise_for_status().json()
    assert "error" not in operation


RICH = {
    "labels": {"team": "red"},
    "annotations": {"mine/own": "x"},
    "description": "All of it",
    "ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "launchStage": "BETA",
    "client": "c",
    "clientVersion": "1",
    "customAudiences": ["https://a.example"],
    "invokerIamDisabled": True,
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 9, "scalingMode": "MANUAL", "manualInstanceCount": 2},
    "binaryAuthorization": {"useDefault": True, "breakglassJustification": "fire"},
    "template": {
        "revision": "svc-1",
        "labels": {"client.knative.dev/nonce": "abc"},
        "annotations": {"mine/too": "y"},
        "scaling": {"minInstanceCount": 1, "maxInstanceCount": 5},
        "vpcAccess": {
            "egress": "PRIVATE_RANGES_ONLY",
            "networkInterfaces": [{"network": "default", "subnetwork": "sub", "tags": ["t"]}],
        },
        "timeout": "60s",
        "serviceAccount": "sa@p.iam.gserviceaccount.com",
        "maxInstanceRequestConcurrency": 10,
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "encryptionKey": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "encryptionKeyRevocationAction": "SHUTDOWN",
        "encryptionKeyShutdownDuration": "7200s",
        "sessionAffinity": True,
        "healthCheckDisabled": True,
        "nodeSelector": {"accelerator": "nvidia-l4"},
        "containers": [
            {
                "name": "app",
                "image": "gcr.io/p/app",
                "command": ["run"],
                "args": ["--fast"],
                "workingDir": "/srv",
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "S", "valueSource": {"secretKeyRef": {"secret": "key", "version": "2"}}},
                ],
                "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "startupCpuBoost": True},
                "ports": [{"name": "h2c", "containerPort": 9000}],
                "volumeMounts": [
                    {"name": "files", "mountPath": "/files"},
                    {"name": "cloudsql", "mountPath": "/cloudsql"},
                ],
                "startupProbe": {"periodSeconds": 3, "httpGet": {"path": "/up", "port": 9000}},
                "livenessProbe": {"grpc": {"port": 9000, "service": "health"}},
                "dependsOn": ["side"],
            },
            {"name": "side", "image": "gcr.io/p/side", "resources": {"limits": {"cpu": "1"}, "cpuIdle": True}},
        ],
        "volumes": [
            {"name": "files", "secret": {"secret": "tls", "items": [{"path": "key", "version": "1", "mode": 256}]}},
            {"name": "scratch", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
            {"name": "bucket", "gcs": {"bucket": "b", "readOnly": True, "mountOptions": ["o1", "o2"]}},
            {"name": "share", "nfs": {"server": "10.0.0.1", "path": "/x"}},
            {"name": "cloudsql", "cloudSqlInstance": {"instances": ["p:r:i"]}},
        ],
    },
    "traffic": [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 90, "tag": "now"},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": "svc-0", "percent": 10},
    ],
}


def test_nothing_is_lost_between_the_two_versions_of_the_api() -> None:
    service = json_format.ParseDict(
        RICH | {"name": "projects/p/locations/r/services/svc", "createTime": "2026-01-01T00:00:00Z"}, ServicePb()
    )
    back = incoming.service(outgoing.service(service, 42))
    assert json_format.MessageToDict(back) == RICH


def test_a_revision_shows_the_configuration_of_its_template() -> None:
    template = dict(RICH["template"])  # type: ignore[call-overload]
    for field in ("revision", "healthCheckDisabled"):
        template.pop(field)
    revision = json_format.ParseDict(
        template | {"name": "projects/p/locations/r/services/svc/revisions/svc-1"}, RevisionPb()
    )
    service = json_format.ParseDict(RICH | {"name": "projects/p/locations/r/services/svc"}, ServicePb())
    assert outgoing.revision(revision, "", 42)["spec"] == outgoing.service(service, 42)["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        ("", True),
        ("a=b", True),
        ("a = b, c != x", True),
        ("a==x", False),
        ("a in (x, b)", True),
        ("a notin (x, b), c=d", False),
        ("a", True),
        ("!a", False),
        ("missing != x", True),
    ],
)
def test_label_selectors(selector: str, chosen: bool) -> None:
    assert selectors.matches(selector, {"a": "b", "c": "d"}) is chosen
