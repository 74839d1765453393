"""The page: what a person sees of it in ten seconds, whatever the names hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import ArtifactCollection

from api.page import Drift, Shown, ago, drift_of, html
from tasks.history.record import ReleaseRecord, TargetRecord
from tasks.history.status import Standing
from tasks.observe.serving import Measured, Serving
from tasks.observe.versions import Environment, Row

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


class Text(HTMLParser):
    """What is shown, and where links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.said, self.links, self._hidden = "", list[str](), False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden = tag in ("style", "script")
        self.links += [str(value) for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.said += "" if self._hidden else f" {data}"


def row(standing: Standing = Standing.IN_STEP, **more: Any) -> Row:
    given: dict[str, Any] = {
        "service": "web",
        "region": "europe-west1",
        "desired": "v1.4.0",
        "current": {"v1.4.0": 100},
        "standing": standing,
        "since": NOW - timedelta(hours=3),
        "by": "ada@example.com",
        "run_id": "run-7",
        "url": "https://web.example",
        **more,
    }
    return Row(**given)


def record(**more: Any) -> ReleaseRecord:
    given: dict[str, Any] = {
        "app": "shop",
        "environment": "production",
        "version": "v1.4.0",
        "kind": "release",
        "commit": "c",
        "run_id": "run-7",
        "started": NOW - timedelta(hours=3),
        "state": "released",
        **more,
    }
    return ReleaseRecord(**given)


def page(*environments: Shown, active: tuple[dict[str, Any], ...] = ()) -> Text:
    return Text(html(environments, active, "https://prefect.example", NOW, NOW))


def said(text: Text) -> str:
    return " ".join(text.said.split())


def test_when_all_is_well_it_says_so_first_and_what_serves_since_when_by_whom() -> None:
    found = page(Shown("shop", "production", (row(),), (record(),)))
    assert said(found).index("✓ All is well") < said(found).index("shop · production")
    assert "serves v1.4.0" in said(found)
    assert "since 2026-11-28 09:00 (3 hours ago), by ada@example.com" in said(found)
    assert "https://prefect.example/runs/flow-run/run-7" in found.links
    assert "should serve" not in said(found)


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        (
            Shown("shop", "production", (row(Standing.DIFFERS, current={"v1.3.0": 60, "v1.4.0": 40}),)),
            "shop in production: web in europe-west1 should serve v1.4.0 and serves v1.3.0, v1.4.0.",
        ),
        (Shown("shop", "production", (row(Standing.DIFFERS, current={}),)), "serves nothing."),
        (Shown("shop", "production", problem="the bucket is gone"), "shop in production cannot be read."),
        (
            Shown("shop", "production", (row(),), (record(state="failed", targets=(
                TargetRecord(service="web", region="r", outcome="failed"),)),)),
            "shop in production: v1.4.0 (failed) has not been tidied up after; reconcile does that.",
        ),
        (Shown("shop", "production", (row(),), drift=Drift(2, "11:00", "run-8")), "shop in production has drifted."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_else(environment: Shown, problem: str) -> None:
    found = said(page(environment))
    assert found.index("✗ Something is wrong") < found.index(problem) < found.index("shop · production")


def serving(measured: Measured | None = None, unknown: str = "", version: str = "v1.4.0") -> Serving:
    settings = "1 CPU, 0.5 GiB, 0 to 10 instances, 80 requests at once, paid while it answers"
    return Serving(version, f"shop-web-{version}", measured, unknown, settings)


@pytest.mark.parametrize(
    ("measured", "unknown", "words"),
    [
        (Measured(1234, 0.0026, 120.4), "", "last hour: 1,234 requests, 0.3% errors, p95 120 ms"),
        (Measured(1, 0.0, None), "", "last hour: 1 request, 0.0% errors, latency not known"),
        (Measured(), "", "last hour: no requests"),
        (None, "an API is switched off.", "errors and latency are not known: an API is switched off."),
    ],
)
def test_how_a_version_does_is_told_and_what_is_not_known_is_said_to_be(
    measured: Measured | None, unknown: str, words: str
) -> None:
    found = said(page(Shown("shop", "production", (row(serving=(serving(measured, unknown),)),))))
    assert words in found
    assert "0 to 10 instances" in found
    assert "All is well" in found


def test_too_many_errors_are_a_problem_of_the_version_that_has_them() -> None:
    bad = serving(Measured(100, 0.4, 90.0, "40 of 100 requests failed (40 %): surely above 10 %"), version="v1.5.0")
    both = row(Standing.MOVING, current={"v1.4.0": 80, "v1.5.0": 20}, serving=(serving(Measured(400, 0.0, 9.0)), bad))
    found = said(page(Shown("shop", "production", (both,))))
    assert "shop in production: web in europe-west1 answers with errors: 40 of 100 requests failed (40 %)" in found
    assert "v1.5.0 last hour: 100 requests, 40.0% errors, p95 90 ms" in found


@pytest.mark.parametrize(
    ("drift", "words"),
    [
        (None, "drift: nobody has looked since the last release"),
        (Drift(0, "11-28 11:00", "run-8"), "no drift, as of 11-28 11:00"),
        (Drift(2, "11-28 11:00", "run-8"), "2 of its services and settings differ from what was released"),
    ],
)
def test_that_nobody_has_looked_for_drift_is_not_that_there_is_none(drift: Drift | None, words: str) -> None:
    assert words in said(page(Shown("shop", "production", (row(),), drift=drift)))


def test_a_look_for_drift_counts_from_the_last_release_on() -> None:
    environment = Environment("shop", "production", (row(),), (record(),))
    data = [{"drift": "none"}, {"drift": "by somebody else"}]
    looked = ArtifactCollection(key="x", latest_id=uuid4(), data=data, updated=NOW, flow_run_id=uuid4())
    assert drift_of(looked, environment) == Drift(1, "11-28 12:00", str(looked.flow_run_id))
    assert drift_of(looked.model_copy(update={"updated": NOW - timedelta(days=1)}), environment) is None
    assert drift_of(None, environment) is None


def test_what_can_be_started_there_has_a_link_to_its_form() -> None:
    found = page(Shown("shop", "production", (row(),), forms={"rollback": "id-3", "deploy": "id-1"}))
    assert "https://prefect.example/deployments/deployment/id-3/run" in found.links
    assert "deploy … · rollback …" in said(found)


def test_what_is_under_way_is_named_and_is_not_wrong() -> None:
    run = {"id": "run-9", "name": "shop v1.5.0 -> production", "state": "Running", "since": "2026-11-28T11:59:00"}
    found = page(Shown("shop", "production", (row(Standing.MOVING),)), active=(run,))
    assert "All is well" in said(found)
    assert "shop v1.5.0 -> production : Running, began 60 seconds ago" in said(found)


def test_a_run_that_waits_for_an_approval_says_so() -> None:
    run = {"id": "run-9", "name": "shop v1.5.0 -> production", "state": "Paused", "since": "2026-11-28T09:00:00+00:00"}
    found = page(Shown("shop", "production", (row(Standing.MOVING),)), active=(run,))
    assert "waits for a person to say whether it goes on, began 3 hours ago" in said(found)
    assert "before it" not in said(found)  # what serves is what served before


def test_a_release_whose_run_is_over_is_not_under_way() -> None:
    begun = record(version="v1.5.0", state="started")
    found = said(page(Shown("shop", "production", (row(Standing.MOVING),), (begun,), left=(begun,))))
    assert "✗ Something is wrong" in found
    assert "shop in production: v1.5.0 was begun, and its run is over; reconcile tidies up after it." in found


def test_a_release_that_failed_and_left_users_what_they_had_is_told_and_is_not_wrong() -> None:
    failed = record(version="v1.5.0", state="failed", reason="web did not start: ModuleNotFoundError\nTraceback")
    found = said(page(Shown("shop", "production", (row(),), (failed, record()))))
    assert "✓ All is well" in found
    assert (
        "△ shop in production: the last release, v1.5.0, failed: web did not start: ModuleNotFoundError As of" in found
    )


def test_many_apps_have_a_line_each_before_any_of_them_is_shown_in_full() -> None:
    bad = Shown("app-7", "production", (row(Standing.DIFFERS, current={"v1.3.0": 100}),))
    found = page(*(Shown(f"app-{number}", "production", (row(),)) for number in range(7)), bad)
    first = said(found).partition("= in step")[0]
    assert "app-3 · production v1.4.0 3 hours ago ✓ well" in first
    assert "app-7 · production v1.3.0 3 hours ago ✗ wrong" in first
    assert "#app-7/production" in found.links


def test_nothing_released_is_an_answer_too() -> None:
    assert said(page()).startswith("Nothing was released yet")
    assert "slipway deploy" in said(page())
    assert "No release has been recorded here." in said(page(Shown("shop", "production")))


def test_no_name_becomes_a_part_of_the_page() -> None:
    evil = "<script>alert(1)</script>"
    text = html(
        [Shown(evil, evil, (row(service=evil, by=evil, current={evil: 50}),), (record(reason=evil, version=evil),))],
        [{"id": "x", "name": evil, "state": evil, "since": None}],
        "https://prefect.example",
        NOW,
        NOW,
    )
    assert "alert" in text
    assert "<script>" not in text
    assert text.count("<script") == 1  # its own


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 seconds ago"), (119, "119 seconds ago"), (120, "2 minutes ago"), (7200, "2 hours ago")],
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert ago(timedelta(seconds=seconds)) == words
