"""The platform services and Cloud Storage under the real gcloud, which nobody here wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")

Gcloud = Callable[..., Any]


@pytest.fixture
def attempt(cloud: LocalCloud, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["gcloud", *arguments, "--quiet", "--format=json"]
        return subprocess.run(
            command, env=cloud.env, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def gcloud(attempt: Callable[..., subprocess.CompletedProcess[str]]) -> Gcloud:
    """Runs a command that must succeed, and answers what it prints (parsed when that is JSON)."""

    def run(*arguments: str) -> Any:
        done = attempt(*arguments)
        assert done.returncode == 0, done.stderr
        try:
            return json.loads(done.stdout or "null")
        except ValueError:
            return done.stdout

    return run


def test_storage_round_trip(gcloud: Gcloud, tmp_path: Path) -> None:
    small, large = b"hello\r\n--==\n", os.urandom(9 << 20)  # the latter takes gcloud's resumable upload
    (tmp_path / "small").write_bytes(small)
    (tmp_path / "large").write_bytes(large)
    gcloud("storage", "buckets", "create", "gs://gcloud-bucket", "--location=europe-west1")
    gcloud("storage", "cp", "small", "large", "gs://gcloud-bucket/dir/")
    listed = gcloud("storage", "objects", "list", "gs://gcloud-bucket/dir/**")
    assert [item["name"] for item in listed] == ["dir/large", "dir/small"]
    (tmp_path / "back").mkdir()
    gcloud("storage", "cp", "gs://gcloud-bucket/dir/*", "back")
    assert ((tmp_path / "back/small").read_bytes(), (tmp_path / "back/large").read_bytes()) == (small, large)
    assert gcloud("storage", "cat", "--range=0-4", "gs://gcloud-bucket/dir/small").startswith("hello")
    gcloud("storage", "mv", "gs://gcloud-bucket/dir/small", "gs://gcloud-bucket/moved")
    assert gcloud("storage", "objects", "describe", "gs://gcloud-bucket/moved")["size"] == len(small)
    gcloud("storage", "rm", "-r", "gs://gcloud-bucket")
    assert "gcloud-bucket" not in [bucket["name"] for bucket in gcloud("storage", "buckets", "list")]


def test_a_foreign_bucket_name_is_refused_in_googles_words(
    gcloud: Gcloud, attempt: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    gcloud("storage", "buckets", "create", "gs://gcloud-taken")
    again = attempt("storage", "buckets", "create", "gs://gcloud-taken", f"--project={OTHER_PROJECT}")
    assert (again.returncode, "The requested bucket name is not available." in again.stderr) == (1, True)


def test_bucket_settings_and_policy(gcloud: Gcloud) -> None:
    gcloud("storage", "buckets", "create", "gs://gcloud-settings", "--uniform-bucket-level-access")
    gcloud("storage", "buckets", "update", "gs://gcloud-settings", "--update-labels=app=storefront", "--versioning")
    found = gcloud("storage", "buckets", "describe", "gs://gcloud-settings")
    assert (found["labels"], found["versioning_enabled"], found["uniform_bucket_level_access"]) == (
        {"app": "storefront"},
        True,
        True,
    )
    policy = gcloud(
        "storage", "buckets", "add-iam-policy-binding", "gs://gcloud-settings",
        "--member=allUsers", "--role=roles/storage.objectViewer",
    )  # fmt: skip
    assert {"members": ["allUsers"], "role": "roles/storage.objectViewer"} in policy["bindings"]


def test_services(gcloud: Gcloud, attempt: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    gcloud("services", "disable", "monitoring.googleapis.com", f"--project={OTHER_PROJECT}")
    gcloud("services", "enable", "monitoring.googleapis.com", "eventarc.googleapis.com", f"--project={OTHER_PROJECT}")
    enabled = gcloud("services", "list", "--enabled", f"--project={OTHER_PROJECT}")
    names = [service["config"]["name"] for service in enabled]
    assert {"run.googleapis.com", "monitoring.googleapis.com", "eventarc.googleapis.com"} <= set(names)
    refused = attempt("services", "enable", "nonsense.googleapis.com")
    assert "Not found or permission denied for service(s): nonsense.googleapis.com" in refused.stderr


def test_projects_and_their_policy(gcloud: Gcloud) -> None:
    found = gcloud("projects", "describe", PROJECT)
    assert (found["projectId"], found["lifecycleState"]) == (PROJECT, "ACTIVE")
    assert {PROJECT, OTHER_PROJECT} <= {project["projectId"] for project in gcloud("projects", "list")}
    member, role = "user:gcloud@example.com", "roles/run.viewer"
    for policy in (
        gcloud("projects", "add-iam-policy-binding", PROJECT, f"--member={member}", f"--role={role}"),
        gcloud("projects", "get-iam-policy", PROJECT),
    ):
        (binding,) = [binding for binding in policy["bindings"] if binding["role"] == role]
        assert member in binding["members"]


def test_service_accounts_act_with_their_keys(
    gcloud: Gcloud, attempt: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    gcloud("iam", "service-accounts", "create", "gcloud-made", "--display-name=Made by gcloud")
    email = f"gcloud-made@{PROJECT}.iam.gserviceaccount.com"
    gcloud("iam", "service-accounts", "keys", "create", "key.json", f"--iam-account={email}")
    assert json.loads((tmp_path / "key.json").read_text())["client_email"] == email
    assert email in [account["email"] for account in gcloud("iam", "service-accounts", "list")]
    creator = ("--member=user:you@example.com", "--role=roles/iam.serviceAccountTokenCreator")
    gcloud("iam", "service-accounts", "add-iam-policy-binding", email, *creator)
    token = gcloud("auth", "print-identity-token", f"--impersonate-service-account={email}", "--audiences=https://x")
    assert token["id_token"].count(".") == 2
    refused = attempt("secrets", "list", f"--impersonate-service-account={email}")
    assert (refused.returncode, "secretmanager.secrets.list" in refused.stderr) == (1, True)
    gcloud("iam", "service-accounts", "delete", email)


def test_secrets(gcloud: Gcloud, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("s3cret")
    gcloud("secrets", "create", "gcloud-secret", "--replication-policy=automatic", "--data-file=value")
    assert gcloud("secrets", "versions", "access", "latest", "--secret=gcloud-secret")["payload"]["data"]
    gcloud("secrets", "versions", "disable", "1", "--secret=gcloud-secret")
    (version,) = gcloud("secrets", "versions", "list", "gcloud-secret")
    assert version["state"] == "DISABLED"
    gcloud("secrets", "delete", "gcloud-secret")


def test_gateways_and_keys(
    gcloud: Gcloud, attempt: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = {"get": {"operationId": "root", "responses": {"200": {"description": "fine"}}}}
    said = {"swagger": "2.0", "info": {"title": "Hello", "version": "1"}, "paths": {"/": path}}
    (tmp_path / "good.json").write_text(json.dumps(said))
    (tmp_path / "bad.json").write_text(json.dumps(said | {"paths": {"/a/": path}}))
    create = ("api-gateway", "api-configs", "create")
    refused = attempt(*create, "bad", "--api=gcloud-api", "--openapi-spec=bad.json")  # makes the API, too
    assert "unexpected end of input" in refused.stderr
    gcloud(*create, "good", "--api=gcloud-api", "--openapi-spec=good.json")
    made = ("gcloud-gateway", "--location=us-central1")
    gcloud("api-gateway", "gateways", "create", *made, "--api=gcloud-api", "--api-config=good")
    found = gcloud("api-gateway", "gateways", "describe", *made)
    assert (found["state"], found["defaultHostname"].endswith(".uc.gateway.dev")) == ("ACTIVE", True)
    keys = ("services", "api-keys")
    gcloud(
        *keys, "create", "--key-id=gcloud-key", "--display-name=By gcloud", "--api-target=service=run.googleapis.com"
    )
    name = f"projects/{PROJECT}/locations/global/keys/gcloud-key"
    assert len(gcloud(*keys, "get-key-string", name)["keyString"]) == 39
    gcloud(*keys, "delete", name)
    gcloud(*keys, "undelete", name)


def test_logs(gcloud: Gcloud) -> None:
    gcloud("logging", "write", "gcloud-log", "it went wrong", "--severity=ERROR")
    (entry,) = gcloud("logging", "read", 'logName:gcloud-log AND severity>=WARNING AND textPayload:"WRONG"')
    assert (entry["textPayload"], entry["severity"]) == ("it went wrong", "ERROR")


def test_billing_and_organisation_policies(gcloud: Gcloud, tmp_path: Path) -> None:
    assert gcloud("billing", "projects", "describe", PROJECT)["billingEnabled"]
    constraint = "iam.disableServiceAccountKeyCreation"
    spec = {"name": f"projects/{OTHER_PROJECT}/policies/{constraint}", "spec": {"rules": [{"enforce": True}]}}
    (tmp_path / "policy.json").write_text(json.dumps(spec))
    gcloud("org-policies", "set-policy", "policy.json")
    found = gcloud("org-policies", "describe", constraint, "--effective", f"--project={OTHER_PROJECT}")
    assert found["spec"]["rules"] == [{"enforce": True}]
    gcloud("org-policies", "delete", constraint, f"--project={OTHER_PROJECT}")


def test_gcloud_connects_to_a_git_host_with_a_token_that_is_a_secret(gcloud: Gcloud) -> None:
    """https://cloud.google.com/build/docs/automating-builds/github/connect-repo-github?generation=2nd-gen"""
    token, place = f"projects/{PROJECT}/secrets/git/versions/1", "--region=europe-north1"
    created = ("--authorizer-token-secret-version", token, "--app-installation-id", "7")
    gcloud("builds", "connections", "create", "github", "code", place, *created)
    (found,) = gcloud("builds", "connections", "list", place)
    assert found["githubConfig"]["authorizerCredential"]["oauthTokenSecretVersion"] == token
    assert gcloud("builds", "connections", "describe", "code", place)["installationState"]["stage"] == "COMPLETE"
    gcloud("builds", "connections", "delete", "code", place)
    assert gcloud("builds", "connections", "list", place) == []
