"""The deploy flow, end to end."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from google.cloud import run_v2

from flows.deploy import deploy
from infra.gcp import builds
from infra.gcp.artifacts import images, repositories
from infra.gcp.storage import objects
from tasks.model import Release
from tasks.names.references import ImageReference
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program

pytestmark = pytest.mark.usefixtures("cloud_env")


async def ship(app: App, **parameters: Any) -> Release:
    released: Release = await deploy(Source(repository=str(app.folder)), "production", **parameters)
    return released


async def service(app: App, name: str = "web") -> run_v2.Service:
    full = f"projects/{PROJECT}/locations/{REGION}/services/{app.name}-{name}"
    return await run_v2.ServicesAsyncClient().get_service(name=full)


async def test_a_first_release_serves_its_version_to_everyone(shop: App) -> None:
    release = await ship(shop)
    assert release.version.version == "v1.0.0"
    assert httpx.get(release.live[0].url, trust_env=False).text == "ok"
    found = await service(shop)
    assert {(t.revision, t.percent) for t in found.traffic if t.percent} == {(release.live[0].revision, 100)}


async def test_shipping_the_same_commit_again_builds_nothing_and_makes_no_revision(shop: App) -> None:
    first = await ship(shop)
    generation = (await service(shop)).generation
    second = await ship(shop)
    assert not any(image.built for image in second.images)
    assert second.live == first.live
    assert (await service(shop)).generation == generation


async def test_a_version_that_names_other_content_is_refused_before_any_build(shop: App) -> None:
    await ship(shop)
    shop.write("web", program(body="ok, but other"))
    shop.commit()
    shop.git("tag", "-f", "v1.0.0")
    with pytest.raises(Exception, match="already exists with digest"):
        await ship(shop)


async def log_of(release: Release) -> str:
    """What Cloud Build wrote while it built the release's one image."""
    image = release.images[0]
    assert image.built
    build = await builds.get_build(f"{builds.parent(PROJECT, REGION)}/builds/{image.build_id}")
    return (await objects.read_from(build.log_bucket, build.log_object, 0)).decode()


async def test_a_second_version_takes_over_the_layers_of_the_first_that_stay_the_same(shop: App) -> None:
    first = await ship(shop)
    shop.write("web", program(body="ok, once more"))
    shop.commit("v1.1.0")
    second = await ship(shop)
    assert "Using cache" not in await log_of(first)
    log = await log_of(second)
    assert f"importing cache manifest from {first.images[0].reference}" in log
    assert "Using cache" in log


async def test_a_version_whose_predecessors_image_is_gone_is_built_without_a_cache(shop: App) -> None:
    image = (await ship(shop)).images[0]
    package = ImageReference.parse(image.uri).package
    assert package is not None
    await repositories.set_immutable_tags(package.repository, immutable=False)
    assert await images.delete_image(f"{package.repository}/dockerImages/{package.name}@{image.digest}", 60)
    await repositories.set_immutable_tags(package.repository, immutable=True)
    shop.write("web", program(body="ok, once more"))
    shop.commit("v1.1.0")
    second = await ship(shop)
    assert "importing cache manifest" not in await log_of(second)
    assert second.live
