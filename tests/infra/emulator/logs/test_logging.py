"""Cloud Logging on the local cloud: what is written is found again, by the query language people use."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.types import LogEntry

from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.store import Store
from infra.emulator.logs.entries import KEEP, SLACK, Logs, log_name
from infra.emulator.logs.filter import compile_filter
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_storage import rest
from tests.infra.emulator.identities import new_identity

PARENT = f"projects/{PROJECT}"
START = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


@pytest.fixture
def client(cloud_env: dict[str, str]) -> LoggingServiceV2Client:
    return LoggingServiceV2Client()


@pytest.fixture
def log(client: LoggingServiceV2Client) -> str:
    """A log of nine entries, a second apart, every third an error."""
    name = log_name(PROJECT, f"tests/{next(_numbers)}")
    entries = [
        LogEntry(
            text_payload=f"line {number}",
            timestamp=START + timedelta(seconds=number),
            severity="INFO" if number % 3 else "ERROR",
            labels={"number": str(number)},
        )
        for number in range(1, 10)
    ]
    resource = {"type": "cloud_run_revision", "labels": {"service_name": "api", "revision_name": "api-1"}}
    client.write_log_entries(log_name=name, resource=resource, labels={"run": "7"}, entries=entries)
    return name


def read(client: LoggingServiceV2Client, text: str, **fields: Any) -> list[str]:
    request = {"resource_names": [PARENT], "filter": text, **fields}
    return [entry.text_payload.removeprefix("line ") for entry in client.list_log_entries(request=request)]


def test_entries_come_in_order_page_by_page(client: LoggingServiceV2Client, log: str) -> None:
    query = f'logName="{log}"'
    for size in (1, 2, 100):
        assert read(client, query, page_size=size) == list("123456789")
        assert read(client, query, page_size=size, order_by="timestamp desc") == list("987654321")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('resource.type="cloud_run_revision" resource.labels.service_name="api"', "123456789"),
        ('resource.labels.service_name="web"', ""),
        ("severity>=ERROR", "369"),
        ("severity=INFO", "124578"),
        ("severity>=WARNING OR labels.number=1", "1369"),
        ('timestamp>"2026-01-01T00:00:07Z"', "89"),
        ('timestamp>="2026-01-01T00:00:02Z" AND timestamp<="2026-01-01T01:00:04+01:00"', "234"),
        ('textPayload:"LINE 4"', "4"),
        ("textPayload=~\"[78]$\"", "78"),
        ('textPayload!~"[1-8]"', "9"),
        ('labels.number=("2" OR "5")', "25"),
        ("labels.number>7", "89"),
        ("NOT severity=INFO", "369"),
        ("-severity=INFO", "369"),
        ('severity=ERROR (labels.number="3" OR labels.number="4")', "3"),
        ('"line 5"', "5"),
        ('labels."run"=7 AND labels.number<2', "1"),
        ("labels.missing=1", ""),
        ("labels.number:*", "123456789"),
        ("labels.number=1 -- a comment", "1"),
        ('labels.number!=("1" AND "2")', "3456789"),
        ('labels.number!="none" AND colour!=red', "123456789"),
        ("labels:NUMBER", "123456789"),
    ],
)  # fmt: skip
def test_the_query_language_finds(client: LoggingServiceV2Client, log: str, text: str, numbers: str) -> None:
    assert read(client, f'logName="{log}" AND ({text}\n)') == list(numbers)
    log_id = log.rsplit("/", 1)[1].replace("%2F", "/")
    assert read(client, f'log_id("{log_id}") AND ({text}\n)') == list(numbers)


@pytest.mark.parametrize(
    "text", ["severity>=", "(a=1", 'a="', "severity>=LOUD", "timestamp>yesterday", 'a=~"("', ")", "size(a)"]
)
def test_a_query_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(RpcError, match="Unparseable filter"):
        compile_filter(text)


def test_or_binds_closer_than_and() -> None:
    matches = compile_filter("labels.a=1 AND labels.b=1 OR labels.c=1")
    assert not matches(LogEntry.pb(LogEntry(labels={"c": "1"})))
    assert matches(LogEntry.pb(LogEntry(labels={"a": "1", "c": "1"})))


def test_logs_are_listed_and_deleted(client: LoggingServiceV2Client, log: str) -> None:
    assert log in list(client.list_logs(parent=PARENT))
    client.delete_log(log_name=log)
    assert log not in list(client.list_logs(parent=PARENT))
    assert read(client, f'logName="{log}"') == []


def test_reading_needs_the_right_to(client: LoggingServiceV2Client, tmp_path: Path) -> None:
    writer = new_identity(tmp_path, ["roles/logging.logWriter"])
    theirs = LoggingServiceV2Client(credentials=writer.credentials)
    theirs.write_log_entries(entries=[LogEntry(log_name=log_name(PROJECT, "theirs"), text_payload="x")])
    with pytest.raises(exceptions.PermissionDenied, match=r"logging\.logEntries\.list"):
        theirs.list_log_entries(resource_names=[PARENT])


def test_a_log_keeps_its_newest_entries_through_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    logs = Logs(store)
    for number in range(KEEP + SLACK):
        logs.write("p", "run.googleapis.com/stdout", "cloud_run_revision", {"service_name": "api"}, str(number))
    reopened = Logs(Store(tmp_path / "state.db"))
    reopened.write("p", "run.googleapis.com/stdout", "cloud_run_revision", {"service_name": "api"}, "after")
    texts = [entry.text_payload for entry in reopened.entries("p")]
    assert texts == [*(str(number) for number in range(SLACK, KEEP + SLACK)), "after"]


def test_answers_are_as_googles_document_says(cloud: LocalCloud, log: str) -> None:
    api = "https://logging.googleapis.com/v2"
    with rest(cloud) as http:
        asked = {"resourceNames": [PARENT], "filter": f'logName="{log}"', "orderBy": "timestamp desc", "pageSize": 2}
        assert len(http.post(f"{api}/entries:list", json=asked).json()["entries"]) == 2
        http.get(f"{api}/{PARENT}/logs").raise_for_status()
        assert http.checked == 2
