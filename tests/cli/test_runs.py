"""What the end of a run means to a terminal."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any
from uuid import uuid4

import httpx
import pytest

from cli.runs import RunResult, refusals
from tasks.drift.compare import DriftKind
from tasks.failures.errors import PrefectUnavailable
from tests.serving import serving


def ended(state: str = "Completed", **tables: list[dict[str, Any]]) -> RunResult:
    return RunResult(uuid4(), "drift in production", state, "", "", tables)


@pytest.mark.parametrize("kind", DriftKind)
def test_any_service_that_differs_is_drift(kind: DriftKind) -> None:
    rows = [{"service": "api", "drift": str(DriftKind.NONE)}, {"service": "web", "drift": str(kind)}]
    assert ended(drift=rows).drifted is (kind is not DriftKind.NONE)


def test_a_run_that_compared_nothing_found_no_drift() -> None:
    assert not ended().drifted
    assert not ended(drift=[]).drifted


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "PREFECT_API_AUTH_STRING"), (500, "read the log of the Prefect server")]
)
def test_a_server_that_fails_is_not_taken_for_one_that_asks_who_we_are(status: int, remedy: str) -> None:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Answering) as address, pytest.raises(PrefectUnavailable) as said, refusals(address):
        httpx.get(address, trust_env=False).raise_for_status()
    assert remedy in said.value.remedy
    assert ("PREFECT_API_URL" in said.value.remedy) == (status < 500)
