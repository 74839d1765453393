"""Names of services in Cloud Run, and images that are built elsewhere."""

from __future__ import annotations

import pytest

from tasks.manifest.loading import parse_manifest
from tests.tasks.manifest.test_flaws import problems

NAMES = """\
app: shop
services:
  api: {{{api}}}
  web: {{{web}}}
environments:
  staging: {{project: acme-staging, regions: [europe-west1]}}
  production: {{project: acme-prod, regions: [europe-west1, us-central1]{production}}}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"api": "name: shop-web"},
            "slipway.yaml:4: services.web.name: shop-web in project acme-staging is api in staging already; "
            "give one of them a name of its own",
        ),
        (
            {"production": ", services: {api: {name: orders}, web: {name: orders}}"},
            "slipway.yaml:7: environments.production.services.web.name: orders in project acme-prod is api in "
            "production already; give one of them a name of its own",
        ),
        (
            {"api": "image: nginx, source: api, build: {timeout: 5m}"},
            "slipway.yaml:3: services.api.build: is about an image that is built here, but image names one that is "
            "built elsewhere",
        ),
        (
            {"web": "image: 'ghcr.io/acme/web:1'"},
            "slipway.yaml:4: services.web.image: is in the registry ghcr.io, of which Cloud Run takes none: only "
            "docker.pkg.dev, gcr.io and docker.io; a remote repository of Artifact Registry can stand before it",
        ),
        (
            {"api": "default_url: false", "web": "depends_on: [api]"},
            "slipway.yaml:4: services.web.depends_on[0]: 'api' has no URL to tell it in staging",
        ),
        (
            {"api": "default_url: false", "web": "urls: {ORDERS: api}"},
            "slipway.yaml:4: services.web.urls.ORDERS: 'api' has no URL to tell it in staging",
        ),
        (
            {"web": "urls: {ORDERS: api}, secrets: {ORDERS: key}"},
            "slipway.yaml:4: services.web.secrets.ORDERS: ORDERS is set to the URL of 'api', as urls asks",
        ),
        (
            {"web": "health: {url: 'https://shop'}", "production": ", strategy: {canary: [10]}"},
            "slipway.yaml:4: services.web.health.url: needs {tag} in it: in production a canary's steps are proven",
        ),
        (
            {"web": "health: {url: 'https://{tagg}'}"},
            "slipway.yaml:4: services.web.health.url: may have {tag} and",
        ),
        (
            {"api": "build: {worker_pool: projects/acme-ops/locations/europe-west4/workerPools/p}"},
            "slipway.yaml:6: environments.staging.regions: services.api.build.worker_pool is in europe-west4",
        ),
        (
            {"api": "build: {worker_pool: p, machine_type: E2_HIGHCPU_8}"},
            "slipway.yaml:3: services.api.build: must have either machine_type or worker_pool",
        ),
        ({"web": "image: 'acme web'"}, "slipway.yaml:4: services.web.image: must be an image, like "),
        ({"web": f"name: {'o' * 50}"}, "slipway.yaml:4: services.web.name: must be lower-case letters, "),
    ],
)
def test_names_in_cloud_run_and_images_built_elsewhere_are_checked(given: dict[str, str], said: str) -> None:
    assert any(
        line.startswith(said) for line in problems(NAMES.format(**{"api": "", "web": "", "production": "", **given}))
    )


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "nginx:1.27",
        "docker.io/library/nginx",
        "eu.gcr.io/p/a/b",
        f"us-docker.pkg.dev/p/r/a:v1@sha256:{'0' * 64}",
    ],
)
def test_an_image_may_be_of_any_registry_that_cloud_run_takes(image: str) -> None:
    text = NAMES.format(api=f"image: '{image}'", web="", production="")
    assert parse_manifest(text).service_in("staging", "api").image == image


def test_one_environment_may_have_another_name_and_image() -> None:
    more = ", services: {api: {name: orders-live, image: 'nginx:2'}}"
    manifest = parse_manifest(NAMES.format(api="name: orders", web="name: shop-web", production=more))
    assert [manifest.renamed(name, "api") for name in manifest.environments] == ["orders", "orders-live"]
    assert manifest.renamed("staging", "web") == ""  # the name that it has anyway
    assert manifest.service_in("production", "api").image == "nginx:2"
