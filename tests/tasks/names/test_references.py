"""Image references are read as registries read them, and written as they were read."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.names import resources
from tasks.names.references import ImageReference, Package

DIGEST = "sha256:" + "0f" * 32
API = Package("acme-prod", "europe-west1", "shop", "api")

_IDS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_PATHS = st.lists(st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?", fullmatch=True), min_size=1, max_size=4).map("/".join)
_HOSTS = st.from_regex(r"([a-z0-9.-]{1,20}(:[0-9]{2,5})?/)?", fullmatch=True)
_TAGS = st.from_regex(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,20})?", fullmatch=True)
_DIGESTS = st.from_regex(r"(sha256:[0-9a-f]{64})?", fullmatch=True)
PACKAGES = st.builds(Package, _IDS, _IDS, _IDS, _PATHS)
REFERENCES = st.builds(ImageReference, st.builds("{}{}".format, _HOSTS, _PATHS), _TAGS, _DIGESTS)


@given(REFERENCES)
def test_a_reference_is_read_back_as_it_was_written(reference: ImageReference) -> None:
    assert ImageReference.parse(str(reference)) == reference


@given(st.text())
def test_any_text_can_be_read_as_a_reference(text: str) -> None:
    ImageReference.parse(text)


@given(PACKAGES)
def test_a_package_is_read_back_from_its_uri_and_from_the_resources_of_its_images(package: Package) -> None:
    assert Package.parse(package.uri) == package
    assert Package.of_image(f"{package.repository}/dockerImages/{quote(package.name, safe='')}@{DIGEST}") == package


@given(PACKAGES, _TAGS, _DIGESTS)
def test_a_reference_into_artifact_registry_knows_its_package(package: Package, tag: str, digest: str) -> None:
    assert ImageReference.parse(str(ImageReference(package.uri, tag, digest))).package == package


@pytest.mark.parametrize(
    ("text", "uri", "tag", "digest"),
    [
        ("nginx", "nginx", "", ""),
        ("nginx:1.27", "nginx", "1.27", ""),
        ("localhost:5000/api", "localhost:5000/api", "", ""),
        ("localhost:5000/api:v1", "localhost:5000/api", "v1", ""),
        (f"{API.uri}:v1.4.0@{DIGEST}", "europe-west1-docker.pkg.dev/acme-prod/shop/api", "v1.4.0", DIGEST),
    ],
)
def test_a_reference_has_a_name_a_tag_and_a_digest(text: str, uri: str, tag: str, digest: str) -> None:
    assert ImageReference.parse(text) == ImageReference(uri, tag, digest)


@pytest.mark.parametrize("uri", ["nginx", "gcr.io/acme/shop/api", "europe-west1-docker.pkg.dev/acme/shop", ""])
def test_what_is_not_in_artifact_registry_has_no_package(uri: str) -> None:
    assert ImageReference(uri, digest=DIGEST).package is None


def test_a_package_is_where_google_says_it_is() -> None:
    assert API.uri == "europe-west1-docker.pkg.dev/acme-prod/shop/api"
    assert API.repository == "projects/acme-prod/locations/europe-west1/repositories/shop"


def test_a_digest_says_which_image_and_the_tag_beside_it_nothing() -> None:
    assert ImageReference("api", "v1", DIGEST).canonical == ImageReference("api", "v2", DIGEST).canonical
    assert ImageReference("api", "v1").canonical != ImageReference("api", "v2").canonical
    assert ImageReference("api", "v1", DIGEST).selector == DIGEST
    assert ImageReference("api", "v1").selector == "v1"
    assert ImageReference("api").selector == "latest"


@given(_IDS, _IDS, _IDS, _IDS)
def test_full_names_are_read_back_as_they_were_made(project: str, region: str, name: str, revision: str) -> None:
    where = {"projects": project, "locations": region}
    service = resources.service(project, region, name)
    assert resources.parts(service) == {**where, "services": name}
    assert resources.parts(resources.job(project, region, name)) == {**where, "jobs": name}
    assert resources.parts(resources.repository(project, region, name)) == {**where, "repositories": name}
    full = resources.revision(service, revision)
    assert resources.parts(full) == {**where, "services": name, "revisions": revision}
    assert resources.last(full) == resources.last(revision) == revision


@pytest.mark.parametrize("name", ["", "api", "projects/acme/services", "projects//services/api"])
def test_what_is_no_full_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the full name of a resource"):
        resources.parts(name)
