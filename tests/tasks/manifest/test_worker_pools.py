"""What slipway.yaml may say about worker pools, and what is refused with its place."""

from __future__ import annotations

import pytest

from tasks.manifest.loading import judge, parse_manifest
from tests.tasks.builders import a_request

TEXT = """
app: shop
services: SERVICES
worker_pools: {mailer: {POOL}}
environments:
  production: {project: acme-prod, regions: [europe-west1, us-central1], env: {LANG: en}, HERE}
"""


def text(pool: str = "", services: str = "{web: {}}", here: str = "") -> str:
    return TEXT.replace("POOL", pool).replace("SERVICES", services).replace(", HERE", here and f", {here}")


def faults(*said: str, **more: str) -> dict[str, str]:
    return {fault.key: fault.problem for fault in judge(text(*said, **more)).faults}


@pytest.mark.parametrize(
    ("pool", "key", "problem"),
    [
        ("health: {path: /}", "health", "is for services: nobody sends a worker pool requests"),
        ("port: 80", "port", "is for services: nobody sends a worker pool requests"),
        ("public: true", "public", "is for services: nobody sends a worker pool requests"),
        ("min_instances: 1", "min_instances", "is for services: nobody sends a worker pool requests"),
        ("scalin: 3", "scalin", "unknown key"),
        ("scaling: -1", "scaling", "must be greater than or equal to 0"),
        ("cpu: 0.5", "cpu", "must be 1, 2, 4, 6 or 8"),
        ("memory: 256Mi", "memory", "must be at least 512Mi"),
        ("startup_probe: {tcp: true}", "startup_probe.port", "the container of a worker pool has none of its own"),
        ("liveness_probe: {tcp: true, port: 9}", "liveness_probe.tcp", "is for startup_probe only"),
        ("env: {A: b}, secrets: {A: c}", "secrets.A", "A is in env too"),
        ("service: web, source: worker", "service", "must not be there with a source"),
        ("image: 'x/y:1', source: worker", "image", "must not be there with a source"),
        ("service: wob", "service", "there is no service 'wob'"),
        ("dockerfile: D", "dockerfile", "is for a worker pool with a source of its own"),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_stands(pool: str, key: str, problem: str) -> None:
    found = faults(pool)
    assert problem in found[f"worker_pools.mailer.{key}"]


def test_with_several_services_it_must_say_whose_image_it_runs() -> None:
    assert "must say whose image it runs" in faults(services="{web: {}, api: {}}")["worker_pools.mailer"]


def test_images_have_one_name_each() -> None:
    said = text("source: worker").replace("environments:", "jobs: {mailer: {source: job}}\nenvironments:")
    found = {fault.key: fault.problem for fault in judge(said).faults}
    assert "the image of job 'mailer' has this name already" in found["worker_pools.mailer"]


def test_an_environment_may_say_what_differs_and_names_only_what_is_there() -> None:
    manifest = parse_manifest(
        text("scaling: 3, env: {A: b}", here="worker_pools: {mailer: {scaling: 12, env: {C: d}}}")
    )
    pool = manifest.pool_in("production", "mailer")
    assert (pool.scaling, pool.env) == (12, {"LANG": "en", "A": "b", "C": "d"})
    found = faults(here="worker_pools: {mailr: {scaling: 1}}")
    assert "there is no worker pool 'mailr'" in found["environments.production.worker_pools.mailr"]


def test_a_request_knows_its_pools_their_images_and_names() -> None:
    request = a_request(text=text("source: worker, name: mail-workers, region: us-central1"))
    assert request.image_names == ("web", "mailer") and request.built == ("web", "mailer")
    assert request.run_pool("mailer") == "projects/acme-prod/locations/us-central1/workerPools/mail-workers"
    elsewhere = a_request(text=text("image: 'europe-west1-docker.pkg.dev/acme/x/y:1'"))
    assert (elsewhere.image_names, elsewhere.built) == (("web", "mailer"), ("web",))
    assert elsewhere.manifest.image_of(elsewhere.pool("mailer")) == "mailer"


def test_records_have_no_values_of_its_variables() -> None:
    manifest = parse_manifest(text("env: {KEY: s3cret}", here="worker_pools: {mailer: {env: {OTHER: s3cret}}}"))
    assert "s3cret" not in str(manifest.without_values())
