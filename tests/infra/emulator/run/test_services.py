"""Cloud Run API v2 on the local cloud: services, revisions and traffic, over the official clients."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.conftest import EMPTY_PROJECT, PROJECT
from tests.infra.emulator.emulated_run import (
    HELLO,
    PARENT,
    QUICK,
    REGION,
    Run,
    answer,
    fetch,
    latest,
    new_name,
    short,
    template,
    to,
)

State = run_v2.Condition.State
RevisionReason = run_v2.Condition.RevisionReason
CommonReason = run_v2.Condition.CommonReason
HTTP = run_v2.Probe(http_get=run_v2.HTTPGetAction(path="/up"))


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def test_a_created_service_answers_at_its_uri(run: Run) -> None:
    service = run.create(new_name())
    assert answer(service.uri)["revision"] == short(service.latest_ready_revision)


def test_creation_passes_through_the_states_real_run_shows(run: Run) -> None:
    service_id = new_name()
    operation = run.services.create_service(
        parent=PARENT, service=run_v2.Service(template=template()), service_id=service_id
    )
    pending = operation.metadata
    assert pending.name == f"{PARENT}/services/{service_id}"
    assert (pending.generation, pending.observed_generation, pending.reconciling) == (1, 0, True)
    assert (pending.terminal_condition.state, pending.terminal_condition.type_) == (State.CONDITION_PENDING, "")
    assert not pending.conditions and not pending.uri and not pending.latest_created_revision
    done = operation.result(polling=QUICK)
    assert (done.observed_generation, done.reconciling) == (1, False)
    assert (done.terminal_condition.type_, done.terminal_condition.state) == ("Ready", State.CONDITION_SUCCEEDED)
    assert [c.type_ for c in done.conditions] == ["RoutesReady", "ConfigurationsReady"]
    assert done.latest_ready_revision == done.latest_created_revision
    assert [(status.type_, status.revision, status.percent) for status in done.traffic_statuses] == [
        (latest().type_, "", 100)
    ]
    assert operation.metadata == done


def test_a_patch_keeps_the_old_conditions_until_it_is_done(run: Run) -> None:
    service = run.create(new_name())
    old_revision = service.latest_ready_revision
    service.template.containers[0].env = [run_v2.EnvVar(name="COLOUR", value="blue")]
    operation = run.start_update(service)
    pending = operation.metadata
    assert (pending.generation, pending.observed_generation, pending.reconciling) == (2, 1, True)
    assert (pending.terminal_condition.type_, pending.terminal_condition.state) == ("Ready", State.CONDITION_PENDING)
    assert all(c.state == State.CONDITION_SUCCEEDED for c in pending.conditions) and len(pending.conditions) == 2
    assert pending.latest_ready_revision == pending.latest_created_revision == old_revision
    done = operation.result(polling=QUICK)
    assert done.latest_ready_revision != old_revision
    assert answer(done.uri)["env"]["COLOUR"] == "blue"


def test_defaults_are_filled_in_as_real_run_does(run: Run) -> None:
    service = run.create(new_name())
    spec = service.template
    assert dict(spec.containers[0].resources.limits) == {"memory": "512Mi", "cpu": "1000m"}
    assert spec.containers[0].resources.cpu_idle
    assert (spec.containers[0].ports[0].name, spec.containers[0].ports[0].container_port) == ("http1", 8080)
    assert spec.containers[0].startup_probe.tcp_socket.port == 8080
    assert spec.max_instance_request_concurrency == 80
    assert spec.timeout.total_seconds() == 300
    assert spec.service_account.endswith("-compute@developer.gserviceaccount.com")
    assert (service.ingress, service.launch_stage) == (run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL, 4)
    assert service.traffic == [latest()]
    assert service.etag.startswith('"') and service.etag.endswith('"')


def test_sidecars_have_the_same_limits_by_default_but_neither_port_nor_probe(run: Run) -> None:
    """As in a recorded answer, see infra/emulator/run/defaults.py."""
    made = template(
        vpc_access=run_v2.VpcAccess(connector=f"{PARENT}/connectors/main"),
        container={"ports": [run_v2.ContainerPort(container_port=9000)], "readiness_probe": HTTP},
    )
    limits = run_v2.ResourceRequirements(limits={"memory": "256Mi"})
    made.containers.append(run_v2.Container(name="proxy", image=HELLO, resources=limits, liveness_probe=HTTP))
    made.containers.append(run_v2.Container(name="other", image=HELLO))
    found = run.create(new_name(), made).template
    app, proxy, other = found.containers
    assert found.vpc_access.egress == run_v2.VpcAccess.VpcEgress.PRIVATE_RANGES_ONLY
    assert (app.readiness_probe.http_get.port, app.readiness_probe.period_seconds) == (9000, 10)
    assert dict(proxy.resources.limits) == {"memory": "256Mi", "cpu": "1000m"}
    assert (proxy.liveness_probe.period_seconds, proxy.liveness_probe.http_get.port) == (10, 0)
    assert dict(other.resources.limits) == {"memory": "512Mi", "cpu": "1000m"}
    assert (proxy.resources.cpu_idle, other.resources.cpu_idle) == (False, True)
    assert not other.ports and not other.startup_probe


def test_the_environment_of_an_instance_is_its_own(run: Run) -> None:
    service = run.create(new_name("mine"), template(env={"GREETING": "hello"}))
    seen = answer(service.uri)["env"]
    assert seen["GREETING"] == "hello"
    assert (seen["K_SERVICE"], seen["K_CONFIGURATION"]) == (short(service.name), short(service.name))
    assert seen["K_REVISION"] == short(service.latest_ready_revision)
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in seen and "VIRTUAL_ENV" not in seen
    assert seen["https_proxy"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("service_id", ["Upper", "dots.in", "-dash", "dash-", "9lives", "a" * 50, "under_score"])
def test_a_bad_service_id_is_refused(run: Run, service_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="only lowercase, digits, and hyphens"):
        run.services.create_service(parent=PARENT, service=run_v2.Service(template=template()), service_id=service_id)


BAD_SERVICES: dict[str, tuple[run_v2.Service, str]] = {
    "label value with dots": (run_v2.Service(template=template(), labels={"version": "1.2.3"}), "Label value '1.2.3'"),
    "label value with capitals": (run_v2.Service(template=template(), labels={"who": "Me"}), "Label value 'Me'"),
    "label key with capitals": (run_v2.Service(template=template(), labels={"Who": "me"}), "Label key 'Who'"),
    "reserved label": (
        run_v2.Service(template=template(), labels={"run.googleapis.com/x": "y"}),
        "namespace reserved for the system",
    ),
    "reserved annotation": (
        run_v2.Service(template=template(annotations={"autoscaling.knative.dev/minScale": "1"})),
        "namespace reserved for the system",
    ),
    "no container": (run_v2.Service(template=run_v2.RevisionTemplate()), "at least one container"),
    "foreign registry": (
        run_v2.Service(template=run_v2.RevisionTemplate(containers=[run_v2.Container(image="ghcr.io/me/app")])),
        "Expected an image path like",
    ),
    "reserved variable": (
        run_v2.Service(template=template(env={"PORT": "1"})),
        "reserved env names were provided: PORT",
    ),
    "foreign revision name": (run_v2.Service(template=template(revision="other-1")), "must be prefixed by"),
    "percents above 100": (
        run_v2.Service(template=template(), traffic=[latest(60), latest(50, "x")]),
        "must sum to 100",
    ),
    "traffic that names a revision": (
        run_v2.Service(template=template(), traffic=[to("svc-1", 100)]),
        r"Invalid value at 'service.traffic' \(type.googleapis.com/google.cloud.run.v2.TrafficTarget\), 0",
    ),
    "probe that outlasts its period": (
        run_v2.Service(
            template=template(
                container={
                    "startup_probe": run_v2.Probe(timeout_seconds=9, period_seconds=3, tcp_socket={"port": 8080})
                }
            )
        ),
        "must not be greater than period_seconds",
    ),
}


@pytest.mark.parametrize(("service", "words"), BAD_SERVICES.values(), ids=BAD_SERVICES.keys())
def test_what_run_would_refuse_is_refused(run: Run, service: run_v2.Service, words: str) -> None:
    name = new_name()
    with pytest.raises(exceptions.InvalidArgument, match=words):
        run.services.create_service(parent=PARENT, service=service, service_id=name)
    with pytest.raises(exceptions.NotFound):
        run.get(name)


def test_a_second_service_of_the_same_name_is_a_conflict(run: Run) -> None:
    name = new_name()
    run.create(name)
    with pytest.raises(exceptions.AlreadyExists, match=f"Resource '{name}' already exists"):
        run.services.create_service(parent=PARENT, service=run_v2.Service(template=template()), service_id=name)


def test_a_missing_service_is_not_found_in_runs_words(run: Run) -> None:
    with pytest.raises(exceptions.NotFound) as raised:
        run.get("nobody")
    assert raised.value.message == (
        f"Resource 'nobody' of kind 'SERVICE' in region '{REGION}' in project 'acme-test' does not exist."
    )


def test_validate_only_checks_and_changes_nothing(run: Run) -> None:
    name = new_name()
    request = run_v2.CreateServiceRequest(
        parent=PARENT, service=run_v2.Service(template=template()), service_id=name, validate_only=True
    )
    assert run.services.create_service(request).result(polling=QUICK).name.endswith(name)
    with pytest.raises(exceptions.NotFound):
        run.get(name)
    request.service.labels["Bad"] = "label"
    with pytest.raises(exceptions.InvalidArgument):
        run.services.create_service(request)


def test_allow_missing_creates_what_is_not_there(run: Run) -> None:
    name = f"{PARENT}/services/{new_name()}"
    service = run_v2.Service(name=name, template=template())
    with pytest.raises(exceptions.NotFound):
        run.start_update(service)
    assert run.update(service, allow_missing=True).generation == 1


def test_an_etag_from_before_a_change_is_aborted(run: Run) -> None:
    service = run.create(new_name())
    stale = run_v2.Service(service)
    service.labels = {"team": "red"}
    changed = run.update(service, "labels")
    assert changed.etag != stale.etag
    with pytest.raises(exceptions.Aborted, match="was specified but current version is"):
        run.start_update(stale)
    with pytest.raises(exceptions.Aborted):
        run.services.delete_service(run_v2.DeleteServiceRequest(name=service.name, etag=stale.etag))


def test_a_mask_limits_what_is_changed(run: Run) -> None:
    service = run.create(new_name(), labels={"team": "red"}, description="first")
    service.labels, service.description = {}, "second"
    changed = run.update(service, "description")
    assert (changed.description, dict(changed.labels)) == ("second", {"team": "red"})
    service.etag = ""
    assert dict(run.update(service, "labels").labels) == {}
    service.template.scaling.max_instance_count = 7
    assert run.update(service, "template.scaling.max_instance_count").template.scaling.max_instance_count == 7


def test_an_unknown_path_in_a_mask_is_refused(run: Run) -> None:
    service = run.create(new_name())
    with pytest.raises(exceptions.InvalidArgument, match="field mask"):
        run.start_update(service, "template.nonsense")


def test_a_revision_is_made_only_when_the_template_changes(run: Run) -> None:
    service = run.create(new_name())
    service.labels = {"team": "red"}
    assert run.update(service).latest_created_revision == service.latest_created_revision
    service = run.get(short(service.name))
    service.template.labels = {"team": "red"}
    assert run.update(service).latest_created_revision != service.latest_created_revision
    assert len(list(run.revisions.list_revisions(parent=service.name))) == 2


def test_generated_revision_names_count_up(run: Run) -> None:
    service = run.create(new_name())
    assert short(service.latest_ready_revision).startswith(f"{short(service.name)}-00001-")
    service.template.labels = {"a": "b"}
    assert short(run.update(service).latest_ready_revision).startswith(f"{short(service.name)}-00002-")


def test_a_revision_name_with_another_configuration_is_a_conflict(run: Run) -> None:
    name = new_name()
    service = run.create(name, template(revision=f"{name}-v1"))
    service.template = template(revision=f"{name}-v1", env={"A": "b"})
    with pytest.raises(exceptions.AlreadyExists) as raised:
        run.start_update(service)
    assert raised.value.message == f"Revision named '{name}-v1' with different configuration already exists."


def test_the_same_name_and_configuration_is_the_same_revision(run: Run) -> None:
    name = new_name()
    service = run.create(name, template(revision=f"{name}-v1"))
    service.template = template(revision=f"{name}-v1")
    again = run.update(service)
    assert again.latest_ready_revision == f"{PARENT}/services/{name}/revisions/{name}-v1"
    assert len(list(run.revisions.list_revisions(parent=service.name))) == 1


def test_a_deleted_service_is_gone_with_its_address(run: Run) -> None:
    service = run.create(new_name())
    operation = run.services.delete_service(name=service.name)
    assert operation.metadata.delete_time
    operation.result(polling=QUICK)
    with pytest.raises(exceptions.NotFound):
        run.get(short(service.name))
    with pytest.raises(Exception, match=r"refused"):
        fetch(service.uri)


def test_services_and_revisions_are_listed_in_pages(run: Run) -> None:
    parent = PARENT.replace(REGION, "us-east4")
    for name in ("pages-a", "pages-b", "pages-c"):
        service = run_v2.Service(template=template())
        run.services.create_service(parent=parent, service=service, service_id=name).result(polling=QUICK)
    pages = run.services.list_services(run_v2.ListServicesRequest(parent=parent, page_size=2)).pages
    assert [[short(s.name) for s in page.services] for page in pages] == [["pages-a", "pages-b"], ["pages-c"]]
    everywhere = run.services.list_services(parent=f"{parent.rsplit('/', 1)[0]}/-")
    assert {"pages-a", "pages-c"} <= {short(s.name) for s in everywhere}


def test_there_are_no_jobs_and_no_worker_pools(run: Run) -> None:
    nobodys = PARENT.replace(PROJECT, EMPTY_PROJECT)
    assert list(run_v2.JobsClient().list_jobs(parent=nobodys)) == []
    assert list(run_v2.WorkerPoolsClient().list_worker_pools(parent=nobodys)) == []
    with pytest.raises(exceptions.NotFound, match="Resource 'j' of kind 'JOB'"):
        run_v2.JobsClient().get_job(name=f"{PARENT}/jobs/j")


def test_changes_that_overlap_are_all_made_in_order(run: Run) -> None:
    name = new_name()
    service = run.create(name)
    operations = []
    for number in range(4):
        changed = run_v2.Service(
            name=service.name, labels={"number": str(number)}, template=template(env={"N": str(number)})
        )
        operations.append(run.start_update(changed, "labels" if number % 2 else "template"))
    for operation in operations:
        operation.result(polling=QUICK)
    now = run.get(name)
    assert (now.generation, now.observed_generation, now.reconciling) == (5, 5, False)
    assert (now.labels["number"], answer(now.uri)["env"]["N"]) == ("3", "2")
    assert [r.reconciling for r in run.revisions.list_revisions(parent=now.name)] == [False] * 3


def test_a_location_that_does_not_exist_is_refused(run: Run) -> None:
    with pytest.raises(exceptions.PermissionDenied, match="Location atlantis is not found or access is unauthorized"):
        run.services.create_service(
            parent="projects/acme-test/locations/atlantis",
            service=run_v2.Service(template=template()),
            service_id=new_name(),
        )
