"""Images in Artifact Registry's API: packages, versions, tags and files, and how they are listed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.api_core import exceptions
from google.cloud import artifactregistry_v1 as ar

from tests.infra.emulator.emulated_registry import PARENT, QUICK, OciClient, image_name, new_repository

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
