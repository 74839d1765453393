"""What is known of each resource, from the lines that Terraform really writes."""

from __future__ import annotations

import json

import pytest

from infra.terraform.events import Event, Kind, parse
from infra.terraform.plan import Change, Plan
from tasks.provision.progress import Progress, Stage, line
from tasks.provision.progress import planned as planned_of

BUCKET = 'google_storage_bucket.bucket["up"]'


def hook(kind: str, action: str = "create", seconds: float = 0, address: str = BUCKET) -> str:
    about = {"resource": {"addr": address}, "action": action, "elapsed_seconds": seconds}
    return json.dumps({"@level": "info", "@message": "", "type": kind, "hook": about})


def planned(action: str, address: str = BUCKET) -> str:
    change = {"resource": {"addr": address}, "action": action}
    return json.dumps({"@message": "", "type": "planned_change", "change": change})


def wrong(summary: str, address: str = BUCKET) -> str:
    said = {"severity": "error", "summary": summary, "detail": "", "address": address}
    return json.dumps({"@level": "error", "@message": f"Error: {summary}", "type": "diagnostic", "diagnostic": said})


def heard(*lines: str, ok: bool = True) -> Progress:
    known = Progress()
    for each in lines:
        known = known.heard(parse(each))
    return known.ended(ok=ok)


@pytest.mark.parametrize(
    ("lines", "ok", "stage", "seconds"),
    [
        ([planned("create"), hook("apply_start"), hook("apply_complete", seconds=4)], True, Stage.DONE, 4),
        ([planned("create")], False, Stage.PLANNED, 0),
        ([planned("create"), hook("apply_start"), hook("apply_progress", seconds=10)], False, Stage.LEFT, 10),
        ([hook("apply_start"), hook("apply_errored", seconds=2), wrong("Error 409")], False, Stage.FAILED, 2),
        (
            [planned("replace"), hook("apply_complete", "delete", 1), hook("apply_complete", "create", 2)],
            True,
            Stage.DONE,
            3,
        ),
    ],
)
def test_how_far_a_resource_has_come(lines: list[str], ok: bool, stage: Stage, seconds: float) -> None:
    found = heard(*lines, ok=ok).resources[BUCKET]
    assert (found.stage, found.seconds) == (stage, seconds)


def test_what_a_provider_says_is_told_without_what_must_not_be_seen() -> None:
    key = "AIza" + "Sy0123456789abcdefghijklmnopqrstuvwxyz"
    known = heard(hook("apply_start"), wrong(f"Error 400: key {key}"), wrong("no state", address=""), ok=False)
    assert "Error 400: key" in known.resources[BUCKET].error
    assert known.errors == ("no state",)
    assert key not in str(known)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (hook("apply_start"), f"{BUCKET}: making"),
        (hook("apply_progress", seconds=20), f"{BUCKET}: still making after 20 s"),
        (hook("apply_complete", "delete", 3), f"{BUCKET}: deleted after 3 s"),
        ('{"@message": "Terraform 1.11.4", "type": "version"}', ""),
    ],
)
def test_what_is_told_as_it_happens(said: str, told: str) -> None:
    assert line(parse(said)) == told


@pytest.mark.parametrize("said", ["", "plain text", "[1]", '{"type": "apply_', '{"type": "unheard of"}', "{}"])
def test_no_line_is_too_strange(said: str) -> None:
    assert parse(said).kind is Kind.TEXT
    assert Progress().heard(Event(Kind.TEXT, said)) == Progress()


def test_of_what_is_only_adopted_terraform_says_no_more_than_the_plan() -> None:
    plan = Plan((Change(BUCKET, "google_storage_bucket", ("no-op",), imports="p/b"),))
    assert planned_of(plan).ended(ok=True).resources[BUCKET].stage is Stage.DONE
    assert planned_of(plan).ended(ok=False).resources[BUCKET].action == "adopt"
