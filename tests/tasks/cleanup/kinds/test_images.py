"""Production runs staging's images, by digest and from staging's repository: clean-up of either keeps them for both."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from infra.gcp.run.workloads import Workload
from tasks.cleanup.engine.model import Item, Kind, Listing, Policy, Rule, Use, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.images import References, places_of
from tasks.cleanup.kinds.run import Fleet, run_found
from tasks.cleanup.uses import history_uses
from tasks.history.record import ReleaseRecord, State
from tests.tasks.builders import a_record, a_request, a_target

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OLD = datetime(2025, 1, 1, tzinfo=UTC)
REQUESTS = (a_request("staging"), a_request("production"))
PLACES = places_of(REQUESTS)
SERVICE = "projects/acme-prod/locations/us-central1/services/shop-api"
OURS = {"managed-by": "slipway", "slipway-app": "shop"}


def image(version: str) -> Item:
    """Of staging's repository, old enough to go."""
    name = f"{PLACES[0].repository}/dockerImages/api@sha256:api-{version}"
    return Item(Kind.IMAGE, name, "api/staging", "shop", OLD, digest=f"sha256:api-{version}", tags=(version,))


def goes(*history: ReleaseRecord, fleet: Fleet | None = None, keep: int = 5) -> set[str]:
    """Which of staging's images v1 to v3 a clean-up would delete, given production's releases, newest first."""
    images = tuple(image(version) for version in ("v0", "v1", "v2", "v3"))
    references = References.of(PLACES, images)
    uses = tuple(history_uses(REQUESTS[1], history, keep, references))
    running = run_found(fleet or Fleet(), REQUESTS, references)
    items = (*images, *(Item(Kind.REVISION, key, "", "shop", OLD) for use in uses for key in use.needs if "/" in key))
    seen = {item.key for item in items}
    world = World(
        (*items, *(item for item in running.items if item.key not in seen)),
        (*uses, *running.uses, Use("api in staging: 100 % of the traffic", ("sha256:api-v0",))),
        (Listing("everything", NOW, len(items)),),
    )
    made = plan(world, Policy("shop", NOW, dict.fromkeys(Kind, Rule(keep=0, max_percent=100.0)), (), 100))
    assert not made.refusals
    return {tag for step in made.steps for tag in step.item.tags}


def serving(version: str, labels: dict[str, str]) -> Fleet:
    """A service of production, and its one revision, which runs an image of staging's."""
    name = f"{SERVICE}/revisions/shop-api-{version}"
    reference = a_target("api", f"api-{version}").image
    revision = Workload(name, labels, OLD, "1", (reference,), "", {})
    service = Workload(SERVICE, labels, OLD, "1", (reference,), "", {name: "100 %"}, routed=True)
    return Fleet((service,), (revision,))


def test_the_two_environments_keep_their_images_in_different_projects() -> None:
    assert [place.repository.split("/")[1] for place in PLACES] == ["acme-staging", "acme-prod"]


def test_what_production_may_go_back_to_stays_in_staging() -> None:
    assert goes(a_record("v2", 2), a_record("v1", 1)) == {"v3"}


def test_what_production_is_being_given_stays_in_staging() -> None:
    assert goes(a_record("v3", 3, state=State.STARTED), a_record("v1", 1)) == {"v2"}


def test_what_a_failed_promotion_used_may_go() -> None:
    assert goes(a_record("v3", 3, state=State.FAILED), a_record("v1", 1)) == {"v2", "v3"}


@pytest.mark.parametrize("labels", [OURS, {}], ids=["shipped by Slipway", "deployed by hand"])
def test_what_production_runs_stays_in_staging_whatever_the_history_says(labels: dict[str, str]) -> None:
    newest = a_record("v1", 1)
    assert goes(newest, fleet=serving("v3", labels)) == {"v2"}
