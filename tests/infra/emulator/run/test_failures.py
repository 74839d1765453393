"""Revisions that do not come up on the local Cloud Run, in the words and states of the real one."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.cloud import artifactregistry_v1 as ar
from google.cloud import resourcemanager_v3, run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OciClient, image_name, new_repository
from tests.infra.emulator.emulated_run import PARENT, Own, Run, answer, new_name, short, template, to

State = run_v2.Condition.State
RevisionReason = run_v2.Condition.RevisionReason
CommonReason = run_v2.Condition.CommonReason


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def test_an_image_that_is_not_there_fails_the_first_deployment(run: Run) -> None:
    name, image = new_name(), "europe-west1-docker.pkg.dev/acme-test/shop/none:v1"
    made = run_v2.RevisionTemplate(revision=f"{name}-v1", containers=[run_v2.Container(image=image)])
    operation = run.services.create_service(parent=PARENT, service=run_v2.Service(template=made), service_id=name)
    error = run.failure(operation)
    message = f"Revision '{name}-v1' is not ready and cannot serve traffic. Image '{image}' not found."
    assert error.message == message
    service = run.get(name)
    assert (service.terminal_condition.state, service.terminal_condition.message) == (State.CONDITION_FAILED, message)
    assert service.terminal_condition.reason == CommonReason.CONTAINER_MISSING
    assert not service.uri and not service.latest_ready_revision and not service.reconciling
    assert short(service.latest_created_revision) == f"{name}-v1"
    assert [c.state for c in service.conditions] == [State.CONDITION_FAILED, State.CONDITION_SUCCEEDED]


def test_a_container_that_ends_at_start_fails_the_revision_and_live_traffic_stays(run: Run) -> None:
    service = run.create(new_name())
    before = service.latest_ready_revision
    service.template = template("import sys; print('no database', file=sys.stderr); sys.exit(3)")
    error = run.failure(run.start_update(service))
    failed = run.get(short(service.name))
    assert error.message.startswith(
        f"Revision '{short(failed.latest_created_revision)}' is not ready and cannot serve traffic. The user-provided "
        "container failed to start and listen on the port defined provided by the PORT=8080 environment variable "
        "within the allocated timeout."
    )
    assert "Logs URL: https://console.cloud.google.com/logs/viewer?project=acme-test" in error.message
    assert failed.terminal_condition.revision_reason == RevisionReason.HEALTH_CHECK_CONTAINER_ERROR
    assert failed.latest_ready_revision == before != failed.latest_created_revision
    assert answer(failed.uri)["revision"] == short(before)
    revision = run.revisions.get_revision(name=failed.latest_created_revision)
    assert revision.conditions[0].state == State.CONDITION_FAILED and not revision.reconciling


def test_traffic_can_be_pinned_back_after_a_failed_deployment(run: Run) -> None:
    service = run.create(new_name())
    before = short(service.latest_ready_revision)
    service.template = template("raise SystemExit(1)")
    run.failure(run.start_update(service))
    service = run.get(short(service.name))
    service.traffic = [to(before, 100)]
    pinned = run.update(service, "traffic")
    assert pinned.terminal_condition.state == State.CONDITION_SUCCEEDED
    assert answer(pinned.uri)["revision"] == before


@pytest.fixture
def short_start(cloud: LocalCloud) -> Any:
    """Containers have a second to listen."""
    cloud.put("/latency", {"stages": {"run.start-timeout": 1.0}})
    yield
    cloud.put("/latency", {"profile": "instant"})


def test_a_container_that_listens_elsewhere_fails_the_revision(run: Run, short_start: None) -> None:
    code = "import http.server as h; h.HTTPServer(('', 0), h.BaseHTTPRequestHandler).serve_forever()"
    operation = run.services.create_service(
        parent=PARENT, service=run_v2.Service(template=template(code)), service_id=new_name()
    )
    assert "failed to start and listen on the port" in run.failure(operation).message


def test_a_startup_probe_that_is_answered_badly_fails_the_revision(run: Run) -> None:
    probe = run_v2.Probe(period_seconds=1, failure_threshold=2, http_get=run_v2.HTTPGetAction(path="/status/500"))
    made = template(container={"startup_probe": probe})
    operation = run.services.create_service(parent=PARENT, service=run_v2.Service(template=made), service_id=new_name())
    assert "failed the configured startup probe checks." in run.failure(operation).message


def test_a_startup_probe_that_is_answered_well_lets_the_revision_serve(run: Run) -> None:
    probe = run_v2.Probe(period_seconds=1, failure_threshold=2, http_get=run_v2.HTTPGetAction(path="/healthz"))
    assert run.create(new_name(), template(container={"startup_probe": probe})).uri


@pytest.fixture
def registry(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[OciClient]:
    client = OciClient(cloud)
    yield client
    client.http.close()


def test_an_image_of_another_project_needs_cloud_runs_own_account_to_read_it(run: Run, registry: OciClient) -> None:
    """https://cloud.google.com/run/docs/deploying#other-projects"""
    repository, name, parent = new_repository(), new_name(), f"projects/{OTHER_PROJECT}/locations/europe-west1"
    image = f"{HOST}/{image_name(repository)}@{registry.push(image_name(repository), 'v1')}"
    number = resourcemanager_v3.ProjectsClient().get_project(name=f"projects/{OTHER_PROJECT}").name.rpartition("/")[2]
    agent = f"service-{number}@serverless-robot-prod.iam.gserviceaccount.com"

    def deployed(revision: str) -> str:
        made = run_v2.RevisionTemplate(revision=f"{name}-{revision}", containers=[run_v2.Container(image=image)])
        service = run_v2.Service(name=f"{parent}/services/{name}", template=made)
        operation = run.services.update_service(run_v2.UpdateServiceRequest(service=service, allow_missing=True))
        return str(run.failure(operation).message)

    refused = deployed("v1")
    assert refused.startswith(
        f"Revision '{name}-v1' is not ready and cannot serve traffic. Google Cloud Run Service Agent {agent} must have "
        f"permission to read the image, {image}."
    )
    assert f"the image is from project [{PROJECT}], which is not the same as this project [{OTHER_PROJECT}]" in refused
    found = run.services.get_service(name=f"{parent}/services/{name}")
    assert found.terminal_condition.reason == CommonReason.CONTAINER_PERMISSION_DENIED
    job = run_v2.Job(template={"template": {"containers": [run_v2.Container(image=image)]}})
    operation = run_v2.JobsClient().create_job(parent=parent, job=job, job_id=name)
    assert f"{agent} must have permission to read the image, {image}" in str(run.failure(operation).message)

    binding = policy_pb2.Binding(role="roles/artifactregistry.reader", members=[f"serviceAccount:{agent}"])
    policy = policy_pb2.Policy(bindings=[binding])
    ar.ArtifactRegistryClient().set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=repository, policy=policy))
    assert "must have permission to read the image" not in deployed("v2")  # what was pushed has nothing to start


def test_a_change_that_this_machine_has_no_means_for_fails_and_is_not_reconciling_for_ever(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    for own in Own.over(tmp_path / "cloud", cloud):
        with own.running() as process:
            run = Run()
            service = run.create("svc")
            before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (1, before[1]))
            service.traffic = [to(short(service.latest_ready_revision), 100, "tagged")]
            assert "Too many open files" in run.failure(run.start_update(service, "traffic")).message
            found = run.get("svc")
            assert (found.reconciling, found.terminal_condition.reason) == (False, CommonReason.INTERNAL)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
            service.etag = found.etag
            assert run.update(service, "traffic").traffic_statuses[0].tag == "tagged"
