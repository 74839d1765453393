"""Cloud Run API v2 on the local cloud: services, revisions and traffic, over the official clients."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.conftest import LocalCloud
from tests.infra.emulated_run import (
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


def two_revisions(run: Run) -> tuple[run_v2.Service, str, str]:
    """A service with a revision at 100 % and a newer one, dark, with the tag `next`."""
    name = new_name()
    old, new = f"{name}-v1", f"{name}-v2"
    service = run.create(name, template(revision=old, env={"VERSION": "1"}))
    service.template = template(revision=new, env={"VERSION": "2"})
    service.traffic = [to(old, 100), to(new, tag="next")]
    return run.update(service), old, new


def test_a_dark_revision_answers_at_its_tag_only(run: Run) -> None:
    service, old, new = two_revisions(run)
    statuses = {(s.revision, s.percent, s.tag): s.uri for s in service.traffic_statuses}
    tag_uri = statuses[(new, 0, "next")]
    assert statuses[(old, 100, "")] == "" and tag_uri.startswith("http://127.0.0.1:")
    assert {answer(service.uri)["revision"] for _ in range(5)} == {old}
    assert answer(tag_uri)["revision"] == new


def test_requests_are_split_by_percent(run: Run) -> None:
    service, old, new = two_revisions(run)
    service.traffic = [to(old, 75), to(new, 25)]
    service = run.update(service, "traffic")
    seen = [answer(service.uri)["revision"] for _ in range(100)]
    assert (seen.count(old), seen.count(new)) == (75, 25)


def test_latest_traffic_follows_the_latest_ready_revision(run: Run) -> None:
    service, _, new = two_revisions(run)
    service.traffic = [latest()]
    service = run.update(service, "traffic")
    assert answer(service.uri)["revision"] == new
    service.template = template(env={"VERSION": "3"})
    service = run.update(service)
    assert answer(service.uri)["revision"] == short(service.latest_ready_revision) != new


def test_a_tag_that_is_taken_away_no_longer_answers(run: Run) -> None:
    service, old, new = two_revisions(run)
    tag_uri = next(s.uri for s in service.traffic_statuses if s.tag)
    service.traffic = [to(old, 100)]
    run.update(service, "traffic")
    with pytest.raises(Exception, match=r"refused"):
        fetch(tag_uri)
    assert new in {short(r.name) for r in run.revisions.list_revisions(parent=service.name)}


def test_traffic_to_a_revision_that_does_not_exist_fails_and_moves_nothing(run: Run) -> None:
    service, old, _ = two_revisions(run)
    service.traffic = [to(f"{short(service.name)}-gone", 100)]
    error = run.failure(run.start_update(service, "traffic"))
    assert error.code == 500 or error.grpc_status_code
    assert error.message == (
        f"Revision '{short(service.name)}-gone' does not exist or is deleted. Update all traffic to route to "
        "currently available revisions."
    )
    now = run.get(short(service.name))
    assert now.terminal_condition.state == State.CONDITION_FAILED
    assert answer(now.uri)["revision"] == old


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ([to("x-1", 50)], "must sum to 100"),
        ([to("x-1", 100, "t"), to("x-2", 0, "t")], "tags must be unique"),
        ([latest(50), latest(50)], "once only"),
        ([to("x-1", 100, "Bad")], "Traffic tag 'Bad'"),
        ([to("", 100)], "must name a revision"),
    ],
    ids=["sum", "tags", "latest twice", "tag form", "no revision"],
)
def test_impossible_traffic_is_refused(run: Run, traffic: list[run_v2.TrafficTarget], words: str) -> None:
    service = run.create(new_name())
    service.traffic = traffic
    with pytest.raises(exceptions.InvalidArgument, match=words):
        run.start_update(service, "traffic")


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
    code = "import http.server as h; h.HTTPServer(('127.0.0.1', 0), h.BaseHTTPRequestHandler).serve_forever()"
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


def test_a_revision_that_serves_cannot_be_deleted(run: Run) -> None:
    service, old, new = two_revisions(run)
    for revision in (old, new):
        with pytest.raises(exceptions.FailedPrecondition, match="because it is actively serving"):
            run.revisions.delete_revision(name=f"{service.name}/revisions/{revision}")


def test_a_retired_revision_can_be_deleted(run: Run) -> None:
    service, old, new = two_revisions(run)
    service.traffic = [to(new, 100)]
    run.update(service, "traffic")
    name = f"{service.name}/revisions/{old}"
    assert run.revisions.delete_revision(name=name).result(polling=QUICK).name == name
    with pytest.raises(exceptions.NotFound, match="of kind 'REVISION'"):
        run.revisions.get_revision(name=name)


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
