"""The accounts of a release: that they are there, and may do what the release has them do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import resourcemanager_v3, secretmanager_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.projects.projects import ORGANIZATION
from tasks.failures.cause import Cause
from tasks.model import Readiness
from tasks.preflight.accounts import (
    check_accounts,
    check_invokers,
    check_prober,
    check_readers,
    is_legacy,
    judge_builder,
    judge_reader,
    lets_read,
    no_default,
)
from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.identities import grant, grant_on, new_identity, new_workload
from tests.tasks.builders import a_request
from tests.tasks.preflight.conftest import Acting
from tests.tasks.preflight.requests import name_of, release, to_ship

TOKENS = "roles/iam.serviceAccountOpenIdTokenCreator"
RUNNER = "runner@acme-prod.iam.gserviceaccount.com"
MEMBER = f"serviceAccount:{RUNNER}"


async def test_an_account_that_is_not_there_is_named_although_one_may_act_as_every_account(acting: Acting) -> None:
    (problem,) = (await check_accounts(to_ship(more="service_account: never-made"))).problems
    email = f"never-made@{PROJECT}.iam.gserviceaccount.com"
    assert (problem.problem, problem.cause) == (f"There is no service account {email}.", Cause.NOT_FOUND)
    assert f"gcloud iam service-accounts create never-made --project={PROJECT}" in problem.fix


async def test_an_account_that_is_let_in_and_not_there_is_named_before_anything_moves(
    acting: Acting, tmp_path: Path
) -> None:
    caller = new_identity(tmp_path)
    others = "'user:ada@example.com', 'serviceAccount:web@elsewhere-prod.iam.gserviceaccount.com'"
    request = to_ship(f"invokers: ['{caller.member}', 'serviceAccount:never-made', {others}]")
    (problem,) = (await check_invokers(request)).problems
    assert problem.problem == f"There is no service account never-made@{PROJECT}.iam.gserviceaccount.com."
    assert await check_invokers(to_ship(f"invokers: ['{caller.member}', {others}]")) == Readiness()


async def test_the_account_of_builds_is_looked_at_too(acting: Acting, tmp_path: Path) -> None:
    builder, deployer = new_identity(tmp_path), new_identity(tmp_path, ["roles/browser"])
    request = to_ship(more=f"service_account: {deployer.email}, build_service_account: {builder.email}")
    grant_on(deployer, deployer.member, "roles/iam.serviceAccountUser")
    with acting(deployer.key_file):
        found = await check_accounts(request)
    (problem,) = found.problems
    assert builder.email in problem.problem
    assert f"--member={deployer.member} --role=roles/iam.serviceAccountUser" in problem.fix
    assert f"--member={builder.member} --role=roles/cloudbuild.builds.builder" in "".join(found.notes)
    grant_on(builder, deployer.member, "roles/iam.serviceAccountUser")
    grant(builder.member, "roles/cloudbuild.builds.builder")
    with acting(deployer.key_file):
        assert await check_accounts(request) == Readiness()


async def test_where_slipway_yaml_names_no_account_the_one_that_cloud_build_will_use_is_looked_at(
    acting: Acting, tmp_path: Path
) -> None:
    """Since 2024 that is Compute Engine's, and who may not act as it can start no build."""
    runner, deployer = (
        new_identity(tmp_path),
        new_identity(tmp_path, ["roles/browser", "roles/cloudbuild.builds.editor"]),
    )
    grant_on(runner, deployer.member, "roles/iam.serviceAccountUser")
    request = to_ship(f"service_account: {runner.email}")
    with acting(deployer.key_file):
        (problem,) = (await check_accounts(request)).problems
        assert await check_accounts(replace(request, builds=False)) == Readiness()
    assert "-compute@developer.gserviceaccount.com: iam.serviceAccounts.actAs" in problem.problem
    assert f"--member={deployer.member} --role=roles/iam.serviceAccountUser" in problem.fix
    grant(deployer.member, "roles/iam.serviceAccountUser")
    with acting(deployer.key_file):
        assert await check_accounts(request) == Readiness()


async def test_who_may_not_see_what_builds_run_as_is_told_so_and_not_stopped(acting: Acting, tmp_path: Path) -> None:
    runner, deployer = new_identity(tmp_path), new_identity(tmp_path, ["roles/browser"])
    grant_on(runner, deployer.member, "roles/iam.serviceAccountUser")
    with acting(deployer.key_file):
        found = await check_accounts(to_ship(f"service_account: {runner.email}"))
    assert found == Readiness(notes=("Which account Cloud Build runs builds as could not be seen.",))


def test_a_project_in_which_builds_must_name_their_account_is_told_where() -> None:
    (problem,) = no_default(a_request()).problems
    assert "environments.production.build_service_account" in problem.fix


def test_nobody_acts_as_cloud_builds_own_account() -> None:
    assert is_legacy("123@cloudbuild.gserviceaccount.com")
    assert not is_legacy("123-compute@developer.gserviceaccount.com")


@pytest.mark.parametrize(
    ("roles", "lacks"),
    [
        (["roles/editor"], ""),
        (["roles/storage.admin", "roles/artifactregistry.writer"], ""),
        (["roles/storage.admin"], "push images"),
        ([], "read sources and write logs in the bucket or push images"),
    ],
)
def test_what_builds_lack_is_a_note(roles: list[str], lacks: str) -> None:
    found = judge_builder("acme", RUNNER, {role: {MEMBER} for role in roles})
    assert not found.problems
    assert (f"does not let {RUNNER} {lacks}. If nothing else does:" in "".join(found.notes)) is bool(lacks)


async def test_a_user_who_ships_a_private_service_is_told_what_is_missing_and_ships_after_that(
    acting: Acting, cloud: LocalCloud, tmp_path: Path
) -> None:
    """Every service is private before its first release. An owner may not make tokens either."""
    prober = new_identity(tmp_path)
    request = to_ship("public: true", f"prober: {prober.email}")
    with acting(cloud.data / "user.json"):
        (problem,) = (await check_prober(request)).problems
    assert "iam.serviceAccounts.getOpenIdToken" in problem.problem
    assert problem.fix == (
        f"gcloud iam service-accounts add-iam-policy-binding {prober.email} --project={PROJECT}"
        f" --member=user:you@example.com --role={TOKENS}"
    )
    grant_on(prober, "user:you@example.com", TOKENS)
    with acting(cloud.data / "user.json"):
        found = await check_prober(request)
    assert not found.problems
    assert f"--member={prober.member} --role=roles/run.invoker" in "".join(found.notes)
    grant(prober.member, "roles/run.invoker")
    with acting(cloud.data / "user.json"):
        assert await check_prober(request) == Readiness()


async def test_a_user_probes_as_what_the_service_runs_as_unless_told_otherwise(
    acting: Acting, cloud: LocalCloud, tmp_path: Path
) -> None:
    runner = new_identity(tmp_path)
    with acting(cloud.data / "user.json"):
        (problem,) = (await check_prober(to_ship(f"service_account: {runner.email}"))).problems
    assert runner.email in problem.problem


async def test_a_federated_workload_probes_as_the_account_it_acts_as(acting: Acting, tmp_path: Path) -> None:
    account = new_identity(tmp_path)
    workload = new_workload(tmp_path, new_identity(tmp_path), acts_as=account)
    grant_on(account, workload.member, "roles/iam.workloadIdentityUser")
    with acting(workload.key_file):
        assert await check_prober(to_ship()) == Readiness()


async def test_a_service_that_everybody_may_call_needs_no_prober(acting: Acting, cloud: LocalCloud) -> None:
    request = to_ship("public: true")
    release(request, public=True)
    with acting(cloud.data / "user.json"):
        assert await check_prober(request) == Readiness(), name_of(request)


async def test_a_secret_that_the_service_may_not_read_is_found_before_the_build(acting: Acting, tmp_path: Path) -> None:
    runner, secret = new_identity(tmp_path), f"key-{tmp_path.name.replace('_', '-')}"
    secrets = secretmanager_v1.SecretManagerServiceClient()
    wanted = secretmanager_v1.Secret(replication={"automatic": {}})
    made = secrets.create_secret(parent=f"projects/{PROJECT}", secret_id=secret, secret=wanted)
    request = to_ship(f"service_account: {runner.email}, secrets: {{KEY: {secret}}}")
    (problem,) = (await check_readers(request)).problems
    command = f"gcloud secrets add-iam-policy-binding {secret} --project={PROJECT}"
    assert problem.fix == f"{command} --member={runner.member} --role=roles/secretmanager.secretAccessor"
    policy = policy_pb2.Policy(bindings=[{"role": "roles/secretmanager.secretAccessor", "members": [runner.member]}])
    secrets.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=made.name, policy=policy))
    assert await check_readers(request) == Readiness()
    nobody = new_identity(tmp_path, ["roles/browser"])
    with acting(nobody.key_file):  # who may not read the secret's policy
        found = await check_readers(request)
    assert found.notes == (f"Whether {runner.email} may read the secret {secret} could not be seen.",)


async def test_a_secret_of_another_project_is_looked_up_in_the_policies_of_that_project(
    acting: Acting, tmp_path: Path
) -> None:
    """Who may read all secrets there was taken for one who may read none."""
    runner, secret = new_identity(tmp_path), f"key-{tmp_path.name.replace('_', '-')}"
    wanted = secretmanager_v1.Secret(replication={"automatic": {}})
    secretmanager_v1.SecretManagerServiceClient().create_secret(
        parent=f"projects/{OTHER_PROJECT}", secret_id=secret, secret=wanted
    )
    name = f"projects/{OTHER_PROJECT}/secrets/{secret}"
    request = to_ship(f"service_account: {runner.email}, secrets: {{KEY: {name}}}")
    (problem,) = (await check_readers(request)).problems
    assert problem.fix.startswith(f"gcloud secrets add-iam-policy-binding {secret} --project={OTHER_PROJECT} ")
    grant(runner.member, "roles/secretmanager.secretAccessor", OTHER_PROJECT)
    assert await check_readers(request) == Readiness()


@pytest.mark.parametrize(
    ("policy", "shut"),
    [
        ({}, True),
        ({"roles/editor": {MEMBER}}, True),
        ({"roles/secretmanager.secretAccessor": {"user:a@example.com"}}, True),
        ({"roles/secretmanager.secretAccessor": {MEMBER}}, False),
        ({"roles/owner": {MEMBER}}, False),
        ({"roles/secretmanager.secretAccessor": {"group:all@example.com"}}, False),
        ({"roles/owner": {"principal://iam.googleapis.com/pools/p/subject/s"}}, True),
        ({"projects/acme/roles/reader": {MEMBER}}, False),
        ({"projects/acme/roles/reader": {"user:a@example.com"}}, True),
    ],
)
def test_only_who_is_surely_shut_out_by_a_policy_counts_as_such(policy: dict[str, set[str]], shut: bool) -> None:
    assert lets_read(RUNNER, ({}, policy)) is not shut


@pytest.mark.parametrize(
    ("above", "stops", "notes"),
    [
        ([], True, 0),  # it is in no organization
        ([{}, {"roles/viewer": {MEMBER}}], True, 0),
        ([{}, {"roles/secretmanager.secretAccessor": {MEMBER}}], False, 0),
        (None, False, 1),
    ],
)
def test_a_role_on_a_folder_or_on_the_organization_may_be_what_lets_it_read(
    above: list[dict[str, set[str]]] | None, stops: bool, notes: int
) -> None:
    found = judge_reader(("acme-prod", "key"), RUNNER, above)
    assert (bool(found.problems), len(found.notes)) == (stops, notes)


async def test_who_reads_all_secrets_of_the_organization_is_not_stopped_and_who_may_not_look_there_is_told(
    acting: Acting, tmp_path: Path
) -> None:
    """A release by such an account was stopped, with a command that nobody needed."""
    runner, secret = new_identity(tmp_path), f"key-{tmp_path.name.replace('_', '-')}"
    secretmanager_v1.SecretManagerServiceClient().create_secret(
        parent=f"projects/{PROJECT}", secret_id=secret, secret=secretmanager_v1.Secret(replication={"automatic": {}})
    )
    request = to_ship(f"service_account: {runner.email}, secrets: {{KEY: {secret}}}")
    assert (await check_readers(request)).problems
    deployer = new_identity(tmp_path, ["roles/editor", "roles/iam.securityReviewer"])
    with acting(deployer.key_file):
        found = await check_readers(request)
    assert not found.problems
    assert "If no folder and no organization does: gcloud secrets add-iam-policy-binding" in found.notes[0]
    organizations = resourcemanager_v3.OrganizationsClient()
    policy = organizations.get_iam_policy(resource=ORGANIZATION)
    policy.bindings.add(role="roles/secretmanager.secretAccessor", members=[runner.member])
    organizations.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=ORGANIZATION, policy=policy))
    assert await check_readers(request) == Readiness()
