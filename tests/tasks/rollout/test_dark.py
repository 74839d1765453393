"""What a candidate needs of other services before it is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from infra.gcp.run import services
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.errors import CandidateFailed
from tasks.manifest.loading import parse_manifest
from tasks.model import Place, Request, Snapshot
from tasks.preflight.create import placeholder_body
from tasks.rollout.dark import (
    dependency_urls,
    deploy_service,
    is_worth_a_change,
    since,
    without_own_tags,
    without_stale_tags,
)
from tasks.rollout.live import LiveService, read_live
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, new_name
from tests.tasks.builders import a_version
from tests.tasks.cleanup import looks

REGION = "europe-west1"
WEB = Place("web", REGION)
NAME = f"projects/{PROJECT}/locations/{REGION}/services/shop-web"
OURS = {"managed-by": "slipway"}

pytestmark = pytest.mark.usefixtures("cloud_env")


def shipping(*chosen: str, app: str) -> Request:
    manifest = parse_manifest(
        f"app: {app}\nservices: {{api: {{}}, web: {{depends_on: [api], urls: {{ORDERS: api}}}}}}\n"
        f"environments: {{test: {{project: {PROJECT}, regions: [{REGION}]}}}}"
    )
    return Request(app, "test", chosen, manifest, manifest.environment("test"), Path(), Path(), "0" * 36)


async def test_a_dependency_that_is_only_a_placeholder_does_not_count_as_deployed() -> None:
    request = shipping("web", app=new_name("needs"))
    await services.create_service(request.run_service(Place("api", REGION)), placeholder_body(request), 60)
    with pytest.raises(CandidateFailed, match=r"web depends on api, of which nothing serves in europe-west1") as failed:
        await dependency_urls(request, WEB)
    assert "services api, web" in failed.value.remedy


async def test_one_that_is_shipped_along_need_not_serve_yet() -> None:
    request = shipping("api", "web", app=new_name("needs"))
    made = await services.create_service(request.run_service(Place("api", REGION)), placeholder_body(request), 60)
    assert await dependency_urls(request, WEB) == {"API_URL": made.uri, "ORDERS": made.uri}


async def test_one_that_is_not_there_is_named() -> None:
    with pytest.raises(CandidateFailed, match="web depends on api"):
        await dependency_urls(shipping("web", app=new_name("needs")), WEB)


class Hello:
    """Google's own, which has no digest here."""

    service, reference, digest, uri = "web", HELLO, "", HELLO


def with_a_long_name(length: int) -> Request:
    app = new_name("long")
    name = f"{app}-{'x' * length}"[:length]
    health = "health: {url: 'https://shop.example.com'}, " if length > 45 else ""
    manifest = parse_manifest(
        f"app: {app}\nservices: {{web: {{{health}name: {name}}}}}\n"
        f"environments: {{test: {{project: {PROJECT}, regions: [{REGION}]}}}}"
    )
    return Request(app, "test", ("web",), manifest, manifest.environment("test"), Path(), Path(), "0" * 36)


@pytest.mark.parametrize("length", [45, 49])
async def test_releases_of_a_service_with_a_long_name_do_not_take_each_others_tag(length: int) -> None:
    """Of 45 characters one is left for a tag: 26 different ones. Of 49 none is left, and there is no tag."""
    request, image = with_a_long_name(length), Hello()
    place = request.place("web", REGION)
    await services.create_service(request.run_service(place), placeholder_body(request), 60)

    async def deployed(version: str) -> tuple[str, str]:
        before: Snapshot = (await read_live(request, place)).snapshot
        made: Any = image
        with disable_run_logger():
            found = await deploy_service.fn(request, a_version(version), made, before)  # type: ignore[attr-defined]
        return found.revision, found.tag

    made = dict([await deployed(f"v1.{number}.0") for number in range(8)])
    again = dict([await deployed("v1.7.0")])
    assert again.items() <= made.items()
    tags = {target.revision: target.tag for target in (await read_live(request, place)).service.traffic if target.tag}
    assert tags == ({} if length == 49 else made)
    assert len(set(made.values())) == (1 if length == 49 else 8)


def tagged(*revisions: str, keeping: str = "", foreign: str = "") -> LiveService:
    """The first serves; each has a tag of ours, but `foreign` one of somebody else's; `keeping` has instances."""
    found = tuple(
        replace(
            looks.a_revision(f"{NAME}/revisions/{each}", OURS | ({} if each == foreign else {"slipway-tag": each})),
            image="europe-west1-docker.pkg.dev/acme/shop/web",
            keeps_instances=each == keeping,
        )
        for each in revisions
    )
    service = looks.a_service(NAME, revisions[:1], OURS)
    split = (TrafficTarget(revisions[0], 100), *(TrafficTarget(each, 0, each) for each in revisions))
    return LiveService(WEB, replace(service, traffic=split), found)


def tags(targets: Sequence[TrafficTarget]) -> list[str]:
    return [each.tag for each in targets if each.tag]


@pytest.mark.parametrize(
    ("previous", "left"),
    [("v2", ["v3", "v2", "hand"]), ("v1", ["v3", "v1", "hand"]), ("", ["v3", "v2", "v1", "v0", "hand"])],
    ids=["the one before", "one further back", "not known"],
)
def test_a_deployment_takes_along_tags_that_nobody_goes_back_to(previous: str, left: list[str]) -> None:
    live = tagged("v3", "v2", "v1", "v0", "hand", foreign="hand")
    before = replace(live.snapshot, previous=previous)
    targets = (*live.service.traffic, TrafficTarget("v4", 0, "v4"))
    kept = without_stale_tags(targets, live, before, "v4")
    assert tags(kept) == [*left, "v4"]
    assert [each for each in kept if each.percent] == [TrafficTarget("v3", 100)]


@pytest.mark.parametrize(
    ("live", "worth"),
    [
        (tagged("v2", "v1", "v0"), False),
        (tagged("v2", "v1", "v0", keeping="v1"), False),
        (tagged("v2", "v1", "v0", keeping="v0"), True),
        (tagged("v6", "v5", "v4", "v3", "v2"), False),
        (tagged("v6", "v5", "v4", "v3", "v2", "v1"), True),
    ],
    ids=["one", "kept", "it costs", "some", "many"],
)
def test_tags_are_taken_off_by_themselves_where_they_cost_or_are_many(live: LiveService, *, worth: bool) -> None:
    """A change of a service takes seconds."""
    first, second, *_ = (each.name for each in live.revisions)
    assert is_worth_a_change(live, without_own_tags(live.service.traffic, live, {first, second})) is worth


@pytest.mark.parametrize(
    ("serving", "followed"), [("v1", 100), ("by-hand", 0)], ids=["traffic is where it was", "somebody has moved it"]
)
def test_an_attempt_whose_revision_did_not_start_is_nothing_to_go_back_to(serving: str, followed: int) -> None:
    """The next one gets another name; what other tools build on then is what was there before both."""
    service = looks.a_service(NAME, [serving], OURS)
    latest = replace(looks.a_service(NAME, ["v1"]), traffic=(TrafficTarget(None, 100),), latest_ready="v1")
    before = Snapshot(WEB, latest.traffic, "v1", "v1", config={"revision": "v1"}, stands_for="v1", service=latest)
    failed = {"revision": "web-v2", "labels": {"slipway-run": "run"}}
    now = Snapshot(WEB, service.traffic, "v1", serving, config=failed, stands_for="web-v2", service=service)
    then = since(before, now, "web-v2-r2", "run")
    assert (then.stands_for, then.config, then.service) == ("v1", before.config, latest)
    assert (then.serving, then.followed) == (serving, followed)
    assert since(before, now, "web-v2-r2", "another").stands_for == "web-v2"
