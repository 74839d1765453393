"""What a live service tells of itself: the traffic that the next split is decided from, and what to go back to."""

from __future__ import annotations

from dataclasses import replace

from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from infra.gcp.run.templates import Template
from infra.gcp.run.traffic import TrafficTarget
from tasks.model import Place
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.rollout.live import LiveService
from tests.tasks.builders import NOW

API = Place("api", "europe-west1")
SERVICE = RunService(
    name="projects/acme-prod/locations/europe-west1/services/shop-api",
    etag="1",
    generation=1,
    uri="https://api",
    latest_ready="v2",
    latest_created="v3",
    traffic=(TrafficTarget(None, 30), TrafficTarget("v1", 70), TrafficTarget("v1", 0, "v1")),
    live=(TrafficTarget(None, 30), TrafficTarget("v1", 70), TrafficTarget("v1", 0, "v1", "https://v1---api")),
    settled=True,
    ready=True,
    message="",
    reason="",
    labels={},
    created=NOW,
    template=Template(),
    body={"template": {"timeout": "5s"}},
)


def a_revision(name: str, image: str = "image", *, ready: bool = True, tag: str = "") -> Revision:
    labels = {"managed-by": "slipway", "slipway-tag": tag} if tag else {"slipway-tag": "somebody-elses"}
    return Revision(
        name=name, service="api", region=API.region, image=image, ready=ready, message="", reason="", created=NOW,
        labels=labels, full_name=f"{SERVICE.name}/revisions/{name}", etag="1", template=Template(),
    )  # fmt: skip


def a_live(*revisions: Revision, service: RunService = SERVICE) -> LiveService:
    return LiveService(API, service, revisions)


def test_only_ready_revisions_can_take_traffic_and_latest_goes_by_its_name() -> None:
    traffic = a_live(a_revision("v3", ready=False), a_revision("v2"), a_revision("v1")).traffic
    assert traffic.ready == {"v1", "v2"}
    assert traffic.targets == SERVICE.traffic
    assert [target.revision for target in traffic.observed] == ["v2", "v1", "v1"]
    assert SERVICE.routed == {"v2": 30, "v1": 70}


def test_a_snapshot_names_what_serves_most_and_where_it_can_be_asked() -> None:
    before = a_live(a_revision("v2"), a_revision("v1")).snapshot
    assert (before.place, before.serving, before.serving_url) == (API, "v1", "https://v1---api")
    assert (before.traffic, before.latest_ready, before.config) == (SERVICE.traffic, "v2", {"timeout": "5s"})


def test_only_a_newest_revision_that_somebody_else_made_is_worth_a_word() -> None:
    assert a_live(a_revision("v2"), a_revision("v1", tag="v1")).strangers_latest
    assert not a_live(a_revision("v2", tag="v2"), a_revision("v1")).strangers_latest
    assert not a_live(a_revision("v2", f"{PLACEHOLDER_IMAGE}:latest")).strangers_latest
    assert not a_live().strangers_latest


def test_a_placeholder_serves_nobody() -> None:
    first = replace(SERVICE, traffic=(TrafficTarget("v1", 100),), live=(TrafficTarget("v1", 100),))
    before = a_live(a_revision("v1", f"{PLACEHOLDER_IMAGE}:latest"), service=first).snapshot
    assert (before.serving, before.serving_url) == ("", "")


def test_a_tag_is_ours_only_if_a_revision_of_ours_was_given_it() -> None:
    assert a_live(a_revision("v2"), a_revision("v1", tag="v1")).own_tags == {"v1"}


def test_a_url_is_found_by_revision_and_by_tag() -> None:
    assert (SERVICE.uri_of("v1"), SERVICE.uri_of_tag("v1")) == ("https://v1---api", "https://v1---api")
    assert (SERVICE.uri_of("v2"), SERVICE.uri_of_tag("v2")) == ("", "")
