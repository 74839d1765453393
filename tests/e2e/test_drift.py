"""Drift: what others change is found in one run and named; what nobody touched is never reported."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter

from flows.drift import drift
from flows.rollback import rollback
from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.traffic import TrafficTarget
from tasks.drift.look import EVENT
from tasks.history.store import read_history
from tests.conftest import LocalCloud
from tests.e2e.cleaning import BUCKET, SERVICES, Old, artifact, pointed_at
from tests.e2e.conftest import REGION, App

needs_gcloud = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
DRIFTING = SERVICES.replace("public: true", "public: true, env: {LEVEL: info, API_TOKEN: first}, memory: 512Mi")


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory, cloud: LocalCloud) -> AsyncIterator[Old]:
    """Two releases; the second serves."""
    with pointed_at(cloud):
        made = Old(App(tmp_path_factory.mktemp("drifting"), "drifting"), cloud)
        made.app.manifest(DRIFTING)
        for version in ("v1.0.0", "v1.1.0"):
            await made.ship(version)
        yield made


async def found(shop: Old, *, refresh: bool = False) -> list[dict[str, str]]:
    """The rows of the table that a run writes."""
    await drift(shop.source, "production", refresh=refresh)
    return await artifact("drifting-production-drift")


async def gcloud(cloud: LocalCloud, *arguments: str) -> None:
    place = (f"--region={REGION}", "--quiet")
    process = await asyncio.create_subprocess_exec("gcloud", "run", *arguments, *place, env=cloud.env, stderr=DEVNULL)
    assert await process.wait() == 0


def settings(rows: list[dict[str, str]]) -> dict[str, tuple[str, str]]:
    return {row["setting"]: (row["as released"], row["live"]) for row in rows}


async def test_what_nobody_touched_is_not_reported(shop: Old) -> None:
    (row,) = await found(shop)
    assert (row["drift"], row["released"], row["serving"], row["setting"]) == ("none", "v1.1.0", "v1.1.0", "")
    assert row["repository"] == "v1.1.0"


async def test_a_version_that_was_not_released_is_told_and_is_no_drift(shop: Old) -> None:
    shop.app.commit("v1.2.0")
    (row,) = await found(shop)
    assert (row["drift"], row["released"], row["repository"]) == ("none", "v1.1.0", "v1.2.0")
    shop.app.git("tag", "-d", "v1.2.0")
    (row,) = await found(shop)  # the commit has no tag of its own: production is to have the release below it
    assert (row["drift"], row["repository"]) == ("none", "v1.1.0")


@needs_gcloud
async def test_every_change_made_with_gcloud_is_named_and_secret_values_are_not_shown(
    shop: Old, cloud: LocalCloud
) -> None:
    image = "us-docker.pkg.dev/cloudrun/container/hello"
    await gcloud(
        cloud, "services", "update", "drifting-web", "--update-env-vars=LEVEL=debug,API_TOKEN=second", "--memory=1Gi",
        f"--image={image}", "--no-traffic",
    )  # fmt: skip
    await gcloud(cloud, "services", "update-traffic", "drifting-web", "--to-latest")
    rows = await found(shop)
    changed = settings(rows)
    container = "template.containers[0]"
    assert {row["drift"] for row in rows} == {"changed"}
    was, now = (f"sha256:{sha256(value).hexdigest()[:12]}" for value in (b"info", b"debug"))
    assert changed[f"{container}.env[LEVEL]"] == (was, now)
    assert changed[f"{container}.env[API_TOKEN]"] == ("***", "***")
    assert changed[f"{container}.resources.limits.memory"] == ("512Mi", "1Gi")
    assert changed[f"{container}.image"][1].startswith(image)
    assert changed["traffic[LATEST]"] == ("not there", "100")
    unexpected = set(changed) - {f"{container}.{each}" for each in ("env[LEVEL]", "env[API_TOKEN]", "image")}
    assert {each for each in unexpected if not each.startswith("traffic[")} == {f"{container}.resources.limits.memory"}


@needs_gcloud
async def test_refresh_ships_the_recorded_release_again_without_a_build(shop: Old) -> None:
    before = await shop.digests()
    await found(shop, refresh=True)
    (row,) = await found(shop)
    assert (row["drift"], row["serving"]) == ("none", "v1.1.0")
    newest = (await read_history(BUCKET, shop.app.name, "production"))[0]
    assert (newest.action, newest.version, newest.state) == ("refresh", "v1.1.0", "released")
    assert await shop.digests() == before


async def test_drift_is_told_as_an_event(shop: Old) -> None:
    """What a Prefect automation waits for, to alert people; the server tells of earlier drift as well."""
    service = await services.get_service(shop.service)
    assert service
    (earlier,) = [r for r in await list_revisions(shop.service) if r.labels.get("slipway-version") == "v1_0_0"]
    moved = {
        f"traffic[{earlier.name}]": ("not there", "100"),
        f"traffic[{service.latest_created}]": ("100", "not there"),
    }
    wanted = EventFilter(event=EventNameFilter(name=[EVENT]))
    async with asyncio.timeout(120), get_events_subscriber(filter=wanted) as events:
        await services.set_traffic(shop.service, [TrafficTarget(earlier.name, 100)], "", 30)
        await drift(shop.source, "production")
        async for event in events:
            assert event.resource.id == "slipway.drifting.production"
            if settings(event.payload["differences"]) == moved:
                break
    await services.set_traffic(shop.service, list(service.traffic), "", 30)


async def test_a_rollback_by_a_person_is_recognised_and_left_alone(shop: Old) -> None:
    """Whoever goes back in an emergency may have closed the service as well."""
    service = await services.get_service(shop.service)
    assert service
    (earlier,) = [r for r in await list_revisions(shop.service) if r.labels.get("slipway-version") == "v1_0_0"]
    await services.set_traffic(shop.service, [TrafficTarget(earlier.name, 100)], "", 30)
    await access.let_in(shop.service, set(), {EVERYONE})
    rows = await found(shop, refresh=True)
    assert {row["drift"] for row in rows} == {"rolled back by a human"}
    assert {row["serving"] for row in rows} == {"v1.0.0"}
    assert "access" in settings(rows)
    assert EVERYONE not in await access.invokers(shop.service)
    assert {row["drift"] for row in await found(shop)} == {"rolled back by a human"}
    await access.let_in(shop.service, {EVERYONE}, set())
    await services.set_traffic(shop.service, list(service.traffic), "", 30)


async def test_after_a_rollback_by_slipway_nothing_has_drifted(shop: Old) -> None:
    """The service's newest template is that of the version that was left."""
    await rollback(shop.source, "production", to="v1.0.0")
    (row,) = await found(shop)
    assert (row["drift"], row["serving"]) == ("none", "v1.0.0")
