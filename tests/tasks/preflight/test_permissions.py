"""What a run must be allowed: no more than it needs, wherever it is held."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import run_v2

from infra.gcp.calls.errors import GoogleError
from tasks.failures.cause import Cause
from tasks.failures.roles import NEEDS, On, When
from tasks.model import Readiness
from tasks.preflight.permissions import Held, check_permissions, judge_permissions, needed, still_missing
from tests.conftest import LocalCloud
from tests.infra.emulator.identities import new_identity
from tests.tasks.builders import a_request
from tests.tasks.preflight.conftest import Acting
from tests.tasks.preflight.requests import invite, name_of, release, to_ship

ME = "serviceAccount:me@acme.iam.gserviceaccount.com"
EVERYTHING = [need.permission for need in NEEDS]
BESIDE = {need.permission for need in NEEDS if need.on in (On.JOB, On.POOL)}  # of jobs and worker pools


def on(thing: On, *permissions: str, there: bool | None = True, name: str = "n") -> Held:
    return Held(thing, name, frozenset(permissions), there)


def names(readiness: Readiness) -> set[str]:
    return {each for each in EVERYTHING if any(each in problem.problem for problem in readiness.problems)}


@pytest.mark.parametrize(
    ("service", "more", "unneeded"),
    [
        (
            "public: true",
            "",
            {"monitoring.timeSeries.list", "secretmanager.versions.get", "secretmanager.versions.list"},
        ),
        ("secrets: {KEY: key}", "strategy: {canary: [10]}", {"run.services.setIamPolicy"}),
        (
            "public: true, secrets: {KEY: key}",
            "strategy: {canary: [10]}, prober: prober",
            {"run.routes.invoke"},
        ),
    ],
    ids=["no canary and no secrets", "private", "somebody else probes"],
)
def test_a_run_is_asked_for_no_permission_that_it_does_not_use(service: str, more: str, unneeded: set[str]) -> None:
    assert set(EVERYTHING) - {need.permission for need in needed(to_ship(service, more))} == unneeded | BESIDE


def test_whoever_ships_a_worker_pool_must_read_how_its_instances_end() -> None:
    text = """
app: shop
services: {web: {}}
worker_pools: {mailer: {}}
environments: {production: {project: acme-prod, regions: [europe-west1]}}
"""
    found = {need.permission: need.when for need in needed(a_request(text=text))}
    assert found["logging.logEntries.list"] is When.ALWAYS
    assert {f"run.workerpools.{verb}" for verb in ("get", "create", "update")} <= found.keys()


KEPT = """
app: shop
services: {web: {cloudsql_instances: ["%s:europe-west1:main"]}}
environments: {production: {project: acme-prod, regions: [europe-west1], backup: {%s}, scan: {%s}}}
"""


@pytest.mark.parametrize(
    ("home", "backup", "scan", "found"),
    [
        ("acme-prod", "", "", {"cloudsql.backupRuns.create": When.ALWAYS, "run.jobs.list": When.ALWAYS,
                               "cloudscheduler.jobs.list": When.HELPFUL, "run.services.list": When.ALWAYS,
                               "containeranalysis.occurrences.list": When.ALWAYS}),
        ("acme-prod", "mode: never, configuration: false", "sbom: never, unknown: warn",
         {"containeranalysis.occurrences.list": When.HELPFUL, "run.services.list": When.HELPFUL}),
        ("acme-data", "configuration: false", "unknown: warn, sbom: require",
         {"containeranalysis.occurrences.list": When.ALWAYS, "run.services.list": When.HELPFUL}),
    ],
    ids=["all of it", "little of it", "databases of another project"],
)  # fmt: skip
def test_what_is_kept_and_looked_into_before_a_release_is_asked_for(
    home: str, backup: str, scan: str, found: dict[str, When]
) -> None:
    asked = needed(a_request(text=KEPT % (home, backup, scan)))
    of_it = ("cloudsql.", "cloudscheduler.", "containeranalysis.", "run.services.list", "run.jobs.list")
    assert len({need.permission for need in asked}) == len(asked)
    told = {need.permission: need.when for need in asked if need.permission.startswith(of_it)}
    beside = ("cloudsql.instances.get", "cloudsql.backupRuns.list")
    assert {permission: when for permission, when in told.items() if permission not in beside} == found


def test_to_ask_private_services_is_among_what_is_needed() -> None:
    assert "run.routes.invoke" in EVERYTHING


def test_what_is_held_on_each_thing_itself_is_held() -> None:
    (update,) = [need for need in NEEDS if need.permission == "run.services.update"]
    both = [on(On.SERVICE, update.permission, name="a"), on(On.SERVICE, update.permission, name="b")]
    assert still_missing([update], both) == []
    assert still_missing([update], [*both, on(On.SERVICE, name="c")]) == [update]
    assert still_missing([update], [on(On.BUCKET, update.permission)]) == [update]


@pytest.mark.parametrize(("there", "missing"), [(True, False), (False, True), (None, True)])
def test_to_create_is_needed_only_where_something_is_not_there(there: bool | None, missing: bool) -> None:
    (create,) = [need for need in NEEDS if need.permission == "storage.buckets.create"]
    assert bool(still_missing([create], [on(On.BUCKET, there=there)])) is missing


def test_what_only_helps_is_a_note_and_stops_nothing() -> None:
    found = judge_permissions("acme", [need for need in NEEDS if need.when is When.HELPFUL], ME)
    assert not found.problems
    assert "Without run.revisions.delete on project acme the run does not clean up revisions" in "\n".join(found.notes)


async def test_rights_on_the_service_alone_are_enough_for_a_service_that_is_there(
    acting: Acting, tmp_path: Path
) -> None:
    """Nobody who may update one service needs the right to create others."""
    request = to_ship("public: true")
    deployer = new_identity(tmp_path, ["roles/viewer"])
    release(request, public=True)
    invite(name_of(request), deployer.member, "roles/run.developer")
    with acting(deployer.key_file):
        found = names(await check_permissions(request))
    assert not {each for each in found if each.startswith("run.")}
    assert {"cloudbuild.builds.create", "storage.buckets.create"} <= found


async def test_without_any_rights_everything_is_named_once_with_the_account_that_lacks_it(
    acting: Acting, tmp_path: Path
) -> None:
    deployer = new_identity(tmp_path)
    with acting(deployer.key_file):
        found = await check_permissions(to_ship("public: true"))
    assert {"run.services.create", "run.services.setIamPolicy", "run.routes.invoke"} <= names(found)
    assert len({problem.fix for problem in found.problems}) == len(found.problems)
    assert all(f"--member={deployer.member} --role=roles/" in problem.fix for problem in found.problems)


async def test_a_user_is_called_by_name(acting: Acting, cloud: LocalCloud) -> None:
    request = to_ship(project="acme-nowhere")
    with acting(cloud.data / "user.json"):
        (problem,) = (await check_permissions(request)).problems
    assert (problem.check, problem.cause) == ("project", Cause.NOT_FOUND)
    assert problem.problem == "There is no project acme-nowhere, or user:you@example.com may not see it."
    assert "environments.production.project" in problem.fix


async def test_a_failure_to_ask_is_not_taken_for_a_project_that_is_not_there(cloud: LocalCloud, acting: Acting) -> None:
    method = "google.cloud.resourcemanager.v3.Projects/TestIamPermissions"
    cloud.put("/faults", [{"method": method, "code": "INTERNAL"}])
    try:
        with pytest.raises(GoogleError, match="INTERNAL"):
            await check_permissions(a_request())
    finally:
        cloud.put("/faults", [])


async def test_whoever_has_callers_unchecked_must_be_allowed_to_set_who_may_call(
    acting: Acting, tmp_path: Path
) -> None:
    """Google asks for that right, and refused the release when its images had been built."""
    request, needless = to_ship("invoker_iam_check: false"), to_ship("invoker_iam_check: true")
    deployer = new_identity(tmp_path, ["roles/run.developer", "roles/viewer"])
    with acting(deployer.key_file):
        assert "run.services.setIamPolicy" in names(await check_permissions(request))
        assert "run.services.setIamPolicy" not in names(await check_permissions(needless))
    release(request, run_v2.Service(invoker_iam_disabled=True))
    with acting(deployer.key_file):
        assert "run.services.setIamPolicy" not in names(await check_permissions(request))
