"""Lists over several pages: whole, or an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import artifactregistry_v1 as ar

from infra.gcp.artifacts.images import list_images, read_manifest
from infra.gcp.calls.clients import client
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OciClient, image_name, new_repository

pytestmark = pytest.mark.usefixtures("cloud_env")


@pytest.fixture
def pushed(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[tuple[str, list[str], OciClient]]:
    """A repository with five images."""
    repository = new_repository()
    oci = OciClient(cloud, base_url=f"https://{HOST}")
    yield repository, [oci.push(image_name(repository), f"v{n}") for n in range(5)], oci
    oci.http.close()
    cloud.put("/faults", [])


async def digests(repository: str, page_size: int) -> list[str]:
    method = client(ar.ArtifactRegistryAsyncClient).list_docker_images
    request = {"parent": repository, "page_size": page_size}
    found = each("artifactregistry.dockerImages.list", method, request, "docker_images")
    return [image.name.rpartition("@")[2] async for image in found]


@pytest.mark.parametrize("page_size", [1, 2, 5, 100])
async def test_pages_of_any_size_make_the_whole_list(pushed: tuple[str, list[str], OciClient], page_size: int) -> None:
    repository, images, _ = pushed
    assert sorted(await digests(repository, page_size)) == sorted(images)


async def test_a_500_on_the_third_page_is_an_error_and_not_a_shorter_list(
    pushed: tuple[str, list[str], OciClient], cloud: LocalCloud
) -> None:
    cloud.put("/faults", [{"method": "*/ListDockerImages", "code": "INTERNAL", "skip": 2}])
    with pytest.raises(GoogleError, match="INTERNAL"):
        await digests(pushed[0], 1)


async def test_a_page_that_fails_once_is_asked_for_again(
    pushed: tuple[str, list[str], OciClient], cloud: LocalCloud
) -> None:
    cloud.put("/faults", [{"method": "*/ListDockerImages", "code": "UNAVAILABLE", "skip": 2, "times": 1}])
    assert len(await digests(pushed[0], 1)) == 5


async def test_an_index_says_what_it_consists_of(pushed: tuple[str, list[str], OciClient]) -> None:
    repository, images, oci = pushed
    index = oci.push_index(image_name(repository), "multi", {"amd64": images[0], "arm64": images[1]})
    (found,) = [image async for image in list_images(repository) if image.is_index]
    assert (found.digest, found.children) == (index, tuple(images[:2]))
    manifest = await read_manifest(found)
    assert [child["digest"] for child in manifest["manifests"]] == images[:2]
