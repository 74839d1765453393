"""What Cloud Build is asked to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from google.cloud.devtools import cloudbuild_v1
from google.protobuf import json_format
from hypothesis import example, given
from hypothesis import strategies as st

from infra.emulator.builds.filters import parse
from infra.emulator.builds.substitutions import check, substitute
from tasks.builds.build import built_alike
from tasks.builds.earlier import reusable_digest
from tasks.builds.recipe import UNDER_WAY, Recipe, adoptable, build_body, earlier_images
from tasks.failures.errors import TagTaken
from tasks.manifest.settings import BuildSettings
from tasks.names.references import Package
from tests.tasks.builders import a_request

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


@pytest.mark.parametrize(
    ("status", "going_on"),
    [
        *((name, True) for name in ("PENDING", "QUEUED", "WORKING")),
        *((name, False) for name in ("SUCCESS", "FAILURE", "INTERNAL_ERROR", "TIMEOUT", "CANCELLED", "EXPIRED")),
    ],
)
def test_a_build_that_has_not_ended_is_under_way_also_before_it_waits_in_the_queue(
    status: str, *, going_on: bool
) -> None:
    assert parse(UNDER_WAY)(cloudbuild_v1.Build.pb()(status=status)) is going_on


def test_a_build_runs_as_the_account_that_the_environment_names_and_else_as_google_chooses() -> None:
    assert "serviceAccount" not in build_body(RECIPE, 17)
    body = build_body(replace(RECIPE, account="builder@acme-builds.iam.gserviceaccount.com"), 17)
    assert body["serviceAccount"] == "projects/acme-builds/serviceAccounts/builder@acme-builds.iam.gserviceaccount.com"
    assert (body["options"]["logging"], body["logsBucket"]) == ("GCS_ONLY", "gs://acme-prod-slipway/logs")
    compute = build_body(replace(RECIPE, account="42-compute@developer.gserviceaccount.com"), 17)
    assert compute["serviceAccount"] == "projects/acme-prod/serviceAccounts/42-compute@developer.gserviceaccount.com"


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


def test_the_provenance_is_to_tell_the_commit() -> None:
    body = build_body(replace(RECIPE, commit="a" * 40), 17)
    assert (body["substitutions"], body["options"]["substitutionOption"]) == ({"COMMIT_SHA": "a" * 40}, "ALLOW_LOOSE")
    check(json_format.ParseDict(body, cloudbuild_v1.Build.pb()()))  # by Cloud Build's own rules
    assert "substitutions" not in build_body(RECIPE, 17)


def test_without_a_dockerfile_buildpacks_build_the_service() -> None:
    step = build_body(replace(RECIPE, dockerfile=None), 1)["steps"][0]
    assert step["name"] == "gcr.io/k8s-skaffold/pack"
    assert step["args"][-2:] == ["--env", "FLAVOUR=dark"]


@pytest.mark.parametrize("dockerfile", ["docker/$PROJECT_ID/Dockerfile", None])
@given(value=st.text("$ABC_{}a1 ", max_size=12))
@example("$PROJECT_ID")
@example("$$")
@example("${_NAME}")
@example("$NAME")
def test_what_is_written_in_slipway_yaml_reaches_the_builder_as_it_is(dockerfile: str | None, value: str) -> None:
    recipe = replace(RECIPE, dockerfile=dockerfile, settings=BuildSettings(args={"VALUE": value}))
    step = build_body(recipe, 1)["steps"][0]
    build = cloudbuild_v1.Build.pb(cloudbuild_v1.Build(steps=[{"name": step["name"], "args": step["args"]}]))
    check(build)
    substitute(build, {"PROJECT_ID": "acme-prod"})
    assert f"VALUE={value}" in build.steps[0].args
    assert dockerfile is None or dockerfile in build.steps[0].args


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


def test_whoever_packs_the_same_with_another_zlib_finds_its_image() -> None:
    """A version that was built was refused as one of other content, by a worker with zlib-ng."""
    here, there = (replace(RECIPE, source_sha256=packed, content_sha256="tar") for packed in ("zlib", "zlib-ng"))
    assert here.content_tag == there.content_tag
    assert here.former_tag == replace(RECIPE, source_sha256="zlib").content_tag != there.former_tag


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


def test_a_build_for_several_services_is_one_step_that_names_the_image_for_each() -> None:
    worker = replace(RECIPE.package, name="worker")
    both = replace(RECIPE, also=(worker,))
    body = build_body(both, 1)
    names = [f"{package.uri}:{tag}" for package in (RECIPE.package, worker) for tag in ("v1.4.0", both.content_tag)]
    assert body["images"] == names
    (step,) = body["steps"]
    assert [step["args"][at + 1] for at, word in enumerate(step["args"]) if word == "--tag"] == names
    assert {"service-api", "service-worker"} <= set(body["tags"])
    packed = build_body(replace(both, dockerfile=None), 1)
    assert [word for word in packed["steps"][0]["args"][1:8] if word != "--tag"] == packed["images"]
    assert both.content_tag == RECIPE.content_tag
    assert adoptable(both).endswith(f'images="{names[0]}" AND images="{names[2]}"')
    assert both.only([worker]) == replace(RECIPE, service="worker", package=worker)


def test_a_stage_secrets_and_a_pool_are_asked_for_in_cloud_builds_words() -> None:
    secrets = {"npm": "npm-token", "pip": "projects/acme-ops/secrets/pip:3"}
    settings = BuildSettings.model_validate({"target": "runtime", "secrets": secrets, "worker_pool": "private"})
    body = build_body(replace(RECIPE, settings=settings), 1)
    assert body["availableSecrets"] == {
        "secretManager": [
            {"versionName": "projects/acme-prod/secrets/npm-token/versions/latest", "env": "BUILD_SECRET_1"},
            {"versionName": "projects/acme-ops/secrets/pip/versions/3", "env": "BUILD_SECRET_2"},
        ]
    }
    (step,) = body["steps"]
    assert step["secretEnv"] == ["BUILD_SECRET_1", "BUILD_SECRET_2"]
    said = " ".join(step["args"])
    assert "--target runtime --secret id=npm,env=BUILD_SECRET_1 --secret id=pip,env=BUILD_SECRET_2" in said
    assert body["options"]["pool"] == {"name": "projects/acme-prod/locations/europe-west1/workerPools/private"}
    full = "projects/acme-ops/locations/europe-west1/workerPools/shared"
    other = build_body(replace(RECIPE, settings=BuildSettings(worker_pool=full)), 1)
    assert other["options"]["pool"] == {"name": full}
    cloudbuild_v1.Build.from_json(json.dumps(body))  # that Google's client knows all these fields


def test_another_stage_or_secret_makes_another_image_and_a_pool_does_not() -> None:
    def tag(**settings: Any) -> str:
        return replace(RECIPE, settings=BuildSettings.model_validate(settings)).content_tag

    usual = tag()
    assert len({usual, tag(target="a"), tag(target="b"), tag(secrets={"npm": "a"})}) == 4
    assert tag(worker_pool="private") == tag(machine_type="E2_HIGHCPU_8") == usual


def test_services_of_one_source_that_are_built_alike_share_a_build() -> None:
    text = """
app: shop
services:
  api: {source: ., dockerfile: api.Dockerfile}
  web: {source: ., dockerfile: web.Dockerfile}
  worker: {source: ., dockerfile: api.Dockerfile, command: [work]}
  admin: {source: ., dockerfile: api.Dockerfile, build: {args: {MODE: admin}}}
  proxy: {image: nginx}
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""
    request = a_request(text=text)
    assert built_alike(request) == [("api", "worker"), ("web",), ("admin",)]
    assert built_alike(replace(request, builds=False)) == []
