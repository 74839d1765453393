"""Secret Manager on the local cloud, over the official client."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud import resourcemanager_v3, secretmanager_v1
from google.iam.v1 import iam_policy_pb2

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import rest
from tests.infra.emulator.identities import new_identity

PARENT = f"projects/{PROJECT}"
_numbers = itertools.count(1)


def new_secret(secret_id: str) -> dict[str, Any]:
    return {"parent": PARENT, "secret_id": secret_id, "secret": {"replication": {"automatic": {}}}}


@pytest.fixture
def client(cloud_env: dict[str, str]) -> secretmanager_v1.SecretManagerServiceClient:
    return secretmanager_v1.SecretManagerServiceClient()


@pytest.fixture
def secret(client: secretmanager_v1.SecretManagerServiceClient) -> secretmanager_v1.Secret:
    return client.create_secret(request=new_secret(f"secret-{next(_numbers)}"))


def test_names_carry_the_projects_number(secret: secretmanager_v1.Secret) -> None:
    project = resourcemanager_v3.ProjectsClient().get_project(name=PARENT)
    assert secret.name.startswith(f"{project.name}/secrets/")


def test_the_latest_version_is_the_last_one_added(
    client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret
) -> None:
    for number in range(1, 12):
        version = client.add_secret_version(request={"parent": secret.name, "payload": {"data": f"v{number}".encode()}})
        assert version.name == f"{secret.name}/versions/{number}"
    latest = client.access_secret_version(name=f"{secret.name}/versions/latest")
    assert (latest.name, latest.payload.data) == (f"{secret.name}/versions/11", b"v11")
    assert latest.payload.data_crc32c == google_crc32c.value(b"v11")
    assert client.access_secret_version(name=f"{secret.name}/versions/2").payload.data == b"v2"
    numbers = [
        v.name.rsplit("/", 1)[1] for v in client.list_secret_versions(request={"parent": secret.name, "page_size": 4})
    ]
    assert numbers == [str(number) for number in range(11, 0, -1)]


def test_only_an_enabled_version_is_given_out(
    client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret
) -> None:
    version = client.add_secret_version(request={"parent": secret.name, "payload": {"data": b"x"}})
    client.disable_secret_version(name=version.name)
    with pytest.raises(exceptions.FailedPrecondition, match="is in DISABLED state"):
        client.access_secret_version(name=version.name)
    client.enable_secret_version(name=version.name)
    assert client.access_secret_version(name=version.name).payload.data == b"x"
    destroyed = client.destroy_secret_version(name=version.name)
    assert destroyed.state == secretmanager_v1.SecretVersion.State.DESTROYED
    with pytest.raises(exceptions.FailedPrecondition, match="is in DESTROYED state"):
        client.enable_secret_version(name=version.name)


def test_what_is_missing_is_named(
    client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret
) -> None:
    with pytest.raises(exceptions.NotFound, match="not found or has no versions"):
        client.access_secret_version(name=f"{secret.name}/versions/latest")
    with pytest.raises(exceptions.NotFound, match=r"Secret Version \[.*/versions/7\] not found"):
        client.access_secret_version(name=f"{secret.name}/versions/7")
    client.delete_secret(name=secret.name)
    with pytest.raises(exceptions.NotFound, match=rf"Secret \[{secret.name}\] not found"):
        client.get_secret(name=secret.name)


def test_a_secret_is_made_once_and_changed_against_its_etag(
    client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret
) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        client.create_secret(request=new_secret(secret.name.rsplit("/", 1)[1]))
    old = secretmanager_v1.Secret(secret)
    secret.labels["app"] = "storefront"
    changed = client.update_secret(request={"secret": secret, "update_mask": {"paths": ["labels"]}})
    assert changed.labels == {"app": "storefront"}
    with pytest.raises(exceptions.Aborted):
        client.update_secret(request={"secret": old, "update_mask": {"paths": ["labels"]}})
    found = client.list_secrets(request={"parent": PARENT, "filter": "labels.app=storefront"})
    assert [item.name for item in found] == [secret.name]


def test_secrets_and_versions_are_found_by_filters(client: secretmanager_v1.SecretManagerServiceClient) -> None:
    for name in ("filter-a", "filter-b", "filter-c"):
        client.create_secret(request=new_secret(name))
    parent = f"{PARENT}/secrets/filter-a"
    for _ in range(3):
        client.add_secret_version(request={"parent": parent, "payload": {"data": b"x"}})
    client.disable_secret_version(name=f"{parent}/versions/2")

    def found(text: str) -> list[str]:
        return [s.name.rsplit("/", 1)[1] for s in client.list_secrets(request={"parent": PARENT, "filter": text})]

    def versions(text: str) -> list[str]:
        listed = client.list_secret_versions(request={"parent": parent, "filter": text})
        return [version.name.rsplit("/", 1)[1] for version in listed]

    assert found('name:"filter-a" OR name:filter-b') == ["filter-a", "filter-b"]
    assert found("name:filter- AND NOT name:filter-b") == ["filter-a", "filter-c"]
    assert versions("state:ENABLED") == ["3", "1"]
    assert versions("state=disabled") == ["2"]
    with pytest.raises(exceptions.InvalidArgument, match='Invalid filter: colour="red" is not known'):
        found("colour=red")
    with pytest.raises(exceptions.InvalidArgument, match="Invalid filter: syntax error"):
        versions("state:")


@pytest.mark.parametrize(
    ("payload", "problem"),
    [({"data": b"x" * 65_537}, "65536 bytes"), ({"data": b"x", "data_crc32c": 1}, "checksum")],
    ids=["too large", "damaged"],
)
def test_a_bad_payload_is_refused(
    client: secretmanager_v1.SecretManagerServiceClient,
    secret: secretmanager_v1.Secret,
    payload: dict[str, object],
    problem: str,
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=problem):
        client.add_secret_version(request={"parent": secret.name, "payload": payload})


def test_who_may_see_secrets_may_not_read_them(
    client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret, tmp_path: Path
) -> None:
    client.add_secret_version(request={"parent": secret.name, "payload": {"data": b"x"}})
    viewer = new_identity(tmp_path, ["roles/secretmanager.viewer"])
    theirs = secretmanager_v1.SecretManagerServiceClient(credentials=viewer.credentials)
    theirs.get_secret(name=secret.name)
    with pytest.raises(exceptions.PermissionDenied, match=r"secretmanager\.versions\.access"):
        theirs.access_secret_version(name=f"{secret.name}/versions/latest")
    policy = client.get_iam_policy(request={"resource": secret.name})
    policy.bindings.add(role="roles/secretmanager.secretAccessor", members=[viewer.member])
    client.set_iam_policy(request=iam_policy_pb2.SetIamPolicyRequest(resource=secret.name, policy=policy))
    assert theirs.access_secret_version(name=f"{secret.name}/versions/latest").payload.data == b"x"


def test_answers_are_as_googles_document_says(
    cloud: LocalCloud, client: secretmanager_v1.SecretManagerServiceClient, secret: secretmanager_v1.Secret
) -> None:
    client.add_secret_version(request={"parent": secret.name, "payload": {"data": b"x"}})
    api = "https://secretmanager.googleapis.com/v1"
    with rest(cloud) as http:
        for path in ["", "/versions", "/versions/latest", "/versions/1:access", ":getIamPolicy"]:
            http.get(f"{api}/{secret.name}{path}").raise_for_status()
        http.get(f"{api}/{PARENT}/secrets").raise_for_status()
        assert http.checked == 6
