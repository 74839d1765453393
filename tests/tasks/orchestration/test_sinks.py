"""Where lines are sent, and how they look there."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client

from infra.gcp.calls.clients import current_credentials
from tasks.orchestration.channel import Entry, Shown, Standing
from tasks.orchestration.sinks import (
    CloudLogging,
    Console,
    Firestore,
    RedisStream,
    documents,
    severity,
    sinks_of,
)
from tests.conftest import PROJECT, LocalCloud


def entry(number: int = 0, run: str = "run-7") -> Entry:
    return Entry(run, "shop v1.0.0 -> staging", "", 1_800_000_000.5, number, logging.WARNING, f"line {number}")


def test_one_variable_names_all_places_and_what_names_none_is_told() -> None:
    found, unknown = sinks_of("console cloud-logging:acme-prod\n redis://:secret@cache:6379/0 cloud-logging: syslog")
    assert found == [Console(), CloudLogging("acme-prod"), RedisStream("redis://:secret@cache:6379/0")]
    assert [each.name for each in found] == ["the console", "Cloud Logging of acme-prod", "Redis at cache:6379/0"]
    assert unknown == ["cloud-logging:", "syslog"]
    assert sinks_of("firestore:acme firestore:acme/logs firestore:") == (
        [Firestore("acme"), Firestore("acme", "logs")],
        ["firestore:"],
    )
    assert sinks_of("") == ([], [])


@pytest.mark.parametrize(
    ("level", "name"), [(10, "INFO"), (20, "INFO"), (30, "WARNING"), (35, "WARNING"), (40, "ERROR"), (50, "CRITICAL")]
)
def test_severity(level: int, name: str) -> None:
    assert severity(level) == name


async def test_the_console_has_one_structured_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    await Console().send([entry(0), entry(1)])
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "severity": "WARNING",
        "time": "2027-01-15T08:00:00.500000+00:00",
        "message": "line 0",
        "logging.googleapis.com/labels": {"run": "run-7", "run_name": "shop v1.0.0 -> staging"},
    }
    assert second["message"] == "line 1"


@pytest.fixture
async def run(cloud_env: dict[str, str]) -> AsyncIterator[str]:
    yield str(uuid4())


async def test_cloud_logging_shows_each_line_once_though_it_is_sent_again(run: str) -> None:
    sink = CloudLogging(PROJECT)
    for _ in range(2):
        await sink.send([entry(number, run) for number in range(3)])
    client = LoggingServiceV2Client(credentials=current_credentials())
    wanted = f'logName="projects/{PROJECT}/logs/slipway" AND labels.run="{run}"'
    found = list(client.list_log_entries({"resource_names": [f"projects/{PROJECT}"], "filter": wanted}))
    assert sorted(each.text_payload for each in found) == ["line 0", "line 1", "line 2"]
    assert {each.severity for each in found} == {logging.WARNING * 10 + 100}


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
async def test_gcloud_reads_the_lines_of_a_run_by_its_labels(run: str, cloud: LocalCloud) -> None:
    about = {"app": "shop", "environment": "staging"}
    lines = [replace(entry(number, run), app="shop", environment="staging") for number in range(3)]
    await CloudLogging(PROJECT).send(lines)
    wanted = (
        f'logName="projects/{PROJECT}/logs/slipway" AND labels.run="{run}" AND labels.app=shop AND severity>=WARNING'
    )
    command = ["gcloud", "logging", "read", wanted, "--format=json", "--order=asc", f"--project={PROJECT}"]
    done = subprocess.run(  # noqa: ASYNC221 - nothing else waits
        [*command, "--freshness=3650d"], env=cloud.env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["textPayload"] for each in found] == ["line 0", "line 1", "line 2"]
    assert {(each["severity"], each["trace"]) for each in found} == {
        ("WARNING", f"projects/{PROJECT}/traces/{run.replace('-', '')}")
    }
    assert found[0]["labels"] == {"run": run, "run_name": "shop v1.0.0 -> staging", **about}


def test_firestore_has_a_document_for_each_line_and_one_for_how_the_run_stands() -> None:
    made = Shown("shop-services", "table", "Services", "[]")
    stands = replace(entry(3), standing=Standing("completed", progress=100.0, artifacts=(made,)))
    line, again, run, artifact = documents([entry(0), entry(0), stands])
    assert line == again  # sent twice, it is there once
    assert line.path.startswith("deployments/run-7/logs/")
    assert line.fields["message"] == "line 0"
    assert (run.path, run.merge) == ("deployments/run-7", True)
    assert {"status": "completed", "progress": 100.0}.items() <= run.fields.items()
    assert "stage" not in run.fields  # what is not said stays as it was
    assert (artifact.path, artifact.fields["data"]) == ("deployments/run-7/artifacts/shop-services", "[]")
