"""Artifact Registry's API v1 on the local cloud, over the official client (gRPC) and as checked REST."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.api_core import exceptions
from google.cloud import artifactregistry_v1 as ar
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2

from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import PARENT, QUICK, OciClient, image_name, new_repository, rest
from tests.infra.emulator.identities import new_identity

NOT_FOUND = "Requested entity was not found."


# --- repositories


def test_a_repository_lives_from_creation_to_deletion(client: ar.ArtifactRegistryClient) -> None:
    wanted = ar.Repository(format_=ar.Repository.Format.DOCKER, description="d", labels={"a": "b"})
    operation = client.create_repository(parent=PARENT, repository_id="short-lived", repository=wanted)
    created = operation.result(polling=QUICK)
    assert created.name == f"{PARENT}/repositories/short-lived"
    assert created.mode == ar.Repository.Mode.STANDARD_REPOSITORY
    assert (created.description, dict(created.labels)) == ("d", {"a": "b"})
    assert created.create_time == created.update_time
    assert created.name in [repository.name for repository in client.list_repositories(parent=PARENT)]
    client.delete_repository(name=created.name).result(polling=QUICK)
    with pytest.raises(exceptions.NotFound, match=NOT_FOUND):
        client.get_repository(name=created.name)


def test_only_get_tells_where_the_registry_is(client: ar.ArtifactRegistryClient, repository: str) -> None:
    listed = next(r for r in client.list_repositories(parent=PARENT) if r.name == repository)
    assert listed.registry_uri == ""
    uri = client.get_repository(name=repository).registry_uri
    assert uri == f"us-central1-docker.pkg.dev/{PROJECT}/{repository.rpartition('/')[2]}"


def test_a_repository_that_exists_is_not_created_again(client: ar.ArtifactRegistryClient, repository: str) -> None:
    request = ar.CreateRepositoryRequest(
        parent=PARENT,
        repository_id=repository.rpartition("/")[2],
        repository=ar.Repository(format_=ar.Repository.Format.DOCKER),
    )
    with pytest.raises(exceptions.AlreadyExists, match="the repository already exists"):
        client.create_repository(request)


@pytest.mark.parametrize(
    ("parent", "repository_id", "kind", "error"),
    [
        pytest.param(PARENT, "Upper", "DOCKER", exceptions.InvalidArgument, id="bad id"),
        pytest.param(PARENT, "r", "FORMAT_UNSPECIFIED", exceptions.InvalidArgument, id="no format"),
        pytest.param(
            f"projects/{PROJECT}/locations/moon-1", "r", "DOCKER", exceptions.PermissionDenied, id="no such place"
        ),
        pytest.param(
            "projects/unknown/locations/us-central1", "r", "DOCKER", exceptions.PermissionDenied, id="no such project"
        ),
    ],
)
def test_a_repository_that_cannot_be_is_refused(
    client: ar.ArtifactRegistryClient, parent: str, repository_id: str, kind: str, error: type[Exception]
) -> None:
    wanted = ar.Repository({"format_": kind})
    with pytest.raises(error):
        client.create_repository(parent=parent, repository_id=repository_id, repository=wanted)


def test_an_update_changes_what_its_mask_names_and_nothing_else(
    client: ar.ArtifactRegistryClient, repository: str
) -> None:
    change = ar.Repository(name=repository, description="new", labels={"a": "b"})
    updated = client.update_repository(repository=change, update_mask=field_mask_pb2.FieldMask(paths=["description"]))
    assert (updated.description, dict(updated.labels)) == ("new", {})
    assert updated.update_time != updated.create_time


def test_the_format_of_a_repository_cannot_be_changed(client: ar.ArtifactRegistryClient, repository: str) -> None:
    mask = field_mask_pb2.FieldMask(paths=["format"])
    with pytest.raises(exceptions.InvalidArgument):
        client.update_repository(repository=ar.Repository(name=repository), update_mask=mask)


def test_a_project_may_be_named_by_its_number(cloud: LocalCloud, client: ar.ArtifactRegistryClient) -> None:
    name = new_repository()
    with rest(cloud, "cloudresourcemanager") as projects:
        number = projects.get(f"/v3/projects/{PROJECT}").json()["name"]
    assert client.get_repository(name=name.replace(f"projects/{PROJECT}", number)).name == name


def test_repositories_are_listed_across_locations_with_a_dash(
    client: ar.ArtifactRegistryClient, repository: str
) -> None:
    assert repository in [r.name for r in client.list_repositories(parent=f"projects/{PROJECT}/locations/-")]
    assert not list(client.list_repositories(parent=f"projects/{EMPTY_PROJECT}/locations/-"))


# --- REST


def test_every_rest_answer_is_one_that_google_could_give(web: Checked, oci: OciClient, repository: str) -> None:
    name, base = image_name(repository, "team/app"), f"/v1/{repository}"
    child = oci.push(name, "v1")
    oci.push_index(name, "multi", {"amd64": child})
    package = f"{base}/packages/team%252Fapp"  # gcloud encodes the name's own escapes once more
    paths = [
        f"/v1/projects/{PROJECT}/locations",
        f"/v1beta2/projects/{PROJECT}/locations",
        f"/v1/{PARENT}",
        f"/v1/{PARENT}/repositories?pageSize=1",
        base,
        f"{base}:getIamPolicy",
        f"{base}/dockerImages?orderBy=name",
        f"{base}/dockerImages/team%2Fapp@{child}",
        f"{base}/packages",
        package,
        f"{package}/versions?view=FULL",
        f"{package}/versions/{child}",
        f"{package}/tags",
        f"{package}/tags/v1",
        f"{base}/files",
        f"/v1/projects/{PROJECT}/projectSettings",
    ]
    for path in paths:
        assert web.get(path).status_code == 200, path
    assert web.checked == len(paths)


def test_operations_over_rest_carry_what_google_packs_into_them(web: Checked) -> None:
    body = {"format": "DOCKER", "dockerConfig": {"immutableTags": True}}
    operation = web.post(f"/v1/{PARENT}/repositories?repositoryId=over-rest", json=body).json()
    while not operation.get("done"):
        operation = web.get(f"/v1/{operation['name']}").json()
    assert operation["response"]["name"] == f"{PARENT}/repositories/over-rest"
    patched = web.patch(f"/v1/{PARENT}/repositories/over-rest?updateMask=description", json={"description": "x"})
    assert patched.json()["description"] == "x"
    policy = {"bindings": [{"role": "roles/artifactregistry.reader", "members": ["allUsers"]}]}
    assert web.post(f"/v1/{PARENT}/repositories/over-rest:setIamPolicy", json={"policy": policy}).json()["etag"]
    asked = {"permissions": ["artifactregistry.repositories.get"]}
    held = web.post(f"/v1/{PARENT}/repositories/over-rest:testIamPermissions", json=asked).json()
    assert held == asked
    assert "name" in web.delete(f"/v1/{PARENT}/repositories/over-rest").json()


def test_rest_errors_have_googles_form(web: Checked) -> None:
    answer = web.get(f"/v1/{PARENT}/repositories/none")
    assert answer.json() == {"error": {"code": 404, "message": NOT_FOUND, "status": "NOT_FOUND"}}


# --- who may


def test_a_caller_without_a_role_is_told_which_permission_is_missing(
    client: ar.ArtifactRegistryClient, tmp_path: Path
) -> None:
    stranger = ar.ArtifactRegistryClient(credentials=new_identity(tmp_path).credentials)
    with pytest.raises(exceptions.PermissionDenied) as caught:
        stranger.create_repository(parent=PARENT, repository_id="r", repository=ar.Repository())
    assert caught.value.reason == "IAM_PERMISSION_DENIED"
    assert caught.value.domain == "artifactregistry.googleapis.com"
    assert caught.value.metadata == {"permission": "artifactregistry.repositories.create", "resource": PARENT}
    assert caught.value.message == (
        "Permission 'artifactregistry.repositories.create' denied on resource "
        f"'//artifactregistry.googleapis.com/{PARENT}' (or it may not exist)."
    )


def test_a_role_on_one_repository_opens_that_one_alone(
    client: ar.ArtifactRegistryClient, repository: str, tmp_path: Path
) -> None:
    identity = new_identity(tmp_path)
    binding = policy_pb2.Binding(role="roles/artifactregistry.reader", members=[identity.member])
    policy = client.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=repository))
    policy.bindings.append(binding)
    client.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=repository, policy=policy))
    reader = ar.ArtifactRegistryClient(credentials=identity.credentials)
    assert reader.get_repository(name=repository).name == repository
    with pytest.raises(exceptions.PermissionDenied):
        reader.get_repository(name=new_repository())
    asked = ["artifactregistry.repositories.get", "artifactregistry.repositories.delete"]
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=repository, permissions=asked)
    assert list(reader.test_iam_permissions(request).permissions) == asked[:1]
