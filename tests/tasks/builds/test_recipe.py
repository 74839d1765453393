"""What Cloud Build is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.builds.build import reusable_digest
from tasks.builds.recipe import Recipe, adoptable, build_body, earlier_images
from tasks.failures.errors import TagTaken
from tasks.manifest.settings import BuildSettings
from tasks.names.references import Package

RECIPE = Recipe(
    app="shop",
    service="api",
    package=Package("acme-prod", "europe-west1", "shop", "api"),
    tag="v1.4.0",
    bucket="acme-prod-slipway",
    source_object="sources/shop/api/abc.tar.gz",
    source_sha256="abc",
    dockerfile="Dockerfile",
    settings=BuildSettings(machine_type="E2_HIGHCPU_8", args={"FLAVOUR": "dark"}),
    run_id="run-1",
)


def test_a_build_is_asked_for_whole() -> None:
    content = RECIPE.content_tag
    assert build_body(RECIPE, 17) == {
        "source": {
            "storageSource": {
                "bucket": "acme-prod-slipway",
                "object": "sources/shop/api/abc.tar.gz",
                "generation": "17",
            }
        },
        "steps": [
            {
                "id": "build api",
                "name": "gcr.io/cloud-builders/docker",
                "args": [
                    *("build", "--file", "Dockerfile"),
                    *("--tag", "europe-west1-docker.pkg.dev/acme-prod/shop/api:v1.4.0"),
                    *("--tag", f"europe-west1-docker.pkg.dev/acme-prod/shop/api:{content}"),
                    *("--build-arg", "FLAVOUR=dark", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "."),
                ],
                "env": ["DOCKER_BUILDKIT=1"],
                "timeout": "600s",
            }
        ],
        "images": [f"{RECIPE.uri}:v1.4.0", f"{RECIPE.uri}:{content}"],
        "timeout": "1200s",
        "queueTtl": "600s",
        "logsBucket": "gs://acme-prod-slipway/logs",
        "options": {"logging": "GCS_ONLY", "machineType": "E2_HIGHCPU_8"},
        "tags": ["slipway", "app-shop", "service-api", "run-run-1", content],
    }


def test_without_a_dockerfile_buildpacks_build_the_service() -> None:
    step = build_body(replace(RECIPE, dockerfile=None), 1)["steps"][0]
    assert step["name"] == "gcr.io/k8s-skaffold/pack"
    assert step["args"][-2:] == ["--env", "FLAVOUR=dark"]


def test_latest_appears_nowhere_in_a_build() -> None:
    for recipe in (RECIPE, replace(RECIPE, dockerfile=None), replace(RECIPE, cache_from="x@sha256:1")):
        assert "latest" not in str(build_body(recipe, 1))


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, source_sha256="other"),
        replace(RECIPE, dockerfile="Dockerfile.slim"),
        replace(RECIPE, dockerfile=None),
        replace(RECIPE, settings=BuildSettings(args={"FLAVOUR": "light"})),
    ],
    ids=["source", "dockerfile", "builder", "arguments"],
)
def test_whatever_changes_the_image_changes_its_content_tag(other: Recipe) -> None:
    assert other.content_tag != RECIPE.content_tag


def test_version_run_and_machine_do_not_change_the_content_tag() -> None:
    other = replace(RECIPE, tag="v2.0.0", run_id="run-2", settings=BuildSettings(args={"FLAVOUR": "dark"}))
    assert other.content_tag == RECIPE.content_tag


def test_only_a_build_of_the_same_content_under_the_same_version_is_adopted() -> None:
    assert RECIPE.content_tag in adoptable(RECIPE)
    assert f"{RECIPE.uri}:{RECIPE.tag}" in adoptable(RECIPE)


def test_the_cache_is_looked_for_among_earlier_images_of_the_same_package_newest_first() -> None:
    elsewhere = RECIPE.uri.replace("/shop/", "/staging/")
    newest = Built(
        {f"{RECIPE.uri}:v1.3.0": "sha256:3", f"{RECIPE.uri}:src-3": "sha256:3", f"{elsewhere}:v1": "sha256:0"}
    )
    before = Built({f"{RECIPE.uri}:v1.2.0": "sha256:2", f"{RECIPE.uri}-admin:v1.2.0": "sha256:1"})
    found = earlier_images(RECIPE, [newest, before])
    assert [(image.uri, image.tag) for image in found] == [(RECIPE.uri, "v1.3.0"), (RECIPE.uri, "v1.2.0")]


def test_a_build_takes_layers_from_the_cache_it_is_given_and_tells_its_own() -> None:
    plain, cached = (
        build_body(recipe, 1)["steps"][0] for recipe in (RECIPE, replace(RECIPE, cache_from="api@sha256:1"))
    )
    assert cached["args"] == [*plain["args"][:-1], "--cache-from", "api@sha256:1", "."]
    assert "BUILDKIT_INLINE_CACHE=1" in plain["args"]
    assert "DOCKER_BUILDKIT=1" in plain["env"]


@dataclass(frozen=True)
class Built:
    digests: Mapping[str, str]


digests = st.none() | st.sampled_from(["sha256:1", "sha256:2"])


@given(by_version=digests, by_content=digests)
def test_a_version_never_comes_to_name_other_content(by_version: str | None, by_content: str | None) -> None:
    if by_version is not None and by_version != by_content:
        with pytest.raises(TagTaken):
            reusable_digest(RECIPE, by_version, by_content)
    else:
        assert reusable_digest(RECIPE, by_version, by_content) == (by_content or "")
