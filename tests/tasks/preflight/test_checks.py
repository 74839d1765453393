"""The decisions of preflight."""

from __future__ import annotations

import pytest

from infra.gcp.artifacts.repositories import Repository
from infra.gcp.project import Project
from infra.gcp.run.services import RunService
from infra.gcp.run.templates import Template
from infra.gcp.storage.buckets import Bucket
from tasks.failures.cause import Cause
from tasks.failures.roles import ENABLE, NEEDS
from tasks.model import Gap, Missing, Problem, Readiness
from tasks.preflight import checks
from tasks.preflight.permissions import judge_permissions, needed
from tasks.preflight.preflight import failure, rows, without_echoes
from tests.tasks.builders import MANIFEST, NOW, a_request

REQUEST = a_request()
ME = "serviceAccount:me@acme.iam.gserviceaccount.com"


def test_each_disabled_api_is_a_problem_with_the_command_that_enables_it() -> None:
    found = checks.judge_apis("acme", {"run.googleapis.com", "storage.googleapis.com"}, create=False)
    assert [p.fix for p in found.problems] == [
        "gcloud services enable run.googleapis.com --project=acme",
        "gcloud services enable storage.googleapis.com --project=acme",
    ]


def test_a_disabled_api_is_a_gap_where_the_manifest_lets_us_enable_it() -> None:
    found = checks.judge_apis("acme", {"run.googleapis.com"}, create=True)
    assert not found.problems
    assert [(g.kind, g.name) for g in found.gaps] == [(Missing.API, "run.googleapis.com")]


def test_missing_permissions_are_grouped_by_the_role_that_brings_them() -> None:
    found = judge_permissions("acme", [need for need in NEEDS if need.role == "roles/run.admin"], ME)
    assert len(found.problems) == 1
    assert found.problems[0].fix == f"gcloud projects add-iam-policy-binding acme --member={ME} --role=roles/run.admin"


def test_enabling_apis_needs_a_role_of_its_own() -> None:
    assert judge_permissions("acme", [ENABLE], ME).problems[0].fix.endswith(ENABLE.role)


def test_a_project_without_billing_is_refused() -> None:
    assert checks.judge_billing("acme", enabled=False).problems[0].cause is Cause.BILLING
    assert checks.judge_billing("acme", enabled=True) == Readiness()


@pytest.mark.parametrize(
    ("found", "problems", "gaps"),
    [
        (None, 0, 1),
        (Repository("r", "DOCKER", True, {}), 0, 0),
        (Repository("r", "DOCKER", False, {}), 1, 0),
        (Repository("r", "MAVEN", True, {}), 1, 0),
    ],
    ids=["missing", "right", "mutable tags", "not docker"],
)
def test_a_repository_is_created_used_or_refused(found: Repository | None, problems: int, gaps: int) -> None:
    name = "projects/acme/locations/europe-west1/repositories/shop"
    judged = checks.judge_repository(name, found)
    assert (len(judged.problems), len(judged.gaps)) == (problems, gaps)


def test_a_bucket_of_another_project_is_refused_although_it_can_be_read() -> None:
    bucket = Bucket("acme-prod-slipway", 666, "EU", {})
    found = checks.judge_bucket(REQUEST, bucket.name, bucket, Project("acme-prod", 42))
    assert "666" in found.problems[0].problem
    assert "environments.production.bucket" in found.problems[0].fix


def test_more_services_than_a_region_has_room_for_by_default_are_told_and_stop_nothing() -> None:
    """The quota can be raised, and nobody here knows whether it was."""
    have = {f"s{n}" for n in range(checks.SERVICE_LIMIT - 1)}
    found = checks.judge_services(REQUEST, "europe-west1", have)
    assert not found.problems
    assert len(found.gaps) == 2
    assert "unless its quota of 1000 was raised" in found.notes[0]
    assert checks.judge_services(REQUEST, "europe-west1", set()).notes == ()


def test_a_failure_that_only_repeats_a_disabled_api_is_left_out() -> None:
    real = Problem("apis", Cause.API_DISABLED, "The API x is not enabled.", "enable it")
    echo = Problem("services", Cause.API_DISABLED, "Could not be checked: it is off", "enable it")
    other = Problem("secrets", Cause.NETWORK, "Could not be checked: no answer", "try again")
    assert without_echoes(Readiness((real, echo, other))).problems == (real, other)


def test_a_check_that_waits_for_an_api_to_be_enabled_next_is_no_problem() -> None:
    api = Gap(Missing.API, "run.googleapis.com")
    waiting = Problem("services", Cause.API_DISABLED, "Could not be checked: it is off", "enable it")
    assert without_echoes(Readiness((waiting,), (api,))) == Readiness((), (api,))


def test_the_failure_says_every_problem_and_its_fix() -> None:
    problems = [Problem("apis", Cause.API_DISABLED, f"The API {n} is off.", f"enable {n}") for n in "abc"]
    text = str(failure(REQUEST, problems))
    assert all(f"The API {n} is off." in text and f"enable {n}" in text for n in "abc")


def test_a_service_under_a_former_name_is_told_of_and_left_alone() -> None:
    request = a_request(text=MANIFEST.replace("port: 9000", "port: 9000, name: orders"))
    marks = {**request.labels, "slipway-service": "api"}

    def there(name: str, labels: dict[str, str]) -> RunService:
        full = f"projects/acme-prod/locations/europe-west1/services/{name}"
        return RunService(full, "", 1, "", "", "", (), (), True, True, "", "", labels, NOW, Template(), {})

    others = [there("orders", marks), there("shop-web", marks | {"slipway-service": "web"}), there("x", {})]
    assert checks.former_names(request, others) == ()
    (note,) = checks.former_names(request, [*others, there("shop-api", marks)])
    assert "shop-api in europe-west1 is what api was before" in note
    assert "gcloud run services delete shop-api --region=europe-west1 --project=acme-prod" in note


def test_one_cause_that_keeps_many_checks_from_being_made_is_told_once() -> None:
    problems = [Problem(check, Cause.PERMISSION, "Could not be checked: no credentials.", "log in") for check in "abc"]
    other = Problem("d", Cause.BILLING, "No billing.", "link it")
    text = str(failure(REQUEST, [*problems, other]))
    assert "(2 found)" in text
    assert "1. [a, b, c] Could not be checked: no credentials.\n   log in\n2. [d] No billing." in text
    assert [row["check"] for row in rows(Readiness((*problems, other)))] == ["a, b, c", "d"]


async def test_nothing_of_builds_is_asked_for_where_all_images_are_built_elsewhere() -> None:
    text = MANIFEST.replace("source: api, ", "image: nginx, ").replace("web: {", "web: {image: nginx, ")
    request = a_request(text=text)
    assert checks.required_apis(REQUEST) - checks.required_apis(request) == {"cloudbuild.googleapis.com"}
    gone = {need.permission for need in {*needed(REQUEST)} - {*needed(request)}}
    assert {"cloudbuild.builds.create", "artifactregistry.repositories.create"} <= gone
    assert await checks.check_repository(request) == Readiness()
