"""The real gcloud over the local Cloud Run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import APP, HELLO, PARENT, REGION, Run, answer, fetch, latest, new_name, short

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
Gcloud = Callable[..., Any]


@pytest.fixture
def gcloud(cloud: LocalCloud) -> Gcloud:
    """Runs `gcloud run …` in the region and answers its JSON; with fails=True it must fail, and answers its words."""

    def call(*arguments: str, fails: bool = False, region: bool = True) -> Any:
        place = ("--region", REGION) if region else ()
        done = subprocess.run(
            ["gcloud", "run", *arguments, *place, "--quiet", "--format", "json"],
            env=cloud.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return call


@pytest.fixture
def service(cloud_env: dict[str, str]) -> str:
    """A public service that runs the test's own app."""
    return short(Run().create(new_name("gc")).name)


def test_deploy_makes_a_public_service(gcloud: Gcloud) -> None:
    name = new_name("gc")
    deployed = gcloud("deploy", name, "--image", HELLO, "--allow-unauthenticated")
    assert fetch(deployed["status"]["url"]).status_code == 200
    assert name in {item["metadata"]["name"] for item in gcloud("services", "list")}
    assert name in {item["metadata"]["name"] for item in gcloud("services", "list", region=False)}


def test_deploy_with_a_tag_names_the_first_revision_too(gcloud: Gcloud) -> None:
    deployed = gcloud("deploy", new_name("gc"), "--image", HELLO, "--tag", "first", "--allow-unauthenticated")
    tagged = next(target for target in deployed["status"]["traffic"] if target.get("tag"))
    assert fetch(tagged["url"]).status_code == 200


def test_deploy_dark_then_move_traffic(gcloud: Gcloud, service: str) -> None:
    options = ("--revision-suffix", "v2", "--set-env-vars", "COLOUR=blue", "--memory", "1Gi", "--min-instances", "1")
    dark = gcloud("deploy", service, "--image", HELLO, "--no-traffic", "--tag", "next", *options)
    tagged = next(target for target in dark["status"]["traffic"] if target.get("tag") == "next")
    assert answer(tagged["url"])["env"]["COLOUR"] == "blue"
    assert answer(dark["status"]["url"])["revision"] != f"{service}-v2"
    moved = gcloud("services", "update-traffic", service, "--to-tags", "next=100")
    assert [(t["displayRevisionId"], t["displayPercent"]) for t in moved if t["displayPercent"]] == [
        (f"{service}-v2", "100%")
    ]
    assert answer(dark["status"]["url"])["revision"] == f"{service}-v2"
    gcloud("services", "update-traffic", service, "--to-latest")
    assert latest(100) in Run().get(service).traffic


def test_update_changes_what_it_is_told_and_nothing_else(gcloud: Gcloud, service: str) -> None:
    flags = (
        "--concurrency=10", "--timeout=30", "--max-instances=5", "--min=2", "--update-labels=team=red", "--cpu=2",
        "--no-cpu-throttling", "--session-affinity", "--execution-environment=gen2", "--ingress=all", "--cpu-boost",
        "--update-env-vars=A=b", "--update-annotations=mine/own=x", "--startup-probe=httpGet.path=/up,periodSeconds=2",
    )  # fmt: skip
    before = Run().get(service)
    gcloud("services", "update", service, *flags)
    after: Any = Run().get(service)
    container = after.template.containers[0]
    assert (after.template.max_instance_request_concurrency, after.template.timeout.total_seconds()) == (10, 30)
    assert (after.template.scaling.max_instance_count, after.scaling.min_instance_count) == (5, 2)
    assert (after.labels["team"], after.template.labels["team"]) == ("red", "red")
    assert (container.resources.limits["cpu"], container.resources.cpu_idle) == ("2", False)
    assert container.resources.startup_cpu_boost and after.template.session_affinity
    assert container.startup_probe.http_get.path == "/up"
    assert container.command == before.template.containers[0].command == ["python3", "-c", APP]
    assert answer(after.uri)["env"]["A"] == "b"


def test_describe_shows_what_v2_shows(gcloud: Gcloud, service: str) -> None:
    described, shown = gcloud("services", "describe", service), Run().get(service)
    assert described["status"]["url"] == shown.uri
    assert described["metadata"]["uid"] == shown.uid


def test_revisions_are_listed_described_and_deleted(gcloud: Gcloud, service: str) -> None:
    gcloud("services", "update", service, "--update-env-vars", "A=b")
    newest, oldest = gcloud("revisions", "list", "--service", service)
    assert gcloud("revisions", "describe", newest["metadata"]["name"])["metadata"]["uid"] == newest["metadata"]["uid"]
    assert "actively serving" in gcloud("revisions", "delete", newest["metadata"]["name"], fails=True)
    gcloud("revisions", "delete", oldest["metadata"]["name"])
    left = Run().revisions.list_revisions(parent=f"{PARENT}/services/{service}")
    assert [short(revision.name) for revision in left] == [newest["metadata"]["name"]]


def test_a_bad_image_fails_with_runs_own_words(gcloud: Gcloud, service: str) -> None:
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/none/app:v1"
    said = gcloud("services", "update", service, "--image", image, fails=True)
    assert f"is not ready and cannot serve traffic. Image '{image}' not found." in said


def test_traffic_to_nowhere_fails(gcloud: Gcloud, service: str) -> None:
    said = gcloud("services", "update-traffic", service, "--to-revisions", f"{service}-gone=100", fails=True)
    assert f"Revision '{service}-gone' does not exist or is deleted." in said


def test_iam_policies_are_read_and_changed(gcloud: Gcloud, service: str) -> None:
    binding = ("--member", "user:a@example.com", "--role", "roles/run.invoker")
    added = gcloud("services", "add-iam-policy-binding", service, *binding)
    assert "user:a@example.com" in added["bindings"][0]["members"]
    gcloud("services", "remove-iam-policy-binding", service, *binding)
    policy = gcloud("services", "get-iam-policy", service)
    assert policy["bindings"] == [{"role": "roles/run.invoker", "members": ["allUsers"]}]


def test_logs_are_read(gcloud: Gcloud, service: str, cloud: LocalCloud) -> None:
    answer(Run().get(service).uri, "/log/hello-from-inside")
    command = ["gcloud", "run", "services", "logs", "read", service, "--region", REGION]
    done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=60)
    assert "hello-from-inside" in done.stdout


def test_a_service_is_replaced_from_its_own_export(
    gcloud: Gcloud, service: str, cloud: LocalCloud, tmp_path: Path
) -> None:
    file = tmp_path / "service.yaml"
    command = ["gcloud", "run", "services", "describe", service, "--region", REGION, "--format", "export"]
    file.write_text(subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=60).stdout)
    before = Run().get(service)
    gcloud("services", "replace", str(file))
    assert Run().get(service).latest_created_revision == before.latest_created_revision


def test_a_service_is_deleted(gcloud: Gcloud, service: str) -> None:
    gcloud("services", "delete", service)
    assert "Cannot find service" in gcloud("services", "describe", service, fails=True)


def test_lists_of_what_is_not_there_are_empty(gcloud: Gcloud) -> None:
    assert gcloud("jobs", "list", "--region", REGION, "--project", EMPTY_PROJECT, region=False) == []
    assert REGION in {item["locationId"] for item in gcloud("regions", "list", region=False)}
