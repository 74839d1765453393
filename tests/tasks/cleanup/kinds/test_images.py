"""Which images a reference may mean, and which of them stay because somebody in any environment needs them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.cleanup.engine.model import Item, Listing, Policy, RetentionRule, Use, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.adapter import Look
from tasks.cleanup.kinds.images import IMAGE, ImageRepository, References, image_repositories
from tasks.cleanup.kinds.releases import claims_of
from tasks.cleanup.kinds.revisions import REVISION
from tasks.history.record import ReleaseRecord, State
from tests.tasks.builders import a_record, a_request, a_target
from tests.tasks.cleanup.engine.worlds import KINDS
from tests.tasks.cleanup.looks import a_look, a_revision, a_service, a_template, live, names_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OLD = datetime(2025, 1, 1, tzinfo=UTC)
HOST = "europe-west1-docker.pkg.dev/acme-prod"
SHOP = ImageRepository(
    "projects/acme-prod/locations/europe-west1/repositories/shop", "shop", ("production",), ("api", "web")
)


def an_image(name: str, digest: str, *tags: str) -> Item:
    full = f"{SHOP.name}/dockerImages/{name}@sha256:{digest}"
    return Item(IMAGE, full, f"{name}/production", "shop", digest=f"sha256:{digest}", tags=tags)


REFERENCES = References(
    [SHOP], [an_image("api", "one", "v1"), an_image("teams%2Fapi", "two", "v2"), an_image("web", "three")]
)


@pytest.mark.parametrize(
    ("reference", "keys"),
    [
        (f"{HOST}/shop/api@sha256:one", {"sha256:one"}),
        (f"{HOST}/shop/api:v1@sha256:one", {"sha256:one"}),
        (f"{HOST}/shop/api@sha256:unlisted", {"sha256:unlisted"}),
        (f"{HOST}/shop/api:v1", {"sha256:one"}),
        (f"{HOST}/shop/api:v2", {f"{HOST}/shop/api:v2"}),
        (f"{HOST}/shop/api", {f"{HOST}/shop/api:latest"}),
        (f"{HOST}/shop/teams/api:v2", {"sha256:two"}),
        ("gcr.io/acme-prod/api@sha256:one", {"sha256:one"}),
        (f"{HOST}/virtual/api:v1", {"sha256:one"}),
        ("gcr.io/acme-prod/teams/api:v2", {"sha256:two"}),
        ("us-docker.pkg.dev/cloudrun/container/hello", set()),
        ("us-docker.pkg.dev/cloudrun/container/hello@sha256:unlisted", set()),
        ("nginx:v9", set()),
    ],
)
def test_a_reference_leads_to_every_image_that_it_may_mean(reference: str, keys: set[str]) -> None:
    """One of ours that no listing has is a key of its own, so that the plan is refused until it is looked for."""
    assert set(REFERENCES.keys(reference)) == keys


# Production runs staging's images, by digest and from staging's repository: clean-up of either keeps them for both.
REQUESTS = (a_request("staging"), a_request("production"))
REPOSITORIES = image_repositories(REQUESTS)
SERVICE = "projects/acme-prod/locations/us-central1/services/shop-api"
OURS = {"managed-by": "slipway", "slipway-app": "shop"}


def image(version: str) -> Item:
    """Of staging's repository, old enough to go."""
    name = f"{REPOSITORIES[0].name}/dockerImages/api@sha256:api-{version}"
    return Item(IMAGE, name, "api/staging", "shop", OLD, digest=f"sha256:api-{version}", tags=(version,))


async def goes(*history: ReleaseRecord, look: Look | None = None, keep: int = 5) -> set[str]:
    """Which of staging's images v1 to v3 a clean-up would delete, given production's releases, newest first."""
    images = tuple(image(version) for version in ("v0", "v1", "v2", "v3"))
    look = look or a_look(REQUESTS)
    names = names_of(look, images)
    uses = tuple(claim.use(names.keys) for claim in claims_of(REQUESTS[1], history, keep))
    running, running_uses = await live(look, images)
    items = (*images, *(Item(REVISION, key, "", "shop", OLD) for use in uses for key in use.needs if "/" in key))
    seen = {item.key for item in items}
    world = World(
        (*items, *(item for item in running if item.key not in seen)),
        (*uses, *running_uses, Use("api in staging: 100 % of the traffic", ("sha256:api-v0",))),
        (Listing("everything", NOW, len(items)),),
        kinds=KINDS,
    )
    made = plan(world, Policy("shop", NOW, dict.fromkeys(KINDS, RetentionRule(keep=0, max_percent=100.0)), (), 100))
    assert not made.refusals
    return {tag for step in made.steps for tag in step.item.tags}


def serving(version: str, labels: dict[str, str]) -> Look:
    """A service of production, and its one revision, which runs an image of staging's."""
    revision = f"shop-api-{version}"
    runs = a_template(a_target("api", f"api-{version}").image)
    return a_look(
        REQUESTS,
        [a_service(SERVICE, [revision], labels, runs, OLD, "1")],
        [a_revision(f"{SERVICE}/revisions/{revision}", labels, runs, OLD, "1")],
    )


def test_the_two_environments_keep_their_images_in_different_projects() -> None:
    assert [each.name.split("/")[1] for each in REPOSITORIES] == ["acme-staging", "acme-prod"]


async def test_what_production_may_go_back_to_stays_in_staging() -> None:
    assert await goes(a_record("v2", 2), a_record("v1", 1)) == {"v3"}


async def test_what_production_is_being_given_stays_in_staging() -> None:
    assert await goes(a_record("v3", 3, state=State.STARTED), a_record("v1", 1)) == {"v2"}


async def test_what_a_failed_promotion_used_may_go() -> None:
    assert await goes(a_record("v3", 3, state=State.FAILED), a_record("v1", 1)) == {"v2", "v3"}


@pytest.mark.parametrize("labels", [OURS, {}], ids=["shipped by Slipway", "deployed by hand"])
async def test_what_production_runs_stays_in_staging_whatever_the_history_says(labels: dict[str, str]) -> None:
    newest = a_record("v1", 1)
    assert await goes(newest, look=serving("v3", labels)) == {"v2"}
