"""What every project stands on in the local cloud: enabled APIs, billing, organisation policies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import (
    artifactregistry_v1,
    billing_v1,
    orgpolicy_v2,
    resourcemanager_v3,
    run_v2,
    secretmanager_v1,
    service_usage_v1,
    storage,
)
from google.iam.v1 import iam_policy_pb2
from google.rpc import error_details_pb2

from infra.emulator.iam.roles import permissions
from infra.emulator.management.serviceusage import KNOWN
from infra.emulator.services import build
from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import rest
from tests.infra.emulator.identities import new_identity

PARENT = f"projects/{PROJECT}"
OTHER = f"projects/{OTHER_PROJECT}"
SECRETS = "secretmanager.googleapis.com"
State = service_usage_v1.State
DOCKER = artifactregistry_v1.Repository(format_=artifactregistry_v1.Repository.Format.DOCKER)


@pytest.fixture
def usage(cloud_env: dict[str, str]) -> service_usage_v1.ServiceUsageClient:
    return service_usage_v1.ServiceUsageClient()


@pytest.fixture
def number(cloud_env: dict[str, str]) -> str:
    return str(resourcemanager_v3.ProjectsClient().get_project(name=OTHER).name.removeprefix("projects/"))


@contextmanager
def disabled(usage: service_usage_v1.ServiceUsageClient, api: str) -> Iterator[None]:
    """Within the block the other project goes without the API."""
    name = f"{OTHER}/services/{api}"
    usage.disable_service(request={"name": name}).result()
    try:
        yield
    finally:
        usage.enable_service(request={"name": name}).result()


@contextmanager
def without_billing() -> Iterator[None]:
    """Within the block nobody pays for the other project."""
    billing = billing_v1.CloudBillingClient()
    account = billing.get_project_billing_info(name=OTHER).billing_account_name
    billing.update_project_billing_info(name=OTHER, project_billing_info=billing_v1.ProjectBillingInfo())
    try:
        yield
    finally:
        info = billing_v1.ProjectBillingInfo(billing_account_name=account)
        billing.update_project_billing_info(name=OTHER, project_billing_info=info)


@contextmanager
def constrained(constraint: str, rule: dict[str, Any]) -> Iterator[None]:
    """Within the block an organisation policy of one rule holds for the other project."""
    policies = orgpolicy_v2.OrgPolicyClient()
    policy = orgpolicy_v2.Policy(name=f"{OTHER}/policies/{constraint}", spec={"rules": [rule]})
    made = policies.create_policy(parent=OTHER, policy=policy)
    try:
        yield
    finally:
        policies.delete_policy(name=made.name)


class TestApis:
    def test_are_named_by_the_projects_number(self, usage: service_usage_v1.ServiceUsageClient, number: str) -> None:
        service = usage.get_service(request={"name": f"{OTHER}/services/run.googleapis.com"})
        assert service.name == f"projects/{number}/services/run.googleapis.com"
        assert (service.parent, service.state) == (f"projects/{number}", State.ENABLED)
        assert service.config.title == "Cloud Run Admin API"

    def test_are_listed_by_state_page_by_page(self, usage: service_usage_v1.ServiceUsageClient) -> None:
        names = []
        for state in ("ENABLED", "DISABLED"):
            found = list(usage.list_services(request={"parent": OTHER, "filter": f"state:{state}", "page_size": 3}))
            assert {service.state.name for service in found} == {state}
            names += [service.config.name for service in found]
        assert sorted(each for each in names if each in KNOWN) == sorted(KNOWN)  # others have managed services there

    def test_that_are_off_answer_as_google_does_until_switched_on(
        self, usage: service_usage_v1.ServiceUsageClient, number: str
    ) -> None:
        secrets = secretmanager_v1.SecretManagerServiceClient()
        with disabled(usage, SECRETS):
            with pytest.raises(exceptions.PermissionDenied, match="has not been used in project") as refused:
                secrets.list_secrets(parent=OTHER)
            assert refused.value.reason == "SERVICE_DISABLED"
            assert refused.value.metadata["service"] == SECRETS
            assert refused.value.metadata["consumer"] == f"projects/{number}"
        secrets.list_secrets(parent=OTHER)

    def test_work_only_when_the_change_has_propagated(
        self, cloud: LocalCloud, usage: service_usage_v1.ServiceUsageClient
    ) -> None:
        cloud.put("/latency", {"stages": {"serviceusage.propagation": 60}})
        try:
            with disabled(usage, SECRETS):
                pass
            with pytest.raises(exceptions.PermissionDenied, match="If you enabled this API recently, wait"):
                secretmanager_v1.SecretManagerServiceClient().list_secrets(parent=OTHER)
        finally:
            cloud.put("/latency", {"stages": {"serviceusage.propagation": 0}})

    def test_are_switched_on_together(self, usage: service_usage_v1.ServiceUsageClient, number: str) -> None:
        apis = ["cloudtasks.googleapis.com", "pubsub.googleapis.com"]
        operation = usage.batch_enable_services(request={"parent": OTHER, "service_ids": apis})
        expected = [f"services/{api}/projectSettings/{number}" for api in apis]
        assert list(operation.metadata.resource_names) == expected
        assert [service.config.name for service in operation.result().services] == apis
        asked = {"parent": OTHER, "names": [f"{OTHER}/services/{api}" for api in apis]}
        assert {s.state for s in usage.batch_get_services(request=asked).services} == {State.ENABLED}

    def test_that_nobody_knows_are_not_told_from_forbidden_ones(
        self, usage: service_usage_v1.ServiceUsageClient
    ) -> None:
        with pytest.raises(exceptions.PermissionDenied) as refused:
            usage.enable_service(request={"name": f"{OTHER}/services/nonsense.googleapis.com"})
        assert refused.value.message == "Not found or permission denied for service(s): nonsense.googleapis.com."

    def test_need_the_right_to_switch_them_on(self, cloud_env: dict[str, str], tmp_path: Path) -> None:
        viewer = new_identity(tmp_path, ["roles/serviceusage.serviceUsageViewer"])
        usage = service_usage_v1.ServiceUsageClient(credentials=viewer.credentials)
        usage.list_services(request={"parent": PARENT})
        with pytest.raises(exceptions.PermissionDenied, match="Permission denied to enable service"):
            usage.enable_service(request={"name": f"{PARENT}/services/pubsub.googleapis.com"})


class TestBilling:
    def test_names_the_account(self, cloud_env: dict[str, str]) -> None:
        info = billing_v1.CloudBillingClient().get_project_billing_info(name=PARENT)
        (account,) = billing_v1.CloudBillingClient().list_billing_accounts()
        assert (info.billing_enabled, info.billing_account_name) == (True, account.name)
        assert info.name == f"{PARENT}/billingInfo"

    def test_is_what_paid_changes_need(self, cloud_env: dict[str, str]) -> None:
        registry = artifactregistry_v1.ArtifactRegistryClient()
        location = f"{OTHER}/locations/europe-west1"
        with without_billing():
            with pytest.raises(exceptions.PermissionDenied, match="requires billing to be enabled") as refused:
                registry.create_repository(parent=location, repository_id="r", repository=DOCKER)
            assert refused.value.reason == "BILLING_DISABLED"
            assert all(each.name.startswith(location) for each in registry.list_repositories(parent=location))
            with pytest.raises(exceptions.Forbidden, match="billing account for the owning project is disabled"):
                storage.Client(project=OTHER_PROJECT).create_bucket("nobody-pays-for-this")

    def test_is_what_enabling_a_paid_api_needs(self, usage: service_usage_v1.ServiceUsageClient, number: str) -> None:
        name = f"{OTHER}/services/compute.googleapis.com"
        with without_billing(), pytest.raises(exceptions.FailedPrecondition) as refused:
            usage.enable_service(request={"name": name})
        assert refused.value.message == (
            f"Billing account for project '{number}' is not found. Billing must be enabled for activation of "
            "service(s) 'compute.googleapis.com' to proceed."
        )
        assert refused.value.reason == "UREQ_PROJECT_BILLING_NOT_FOUND"
        assert refused.value.domain == "serviceusage.googleapis.com/billing-enabled"


class TestOrganisationPolicies:
    @pytest.fixture
    def policies(self, cloud_env: dict[str, str]) -> orgpolicy_v2.OrgPolicyClient:
        return orgpolicy_v2.OrgPolicyClient()

    def test_that_are_not_set_let_everything_through(self, policies: orgpolicy_v2.OrgPolicyClient, number: str) -> None:
        name = f"{OTHER}/policies/run.allowedIngress"
        with pytest.raises(exceptions.NotFound):
            policies.get_policy(name=name)
        effective = policies.get_effective_policy(name=name)
        assert effective.name == f"projects/{number}/policies/run.allowedIngress"
        assert [rule.allow_all for rule in effective.spec.rules] == [True]

    def test_are_written_against_the_current_state(self, policies: orgpolicy_v2.OrgPolicyClient) -> None:
        with constrained("run.allowedIngress", {"values": {"allowed_values": ["internal"]}}):
            (listed,) = policies.list_policies(parent=OTHER)
            read = policies.get_policy(name=listed.name)
            read.spec.rules[0].values.allowed_values.append("all")
            changed = policies.update_policy(policy=read)
            assert list(changed.spec.rules[0].values.allowed_values) == ["internal", "all"]
            with pytest.raises(exceptions.Aborted):
                policies.update_policy(policy=read)

    def test_keep_buckets_in_their_locations(self, cloud_env: dict[str, str]) -> None:
        client = storage.Client(project=OTHER_PROJECT)
        with constrained("gcp.resourceLocations", {"values": {"allowed_values": ["in:eu-locations"]}}):
            with pytest.raises(exceptions.PreconditionFailed, match=r"'US' violates constraint"):
                client.create_bucket("elsewhere", location="US")
            client.create_bucket("here", location="europe-west1").delete()

    def test_keep_the_public_out_of_policies(self, cloud_env: dict[str, str]) -> None:
        secrets = secretmanager_v1.SecretManagerServiceClient()
        secret = secrets.create_secret(
            request={"parent": OTHER, "secret_id": "guarded", "secret": {"replication": {"automatic": {}}}}
        )
        policy = secrets.get_iam_policy(request={"resource": secret.name})
        policy.bindings.add(role="roles/secretmanager.viewer", members=["allUsers"])
        request = iam_policy_pb2.SetIamPolicyRequest(resource=secret.name, policy=policy)
        with (
            constrained("iam.allowedPolicyMemberDomains", {"values": {"allowed_values": ["C0123456"]}}),
            pytest.raises(exceptions.FailedPrecondition, match="do not belong to a permitted customer,  perhaps"),
        ):
            secrets.set_iam_policy(request=request)
        assert secrets.set_iam_policy(request=request).bindings
        secrets.delete_secret(name=secret.name)

    def test_name_the_violation_in_their_details(self, cloud_env: dict[str, str]) -> None:
        registry = artifactregistry_v1.ArtifactRegistryClient()
        with (
            constrained("gcp.resourceLocations", {"values": {"allowed_values": ["europe-west1"]}}),
            pytest.raises(exceptions.FailedPrecondition, match="violated one or more Org Policies") as refused,
        ):
            registry.create_repository(parent=f"{OTHER}/locations/us-central1", repository_id="r", repository=DOCKER)
        (failure,) = [d for d in refused.value.details if isinstance(d, error_details_pb2.PreconditionFailure)]
        assert failure.violations[0].type == "constraints/gcp.resourceLocations"
        assert failure.violations[0].subject == f"orgpolicy:{OTHER}"

    def test_a_rule_must_fit_its_constraint(self, cloud_env: dict[str, str]) -> None:
        with pytest.raises(exceptions.InvalidArgument), constrained("run.allowedIngress", {"enforce": True}):
            pass


class TestProjects:
    def test_tell_who_they_are(self, number: str) -> None:
        project = resourcemanager_v3.ProjectsClient().get_project(name=f"projects/{number}")
        assert (project.project_id, project.state.name) == (OTHER_PROJECT, "ACTIVE")

    def test_that_do_not_exist_look_forbidden(self, cloud_env: dict[str, str]) -> None:
        with pytest.raises(exceptions.PermissionDenied):
            resourcemanager_v3.ProjectsClient().get_project(name="projects/there-is-none")

    def test_are_seen_by_those_who_may(self, cloud_env: dict[str, str], tmp_path: Path) -> None:
        viewer = new_identity(tmp_path, ["roles/browser"])
        found = resourcemanager_v3.ProjectsClient(credentials=viewer.credentials).search_projects()
        assert [project.project_id for project in found] == [PROJECT]

    def test_take_labels(self, cloud_env: dict[str, str]) -> None:
        projects = resourcemanager_v3.ProjectsClient()
        project = resourcemanager_v3.Project(name=OTHER, labels={"team": "web"})
        projects.update_project(request={"project": project, "update_mask": {"paths": ["labels"]}}).result()
        assert projects.get_project(name=OTHER).labels == {"team": "web"}


def test_every_permission_that_a_handler_asks_for_is_one_that_roles_can_contain(tmp_path: Path) -> None:
    cloud = build(tmp_path)
    cloud.store.close()
    asked = {handler.permission for handler in cloud.handlers.values()} - {""}
    assert sorted(asked - permissions()) == []


def test_run_is_free_to_read_without_billing(cloud_env: dict[str, str]) -> None:
    with without_billing():
        location = f"{OTHER}/locations/europe-west1"
        found = run_v2.ServicesClient().list_services(parent=location)
        assert all(each.name.startswith(location) for each in found)


def test_answers_are_as_googles_documents_say(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    usage = f"https://serviceusage.googleapis.com/v1/{PARENT}/services"
    policies = f"https://orgpolicy.googleapis.com/v2/{PARENT}"
    with rest(cloud) as http:
        for url in [
            f"{usage}?filter=state:ENABLED&pageSize=200",
            f"{usage}/run.googleapis.com",
            f"https://cloudbilling.googleapis.com/v1/{PARENT}/billingInfo",
            "https://cloudbilling.googleapis.com/v1/billingAccounts",
            f"{policies}/policies",
            f"{policies}/constraints",
            f"{policies}/policies/run.allowedIngress:getEffectivePolicy",
        ]:
            http.get(url).raise_for_status()
        operation = http.post(f"{usage}/eventarc.googleapis.com:enable", json={}).raise_for_status().json()
        http.get(f"https://serviceusage.googleapis.com/v1/{operation['name']}").raise_for_status()
        assert http.checked == 9
