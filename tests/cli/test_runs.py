"""What the end of a run means to a terminal."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from cli.runs import RunResult
from tasks.drift.compare import DriftKind


def ended(state: str = "Completed", **tables: list[dict[str, Any]]) -> RunResult:
    return RunResult(uuid4(), "drift in production", state, "", "", tables)


@pytest.mark.parametrize("kind", DriftKind)
def test_any_service_that_differs_is_drift(kind: DriftKind) -> None:
    rows = [{"service": "api", "drift": str(DriftKind.NONE)}, {"service": "web", "drift": str(kind)}]
    assert ended(drift=rows).drifted is (kind is not DriftKind.NONE)


def test_a_run_that_compared_nothing_found_no_drift() -> None:
    assert not ended().drifted
    assert not ended(drift=[]).drifted
