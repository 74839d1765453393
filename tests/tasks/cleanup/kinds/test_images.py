"""Which images a reference may mean, and which of them stay because somebody in any environment needs them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.gcp.artifacts.images import DockerImage
from infra.gcp.artifacts.repositories import Repository
from tasks.cleanup.engine.model import Item, Listing, Policy, RetentionRule, Use, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.adapter import Look
from tasks.cleanup.kinds.images import (
    IMAGE,
    ImageRepository,
    References,
    image_item,
    image_repositories,
    made_elsewhere,
    once_released,
)
from tasks.cleanup.kinds.releases import claims_of, rollback_needs
from tasks.cleanup.kinds.revisions import REVISION
from tasks.history.job_record import JobRecord
from tasks.history.pool_record import PoolRecord
from tasks.history.record import ReleaseRecord, State
from tasks.model import Outcome
from tests.tasks.builders import MANIFEST, a_record, a_request, a_target
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


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
async def test_what_a_release_is_made_of_that_could_not_be_given_back_stays(state: State) -> None:
    stuck = (a_target("api", "api-v3").model_copy(update={"outcome": Outcome.FAILED}),)
    assert await goes(a_record("v3", 3, state=state, targets=stuck), a_record("v1", 1)) == {"v2"}


def test_all_that_an_open_release_may_go_back_to_is_claimed() -> None:
    split = (("api-v1", 60), ("api-v2", 40))
    target = a_target("api", "api-v3").model_copy(
        update={"serving": "api-v1", "before": split, "outcome": Outcome.FAILED}
    )
    (claim,) = claims_of(REQUESTS[1], [a_record("v3", 3, state=State.FAILED, targets=(target,))], 5)
    revisions = [each.name.rpartition("/")[2] for each in claim.needs if each.kind == REVISION]
    assert revisions == ["api-v3", "api-v1", "api-v2"]


def test_what_served_with_a_release_and_it_had_not_brought_is_claimed_too() -> None:
    """Going back from v3 brings the api of v1 again: the release before it was of another service."""
    job = JobRecord(job="migrate", name="n", image="europe-docker.pkg.dev/p/r/i@then")
    history = [
        a_record("v3", 3, targets=(a_target("api", "api-v3"),)),
        a_record("v2", 2, targets=(a_target("web", "web-v2"),)),
        a_record("v1", 1, jobs=(job,)),
    ]
    claims = list(claims_of(REQUESTS[1], history, 2))
    assert len(claims) == 2
    needs = {each.name.rpartition("/")[2] for each in claims[1].needs}
    assert needs >= {"web-v2", "api-v1", "api@sha256:api-v1", "i@then"}
    checked = {each.name.rpartition("/")[2] for each in rollback_needs(REQUESTS[1], history, 2)}
    assert checked >= {"web-v2", "api-v1", "api@sha256:api-v1"}


@pytest.mark.parametrize(("state", "more"), [(State.RELEASED, []), (State.STARTED, ["was"])])
def test_the_images_of_a_releases_jobs_are_claimed(state: State, more: list[str]) -> None:
    """They are in no list of what was built, after a rollback; of an open one also what the jobs are given back to."""
    was = {"template": {"containers": [{"image": "europe-docker.pkg.dev/p/r/i@was"}]}}
    job = JobRecord(job="migrate", name="n", image="europe-docker.pkg.dev/p/r/i@is", before=was)
    (claim,) = claims_of(REQUESTS[1], [a_record("v3", 3, state=state, jobs=(job,))], 5)
    images = [each.name.rpartition("@")[2] for each in claim.needs if "/i@" in each.name]
    assert sorted(images) == sorted(["is", *more])


async def test_what_a_failed_promotion_used_may_go() -> None:
    assert await goes(a_record("v3", 3, state=State.FAILED), a_record("v1", 1)) == {"v2", "v3"}


@pytest.mark.parametrize("labels", [OURS, {}], ids=["shipped by Slipway", "deployed by hand"])
async def test_what_production_runs_stays_in_staging_whatever_the_history_says(labels: dict[str, str]) -> None:
    newest = a_record("v1", 1)
    assert await goes(newest, look=serving("v3", labels)) == {"v2"}


@pytest.mark.parametrize(
    ("labels", "adopt", "owner"),
    [
        ({"managed-by": "slipway", "slipway-app": "shop"}, "", "shop"),
        ({}, "", None),
        ({}, "shop", "shop"),
        ({"managed-by": "slipway", "slipway-app": "blog"}, "shop", "blog"),
    ],
    ids=["made by Slipway", "made by others", "adopted", "another app's"],
)
def test_images_in_a_repository_made_by_others_are_ours_once_it_is_adopted(
    labels: dict[str, str], adopt: str, owner: str | None
) -> None:
    (place,) = image_repositories((a_request(text=f"{MANIFEST}retention: {{adopt: [{adopt}]}}"),))
    found = DockerImage(f"{place.name}/dockerImages/api@sha256:1", "", "", ("v1",), OLD, None, 1, ())
    item = image_item(found, place, Repository(place.name, "DOCKER", False, labels))
    assert item.owner == owner
    assert (
        image_item(
            replace(found, name=found.name.replace("/api@", "/tool@")),
            place,
            Repository(place.name, "DOCKER", False, {}),
        ).owner
        is None
    )


def test_images_of_a_service_that_was_removed_stay_the_apps() -> None:
    history = [a_record("v1", 1, images={"api": f"{HOST}/shop/api@sha256:1", "mail": f"{HOST}/shop/mail@sha256:2"})]
    assert once_released(history) == {"api", "mail"}


def test_images_that_slipway_yaml_names_are_not_deleted_even_in_the_apps_own_repository() -> None:
    """Their name is the service's; an earlier slipway.yaml counts as well."""
    built_elsewhere = MANIFEST.replace("source: api, ", f"image: '{HOST}/shop/api:v3', ")
    before = a_record("v1", 1, manifest=a_request(text=built_elsewhere).manifest.without_values())
    for requests, records in (((a_request(text=built_elsewhere),), []), ((a_request(),), [before])):
        assert made_elsewhere(requests, records) == {f"{HOST}/shop/api"}
    assert made_elsewhere((a_request(),), [a_record("v1", 1)]) == frozenset()
    (place,) = image_repositories((a_request(),))
    found = DockerImage(f"{place.name}/dockerImages/api@sha256:1", "", "", ("v1",), OLD, None, 1, ())
    there = Repository(place.name, "DOCKER", True, {"managed-by": "slipway", "slipway-app": "shop"})
    assert image_item(found, place, there).owner == "shop"
    item = image_item(found, replace(place, elsewhere=frozenset({"api"})), there)
    assert (item.owner, item.locked) == (None, "built elsewhere, as slipway.yaml says")


def test_images_of_worker_pools_that_others_make_and_that_releases_had_stay() -> None:
    beside = f"worker_pools: {{mailer: {{image: '{HOST}/shop/mailer:v3'}}, tidy: {{source: tidy}}}}\nenvironments:"
    request = a_request(text=MANIFEST.replace("environments:", beside))
    assert made_elsewhere((request,), []) == {f"{HOST}/shop/mailer"}
    assert set(image_repositories((request,))[0].services) == {"api", "web", "mailer", "tidy"}
    pool = PoolRecord(pool="tidy", name="", image=f"{HOST}/shop/tidy@sha256:{'1' * 64}")
    (claim,) = claims_of(a_request(), [a_record("v1", 1, pools=(pool,))], 3)
    assert pool.image in {reference.name for reference in claim.needs if reference.kind == IMAGE}
