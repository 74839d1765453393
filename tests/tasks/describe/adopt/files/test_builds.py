"""What files build, and what a service's image is built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import yaml

from tasks.describe.adopt.files.builds import builds_of_document, builds_of_script, same_image
from tasks.describe.adopt.files.placed import placed
from tasks.describe.adopt.seen import Built, Seen
from tasks.describe.proposal import Found

CLOUD_BUILD = """\
substitutions:
  _REPO: eu-docker.pkg.dev/$PROJECT_ID/$_NAME
  _NAME: shop
  _URL: https://shop.example
steps:
- name: gcr.io/cloud-builders/docker
  dir: apps/site
  args: [build, --build-arg, "URL=${_URL}", --build-arg, "KEY=$_KEY", -t, "${_REPO}/site:$SHORT_SHA", .]
- name: gcr.io/cloud-builders/docker
  args: [buildx, build, --push, -f, apps/api/Dockerfile, --target=run, "--tag=${_REPO}/api", .]
- name: gcr.io/kaniko-project/executor:latest
  args: ["--destination=${_REPO}/job:v1", --context=dir:///workspace/job, --dockerfile=docker/Dockerfile]
- name: gcr.io/k8s-skaffold/pack
  args: [build, "${_REPO}/plain", --builder=gcr.io/buildpacks/builder, --path=server/]
- name: bash
  dir: tools
  script: docker build -t ${_REPO}/tool .
"""
ACTION = """\
env: {IMAGE: eu-docker.pkg.dev/acme/shop/web}
jobs:
  build:
    steps:
    - uses: docker/build-push-action@v6
      with: {context: ., file: web/Dockerfile, tags: "${{ env.IMAGE }}:${{ github.sha }}", build-args: "A=b\\nC=d"}
"""
SCRIPT = """\
IMAGE=gcr.io/$PROJECT_ID/shop
# docker build -t commented .
docker build \\
  --platform linux/amd64 -t "$IMAGE:latest" -f app/docker/Dockerfile.prod app
gcloud builds submit --tag gcr.io/acme/other ./other
gcloud builds submit --config cloudbuild.yaml .
cd web && docker build -t gcr.io/acme/web .
docker build -t gcr.io/acme/elsewhere https://example.com/repository.git
docker build -t gcr.io/acme/somewhere "$(pwd)"
"""


def test_a_configuration_of_cloud_build_says_folders_dockerfiles_arguments_and_targets() -> None:
    repository = "eu-docker.pkg.dev/acme/shop"
    assert list(builds_of_document(yaml.safe_load(CLOUD_BUILD), {"PROJECT_ID": "acme"})) == [
        Built(f"{repository}/site:$SHORT_SHA", "apps/site", args={"URL": "https://shop.example"}, unsure=False),
        Built(f"{repository}/api", ".", "apps/api/Dockerfile", target="run", unsure=False),
        Built(f"{repository}/job:v1", "job", "docker/Dockerfile", unsure=False),
        Built(f"{repository}/plain", "server", unsure=False),
        Built(f"{repository}/tool", "tools", unsure=False),
    ]


def test_a_workflow_and_a_script_say_so_too() -> None:
    (built,) = builds_of_document(yaml.safe_load(ACTION), {})
    assert same_image(built.image, "eu-docker.pkg.dev/acme/shop/web:v1")
    assert (built.source, built.dockerfile, dict(built.args)) == (".", "web/Dockerfile", {"A": "b", "C": "d"})
    assert list(builds_of_script(SCRIPT, {})) == [
        Built("$IMAGE:latest", "app", "docker/Dockerfile.prod", unsure=False),
        Built("gcr.io/acme/other", "other", unsure=False),
        Built("gcr.io/acme/web", "web", unsure=False),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gcr.io/a/b:v1", "gcr.io/a/b@sha256:0", True),
        ("$H/b:${{ github.sha }}", "$H/b:${TAG}", True),
        ("localhost:5000/b", "localhost:5000/b:v1", True),
        ("gcr.io/a/b", "gcr.io/a/c", False),
        ("", "", False),
    ],
)
def test_an_image_is_the_same_whichever_its_version(one: str, other: str, same: bool) -> None:
    assert same_image(one, other) is same


API, WEB = Found("api", "services/api", "Dockerfile"), Found("web", ".", "docker/web.Dockerfile")


def of(image: str, name: str, builds: Sequence[Built], found: Sequence[Found], *there: str) -> Built | None:
    (seen,) = placed([Seen(name, "", {}, built=Built(image))], builds, found, {*there}.__contains__)
    return seen.built


def test_what_the_files_build_is_what_the_image_is_built_from() -> None:
    builds = [Built("$R/api:$TAG", "services/api", unsure=False), Built("$R/web", unsure=False)]
    assert of("$R/api:$SHA", "x", builds, (), "services/api/Dockerfile", "Dockerfile") == replace(
        builds[0], image="$R/api:$SHA"
    )
    (shop,) = placed(
        [Seen("x", "", {"template": {"containers": [{"image": "$R/web:v1"}]}})], builds, (), lambda path: True
    )
    assert shop.built == replace(builds[1], image="$R/web:v1")  # an image in full, which the files build


def test_a_folder_without_what_it_is_built_by_is_not_believed() -> None:
    builds = [Built("$R/api", "api", unsure=False)]
    assert of("$R/api", "x", builds, ()) == Built("$R/api")
    by_buildpacks = of("$R/api", "x", builds, [Found("api", "api", None)])
    assert by_buildpacks == Built("$R/api", "api", unsure=False)


@pytest.mark.parametrize(
    ("image", "name", "found", "source"),
    [
        ("$IMAGE", "shop", [API], "services/api"),
        ("$R/shop-api:v1", "shop", [API, WEB], "services/api"),
        ("$IMAGE", "shop-web-prod", [API, WEB], "."),
        ("$IMAGE", "shop", [API, WEB], "."),  # nothing tells
    ],
)
def test_else_the_only_dockerfile_or_the_one_of_that_name_is_proposed_and_to_be_decided(
    image: str, name: str, found: list[Found], source: str
) -> None:
    built = of(image, name, (), found)
    assert built and built.unsure and built.source == source
    assert built.decide[0].startswith(f"source: the folder that the image is built from; it was {image}.")
