"""Who calls and what they may: service accounts, keys, tokens, roles and policies on the local cloud."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import google.auth
import httpx
import pytest
from google.api_core import exceptions
from google.auth import crypt, jwt
from google.auth.transport.requests import Request
from google.cloud import iam_admin_v1, iam_credentials_v1, resourcemanager_v3, run_v2, secretmanager_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.oauth2 import credentials as oauth2
from google.oauth2 import id_token, service_account

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import rest
from tests.infra.emulator.identities import SCOPES, Identity, grant, grant_on, new_identity

PARENT = f"projects/{PROJECT}"
TOKEN_CREATOR = "roles/iam.serviceAccountTokenCreator"
RUN_PARENT = f"{PARENT}/locations/europe-west1"


@pytest.fixture
def iam(cloud_env: dict[str, str]) -> iam_admin_v1.IAMClient:
    return iam_admin_v1.IAMClient()


@pytest.fixture
def nobody(cloud_env: dict[str, str], tmp_path: Path) -> Identity:
    return new_identity(tmp_path)


def account(identity: Identity) -> str:
    return f"projects/-/serviceAccounts/{identity.email}"


def test_an_account_may_what_its_roles_contain_and_nothing_else(nobody: Identity) -> None:
    services = run_v2.ServicesClient(credentials=nobody.credentials)
    with pytest.raises(exceptions.PermissionDenied) as refused:
        services.list_services(parent=RUN_PARENT)
    assert refused.value.reason == "IAM_PERMISSION_DENIED"
    assert refused.value.metadata["permission"] == "run.services.list"
    grant(nobody.member, "roles/run.viewer")
    services.list_services(parent=RUN_PARENT)
    with pytest.raises(exceptions.PermissionDenied, match=r"run\.services\.delete"):
        services.delete_service(name=f"{RUN_PARENT}/services/whatever")


def test_a_policy_takes_effect_when_it_has_propagated(cloud: LocalCloud, nobody: Identity) -> None:
    projects = resourcemanager_v3.ProjectsClient(credentials=nobody.credentials)
    asked = {"resource": PARENT, "permissions": ["resourcemanager.projects.get"]}
    cloud.put("/latency", {"stages": {"iam.propagation": 3600.0}})
    try:
        grant(nobody.member, "roles/browser")
        with pytest.raises(exceptions.PermissionDenied):
            projects.get_project(name=PARENT)
        assert not projects.test_iam_permissions(asked).permissions
        cloud.put("/latency", {"stages": {"iam.propagation": 0.001}})
        assert projects.test_iam_permissions(asked).permissions
    finally:
        cloud.put("/latency", {"stages": {"iam.propagation": 0}})


class TestAccounts:
    def test_live_through_their_life(self, iam: iam_admin_v1.IAMClient) -> None:
        made = iam.create_service_account(
            name=PARENT,
            account_id="lively-one",
            service_account=iam_admin_v1.ServiceAccount(display_name="Lively"),
        )
        assert made.email == f"lively-one@{PROJECT}.iam.gserviceaccount.com"
        assert made in list(iam.list_service_accounts(name=PARENT))
        with pytest.raises(exceptions.AlreadyExists):
            iam.create_service_account(name=PARENT, account_id="lively-one")
        iam.delete_service_account(name=made.name)
        with pytest.raises(exceptions.NotFound):
            iam.get_service_account(name=made.name)
        request = iam_admin_v1.UndeleteServiceAccountRequest(name=f"projects/-/serviceAccounts/{made.unique_id}")
        assert iam.undelete_service_account(request=request).restored_account.email == made.email

    @pytest.mark.parametrize("account_id", ["short", "Upper-case", "x" * 31, "1starts-with-digit"])
    def test_have_ids_as_google_wants_them(self, iam: iam_admin_v1.IAMClient, account_id: str) -> None:
        with pytest.raises(exceptions.InvalidArgument, match="6 and 30"):
            iam.create_service_account(name=PARENT, account_id=account_id)

    def test_of_google_are_there_from_the_start(self, iam: iam_admin_v1.IAMClient) -> None:
        number = resourcemanager_v3.ProjectsClient().get_project(name=PARENT).name.removeprefix("projects/")
        emails = [found.email for found in iam.list_service_accounts(name=PARENT)]
        assert f"{number}-compute@developer.gserviceaccount.com" in emails
        policy = resourcemanager_v3.ProjectsClient().get_iam_policy(resource=PARENT)
        roles = {member: binding.role for binding in policy.bindings for member in binding.members}
        assert roles[f"serviceAccount:{number}-compute@developer.gserviceaccount.com"] == "roles/editor"
        assert roles[f"serviceAccount:{number}@cloudbuild.gserviceaccount.com"] == "roles/cloudbuild.builds.builder"

    def test_when_disabled_are_refused(self, iam: iam_admin_v1.IAMClient, nobody: Identity) -> None:
        grant(nobody.member, "roles/browser")
        projects = resourcemanager_v3.ProjectsClient(credentials=nobody.credentials)
        projects.get_project(name=PARENT)
        iam.disable_service_account(request={"name": account(nobody)})
        with pytest.raises(exceptions.Unauthenticated):
            projects.get_project(name=PARENT)
        iam.enable_service_account(request={"name": account(nobody)})
        projects.get_project(name=PARENT)

    def test_have_policies_of_their_own(self, iam: iam_admin_v1.IAMClient, nobody: Identity, tmp_path: Path) -> None:
        other = new_identity(tmp_path)
        theirs = iam_admin_v1.IAMClient(credentials=other.credentials)
        asked = iam_policy_pb2.TestIamPermissionsRequest(
            resource=account(nobody), permissions=["iam.serviceAccounts.actAs"]
        )
        assert not theirs.test_iam_permissions(request=asked).permissions
        policy = policy_pb2.Policy(bindings=[{"role": "roles/iam.serviceAccountUser", "members": [other.member]}])
        iam.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=account(nobody), policy=policy))
        assert theirs.test_iam_permissions(request=asked).permissions == ["iam.serviceAccounts.actAs"]


class TestKeys:
    def test_that_are_deleted_open_nothing(self, iam: iam_admin_v1.IAMClient, nobody: Identity) -> None:
        grant(nobody.member, "roles/browser")
        kinds = iam_admin_v1.ListServiceAccountKeysRequest.KeyType
        (key,) = iam.list_service_account_keys(
            request={"name": account(nobody), "key_types": [kinds.USER_MANAGED]}
        ).keys
        resourcemanager_v3.ProjectsClient(credentials=nobody.credentials).get_project(name=PARENT)
        iam.delete_service_account_key(name=key.name)
        with pytest.raises(exceptions.Unauthenticated):
            resourcemanager_v3.ProjectsClient(credentials=nobody.credentials).get_project(name=PARENT)

    def test_are_ten_at_most(self, iam: iam_admin_v1.IAMClient, nobody: Identity) -> None:
        for _ in range(9):
            iam.create_service_account_key(name=account(nobody))
        with pytest.raises(exceptions.FailedPrecondition):
            iam.create_service_account_key(name=account(nobody))


class TestTokens:
    def test_an_access_token_from_the_token_end_point(self, cloud: LocalCloud, nobody: Identity) -> None:
        credentials: Any = nobody.credentials
        credentials.refresh(Request())
        with httpx.Client() as http:
            told = http.get("https://oauth2.googleapis.com/tokeninfo", params={"access_token": credentials.token})
        assert told.json()["email"] == nobody.email

    def test_an_id_token_verifies_with_the_public_keys(self, nobody: Identity) -> None:
        audience = "https://service.example"
        made: Any = service_account.IDTokenCredentials.from_service_account_file(
            str(nobody.key_file), target_audience=audience
        )
        made.refresh(Request())
        claims = id_token.verify_oauth2_token(made.token, Request(), audience)
        assert (claims["email"], claims["aud"]) == (nobody.email, audience)

    def test_a_forged_assertion_is_refused(self, cloud_env: dict[str, str], nobody: Identity) -> None:
        key = json.loads(nobody.key_file.read_text())
        key["client_email"] = f"deployer@{PROJECT}.iam.gserviceaccount.com"
        forged: Any = service_account.Credentials.from_service_account_info(key, scopes=SCOPES)
        with pytest.raises(google.auth.exceptions.RefreshError, match="invalid_grant"):
            forged.refresh(Request())

    def test_of_another_account_need_the_right_to_them(self, nobody: Identity, tmp_path: Path) -> None:
        other = new_identity(tmp_path)
        credentials = iam_credentials_v1.IAMCredentialsClient(credentials=other.credentials)
        with pytest.raises(exceptions.PermissionDenied, match=r"iam\.serviceAccounts\.getAccessToken"):
            credentials.generate_access_token(name=account(nobody), scope=SCOPES)
        grant(other.member, "roles/iam.serviceAccountTokenCreator")
        token = credentials.generate_access_token(name=account(nobody), scope=SCOPES).access_token
        acting = resourcemanager_v3.ProjectsClient(credentials=oauth2.Credentials(token))
        asked = acting.test_iam_permissions(resource=PARENT, permissions=["iam.serviceAccounts.getAccessToken"])
        assert not asked.permissions  # the token is worth what its account may

    def test_signatures_verify(self, cloud_env: dict[str, str], nobody: Identity) -> None:
        credentials = iam_credentials_v1.IAMCredentialsClient()
        with pytest.raises(exceptions.PermissionDenied):  # an owner may not, without being told
            credentials.sign_jwt(name=account(nobody), payload="{}")
        grant_on(nobody, f"serviceAccount:deployer@{PROJECT}.iam.gserviceaccount.com", TOKEN_CREATOR)
        claims = {"iss": nobody.email, "sub": nobody.email, "exp": int(time.time()) + 60, "iat": int(time.time())}
        claims["aud"] = "https://cloudresourcemanager.googleapis.com/"
        grant(nobody.member, "roles/browser")
        token = credentials.sign_jwt(name=account(nobody), payload=json.dumps(claims)).signed_jwt
        answer = httpx.get(
            f"https://cloudresourcemanager.googleapis.com/v3/{PARENT}", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.json()["projectId"] == PROJECT


class TestPolicies:
    @pytest.fixture
    def projects(self, cloud_env: dict[str, str]) -> resourcemanager_v3.ProjectsClient:
        return resourcemanager_v3.ProjectsClient()

    def test_two_writers_do_not_overwrite_each_other(self, projects: resourcemanager_v3.ProjectsClient) -> None:
        first, second = (projects.get_iam_policy(resource=PARENT) for _ in range(2))
        for policy in (first, second):
            policy.bindings.add(role="roles/browser", members=["user:someone@example.com"])
        projects.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=PARENT, policy=first))
        with pytest.raises(exceptions.Aborted, match="There were concurrent policy changes"):
            projects.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=PARENT, policy=second))

    @pytest.mark.parametrize(
        ("role", "member"),
        [
            ("roles/run.emperor", "user:a@example.com"),
            ("roles/browser", "someone@example.com"),
            ("roles/browser", f"serviceAccount:never-made@{PROJECT}.iam.gserviceaccount.com"),
        ],
        ids=["role", "member", "account"],
    )
    def test_roles_and_members_must_exist(
        self, projects: resourcemanager_v3.ProjectsClient, role: str, member: str
    ) -> None:
        policy = projects.get_iam_policy(resource=PARENT)
        policy.bindings.add(role=role, members=[member])
        with pytest.raises(exceptions.InvalidArgument):
            projects.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=PARENT, policy=policy))

    def test_bindings_of_one_role_are_merged(self, projects: resourcemanager_v3.ProjectsClient) -> None:
        policy = projects.get_iam_policy(resource=PARENT)
        for name in ("a", "b", "a"):
            policy.bindings.add(role="roles/run.viewer", members=[f"user:{name}@merged.example"])
        changed = projects.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=PARENT, policy=policy))
        (binding,) = [b for b in changed.bindings if b.role == "roles/run.viewer"]
        merged = [member for member in binding.members if member.endswith("@merged.example")]
        assert merged == ["user:a@merged.example", "user:b@merged.example"]

    def test_an_invented_permission_cannot_be_asked_for(self, projects: resourcemanager_v3.ProjectsClient) -> None:
        with pytest.raises(exceptions.InvalidArgument, match=r"run\.services\.bless is not valid"):
            projects.test_iam_permissions(resource=PARENT, permissions=["run.services.bless"])


class TestRoles:
    def test_a_custom_role_gives_what_it_lists(self, iam: iam_admin_v1.IAMClient, nobody: Identity) -> None:
        role = iam.create_role(
            request={
                "parent": PARENT,
                "role_id": "secretLister",
                "role": {"title": "Lister", "included_permissions": ["secretmanager.secrets.list"]},
            }
        )
        grant(nobody.member, role.name)
        secrets = secretmanager_v1.SecretManagerServiceClient(credentials=nobody.credentials)
        secrets.list_secrets(parent=PARENT)
        iam.delete_role(request={"name": role.name})
        with pytest.raises(exceptions.PermissionDenied):
            secrets.list_secrets(parent=PARENT)

    def test_predefined_ones_tell_their_permissions(self, iam: iam_admin_v1.IAMClient) -> None:
        invoker = iam.get_role(request={"name": "roles/run.invoker"})
        assert list(invoker.included_permissions) == ["run.jobs.run", "run.routes.invoke"]
        assert "roles/artifactregistry.reader" in [role.name for role in iam.list_roles(request={"page_size": 20})]


def test_answers_are_as_googles_documents_say(cloud: LocalCloud, nobody: Identity) -> None:
    iam, manager = "https://iam.googleapis.com/v1", "https://cloudresourcemanager.googleapis.com"
    theirs = f"{iam}/{PARENT}/serviceAccounts/{nobody.email}"
    with rest(cloud) as http:
        for url in [
            f"{iam}/{PARENT}/serviceAccounts",
            theirs,
            f"{theirs}/keys",
            f"{iam}/roles?view=FULL&pageSize=5",
            f"{iam}/roles/run.invoker",
            f"{manager}/v1/{PARENT}",
            f"{manager}/v1/projects?filter=lifecycleState:ACTIVE",
            f"{manager}/v3/{PARENT}",
            f"{manager}/v3/projects:search",
        ]:
            http.get(url).raise_for_status()
        for url in [
            f"{theirs}:getIamPolicy",
            f"{theirs}/keys",
            f"{manager}/v1/{PARENT}:getIamPolicy",
            f"{manager}/v1/{PARENT}:getAncestry",
            f"{manager}/v3/{PARENT}:getIamPolicy",
        ]:
            http.post(url, json={}).raise_for_status()
        asked = {"permissions": ["run.services.get"]}
        for url in (f"{manager}/v1/{PARENT}:testIamPermissions", f"{manager}/v3/{PARENT}:testIamPermissions"):
            assert http.post(url, json=asked).json() == asked
        assert http.checked == 16


def test_a_claimed_email_does_not_make_anybody_someone_else(cloud_env: dict[str, str], nobody: Identity) -> None:
    key: Any = json.loads(nobody.key_file.read_text())
    now = int(time.time())
    claims = {"iss": nobody.email, "sub": nobody.email, "iat": now, "exp": now + 60, "email": "you@example.com"}
    token = jwt.encode(crypt.RSASigner.from_service_account_info(key), claims).decode()
    answer = httpx.get(
        f"https://cloudresourcemanager.googleapis.com/v3/{PARENT}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status_code == 403
