"""Artifact Registry's API v1 on the local cloud, over the official client (gRPC) and as checked REST."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import artifactregistry_v1 as ar
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import PARENT, OciClient, image_name, new_repository, rest
from tests.infra.emulator.identities import new_identity

QUICK = Retry(initial=0.01, maximum=0.05, timeout=30)
NOT_FOUND = "Requested entity was not found."


@pytest.fixture
def client(cloud_env: dict[str, str]) -> ar.ArtifactRegistryClient:
    return ar.ArtifactRegistryClient()


@pytest.fixture
def oci(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[OciClient]:
    client = OciClient(cloud)
    with client.http:
        yield client


@pytest.fixture
def web(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Checked]:
    with rest(cloud) as session:
        yield session


@pytest.fixture
def repository(cloud_env: dict[str, str]) -> str:
    return new_repository()


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
    assert not list(client.list_repositories(parent=f"projects/{OTHER_PROJECT}/locations/-"))


# --- images, versions, tags


def test_a_pushed_image_is_a_docker_image_a_version_and_a_tag(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    digest = oci.push(image_name(repository, "team/app"), "v1")
    package = f"{repository}/packages/team%2Fapp"
    (image,) = client.list_docker_images(parent=repository)
    assert image.name == f"{repository}/dockerImages/team%2Fapp@{digest}"
    assert image.uri == f"us-central1-docker.pkg.dev/{image_name(repository, 'team/app')}@{digest}"
    assert list(image.tags) == ["v1"]
    assert image.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert client.get_docker_image(name=image.name) == image
    (version,) = client.list_versions(request={"parent": package, "view": ar.VersionView.FULL})
    assert version.name == f"{package}/versions/{digest}"
    assert version.related_tags == [ar.Tag(name=f"{package}/tags/v1", version=version.name)]
    assert dict(version.metadata) == {
        "name": image.name,
        "imageSizeBytes": str(image.image_size_bytes),
        "mediaType": image.media_type,
        "buildTime": "2026-01-02T03:04:05Z",
    }
    assert client.get_tag(name=f"{package}/tags/v1").version == version.name
    assert [p.name for p in client.list_packages(parent=repository)] == [package]
    assert client.get_repository(name=repository).size_bytes == image.image_size_bytes


def test_tags_are_shown_only_in_the_full_view(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    oci.push(image_name(repository), "v1")
    (version,) = client.list_versions(parent=f"{repository}/packages/app")
    assert not version.related_tags
    assert "imageSizeBytes" in version.metadata


def test_a_tag_that_moves_leaves_its_old_image_untagged(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    old = oci.push(image_name(repository), "latest")
    new = oci.push(image_name(repository), "latest")
    tags = {image.name.rpartition("@")[2]: list(image.tags) for image in client.list_docker_images(parent=repository)}
    assert tags == {old: [], new: ["latest"]}


def test_tags_of_one_version_are_found_by_filter(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    package = f"{repository}/packages/app"
    digest = oci.push(image_name(repository), "v1")
    oci.push(image_name(repository), "v2")
    client.create_tag(parent=package, tag_id="stable", tag=ar.Tag(version=f"{package}/versions/{digest}"), retry=None)
    found = client.list_tags(request={"parent": package, "filter": f'version="{package}/versions/{digest}"'})
    assert [tag.name.rpartition("/")[2] for tag in found] == ["stable", "v1"]


def test_a_tag_is_created_once_and_updated_at_will(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    package = f"{repository}/packages/app"
    one, two = (f"{package}/versions/{oci.push(image_name(repository), tag)}" for tag in ("v1", "v2"))
    with pytest.raises(exceptions.AlreadyExists):
        client.create_tag(parent=package, tag_id="v1", tag=ar.Tag(version=two))
    assert client.update_tag(tag=ar.Tag(name=f"{package}/tags/v1", version=two)).version == two
    client.delete_tag(name=f"{package}/tags/v1")
    with pytest.raises(exceptions.NotFound):
        client.get_tag(name=f"{package}/tags/v1")
    assert client.get_version(name=one).name == one


def test_a_tag_must_name_a_version_that_exists_in_its_own_package(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    digest = oci.push(image_name(repository), "v1")
    oci.push(image_name(repository, "other"), "v1")
    package = f"{repository}/packages/other"
    with pytest.raises(exceptions.NotFound):
        client.create_tag(parent=package, tag_id="t", tag=ar.Tag(version=f"{package}/versions/{digest}"))
    with pytest.raises(exceptions.InvalidArgument):
        elsewhere = ar.Tag(version=f"{repository}/packages/app/versions/{digest}")
        client.create_tag(parent=package, tag_id="t", tag=elsewhere)


Act = Callable[[ar.ArtifactRegistryClient, str, str], object]


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda c, p, _: c.delete_tag(name=f"{p}/tags/v1"), id="delete the tag"),
        pytest.param(lambda c, _, v: c.delete_version(request={"name": v, "force": True}), id="delete its version"),
        pytest.param(
            lambda c, p, _: c.update_tag(
                tag=ar.Tag(name=f"{p}/tags/v1", version=next(v.name for v in c.list_versions(parent=p)))
            ),
            id="move the tag",
        ),
    ],
)
def test_an_immutable_tag_stays_what_it_is(
    client: ar.ArtifactRegistryClient, oci: OciClient, cloud_env: dict[str, str], act: Act
) -> None:
    repository = new_repository(immutable=True)
    package = f"{repository}/packages/app"
    digests = sorted([oci.push(image_name(repository)), oci.push(image_name(repository))])
    tagged = f"{package}/versions/{digests[1]}"  # the list's first version is the other one
    client.create_tag(parent=package, tag_id="v1", tag=ar.Tag(version=tagged))
    with pytest.raises(exceptions.FailedPrecondition, match=r"tag v1\. The repository has enabled tag immutability"):
        act(client, package, tagged)
    assert client.get_tag(name=f"{package}/tags/v1").version == tagged


def test_new_tags_may_be_created_where_tags_are_immutable(
    client: ar.ArtifactRegistryClient, oci: OciClient, cloud_env: dict[str, str]
) -> None:
    repository = new_repository(immutable=True)
    package = f"{repository}/packages/app"
    version = f"{package}/versions/{oci.push(image_name(repository), 'v1')}"
    assert client.create_tag(parent=package, tag_id="v2", tag=ar.Tag(version=version)).version == version


def test_a_tagged_version_is_deleted_only_by_force(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    version = f"{repository}/packages/app/versions/{oci.push(image_name(repository), 'v1')}"
    with pytest.raises(exceptions.FailedPrecondition, match="GOOGLE_MANIFEST_DANGLING_TAG"):
        client.delete_version(name=version)
    client.delete_version(request={"name": version, "force": True}).result(polling=QUICK)
    assert not list(client.list_tags(parent=f"{repository}/packages/app"))
    assert client.get_repository(name=repository).size_bytes == 0


def test_a_child_of_an_index_goes_only_after_the_index(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    name, package = image_name(repository), f"{repository}/packages/app"
    child = oci.push(name)
    index = oci.push_index(name, "v1", {"amd64": child})
    (image,) = [image for image in client.list_docker_images(parent=repository) if image.image_manifests]
    assert [(m.architecture, m.digest) for m in image.image_manifests] == [("amd64", child)]
    with pytest.raises(exceptions.FailedPrecondition, match=f"{child} is referenced by image {index}"):
        client.delete_version(name=f"{package}/versions/{child}")
    client.delete_version(request={"name": f"{package}/versions/{index}", "force": True}).result(polling=QUICK)
    client.delete_version(name=f"{package}/versions/{child}").result(polling=QUICK)
    assert not list(client.list_versions(parent=package))


def test_a_batch_deletes_what_it_can_and_names_the_rest(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    name, package = image_name(repository), f"{repository}/packages/app"
    child, tagged = oci.push(name), oci.push(name, "v1")
    index = oci.push_index(name, "multi", {"amd64": child})
    client.delete_tag(name=f"{package}/tags/multi")
    names = [f"{package}/versions/{digest}" for digest in (child, tagged, index)]
    operation = client.batch_delete_versions(request={"parent": package, "names": names})
    operation.result(polling=QUICK)
    assert list(operation.metadata.failed_versions) == [names[1]]
    assert [version.name for version in client.list_versions(parent=package)] == [names[1]]


def test_a_package_goes_with_its_versions_and_tags(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    oci.push(image_name(repository), "v1")
    other = oci.push(image_name(repository, "app2"), "v1")
    client.delete_package(name=f"{repository}/packages/app").result(polling=QUICK)
    assert [image.name.rpartition("@")[2] for image in client.list_docker_images(parent=repository)] == [other]
    with pytest.raises(exceptions.NotFound):
        client.list_versions(parent=f"{repository}/packages/app")


def test_a_deleted_repository_comes_back_empty(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    oci.push(image_name(repository), "v1")
    client.delete_repository(name=repository).result(polling=QUICK)
    wanted = ar.Repository(format_=ar.Repository.Format.DOCKER)
    client.create_repository(parent=PARENT, repository_id=repository.rpartition("/")[2], repository=wanted).result(
        polling=QUICK
    )
    assert not list(client.list_docker_images(parent=repository))
    assert not list(client.list_packages(parent=repository))


def test_files_are_listed_with_their_owners(client: ar.ArtifactRegistryClient, oci: OciClient, repository: str) -> None:
    digest = oci.push(image_name(repository), "v1")
    owner = f"{repository}/packages/app/versions/{digest}"
    files = list(client.list_files(request={"parent": repository, "filter": f'owner="{owner}"'}))
    assert len(files) == 3
    assert f"{repository}/files/{digest}" in [file.name for file in files]
    assert {file.owner for file in files} == {owner}
    assert all(file.hashes[0].value.hex() == file.name.rpartition(":")[2] for file in files)


# --- lists


def test_pages_follow_each_other_without_gap_or_repetition(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    pushed = {oci.push(image_name(repository), f"v{number}") for number in range(7)}
    pages = list(client.list_docker_images(request={"parent": repository, "page_size": 3}).pages)
    assert [len(page.docker_images) for page in pages] == [3, 3, 1]
    seen = [image.name.rpartition("@")[2] for page in pages for image in page.docker_images]
    assert sorted(seen) == sorted(pushed)


def test_a_page_survives_a_deletion_behind_it(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    digests = sorted(oci.push(image_name(repository)) for _ in range(4))
    first = next(client.list_docker_images(request={"parent": repository, "page_size": 2}).pages)
    client.delete_version(name=f"{repository}/packages/app/versions/{digests[1]}").result(polling=QUICK)
    rest = client.list_docker_images(request={"parent": repository, "page_token": first.next_page_token})
    assert [image.name.rpartition("@")[2] for image in rest] == digests[2:]


@pytest.mark.parametrize(
    "order_by", ["update_time desc", "updateTime desc", "UPDATE_TIME desc", "update_time desc, name"]
)
def test_images_are_ordered_as_asked(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str, order_by: str
) -> None:
    pushed = [oci.push(image_name(repository), f"v{number}") for number in range(3)]
    request = {"parent": repository, "order_by": order_by, "page_size": 2}
    listed = [image.name.rpartition("@")[2] for image in client.list_docker_images(request=request)]
    assert listed == pushed[::-1]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"page_size": -1}, id="negative size"),
        pytest.param({"order_by": "colour"}, id="order by no field"),
        pytest.param({"order_by": "name up"}, id="order in no direction"),
        pytest.param({"filter": "colour=red"}, id="filter by no field"),
    ],
)
def test_a_list_request_that_makes_no_sense_is_refused(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str, request_: dict[str, object]
) -> None:
    oci.push(image_name(repository))
    with pytest.raises(exceptions.InvalidArgument):
        client.list_packages(request={"parent": repository, **request_})


def test_packages_are_filtered_by_name_with_wildcards(
    client: ar.ArtifactRegistryClient, oci: OciClient, repository: str
) -> None:
    for image in ("api", "frontend", "worker"):
        oci.push(image_name(repository, image))

    def found(text: str) -> list[str]:
        packages = client.list_packages(request={"parent": repository, "filter": text})
        return [package.name.rpartition("/")[2] for package in packages]

    assert found(f'name="{repository}/packages/*R*"') == ["frontend", "worker"]
    assert found(f'name="{repository}/packages/api" OR NOT name="*O*"') == ["api"]


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
