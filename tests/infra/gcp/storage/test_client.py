"""Calls to Cloud Storage on behalf of many runs, from one process."""

from __future__ import annotations

from pathlib import Path

import httpx

from infra.gcp.calls.attempts import calling
from infra.gcp.storage import buckets
from tests.conftest import LocalCloud


async def call_for_runs(count: int) -> list[str]:
    """One call for each of so many runs; their request reasons."""
    reasons = [f"slipway/run-{number}" for number in range(count)]
    for reason in reasons:
        with calling(reason, notice=print):
            assert await buckets.get_bucket("nobody-has-this-bucket") is None
    return reasons


def sockets() -> int:
    return sum(str(fd.readlink()).startswith("socket:") for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink())


async def test_each_run_is_named_in_its_own_calls(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    httpx.delete(f"{cloud.admin}/calls", trust_env=False).raise_for_status()
    reasons = await call_for_runs(3)
    journal = httpx.get(f"{cloud.admin}/calls", trust_env=False).json()["journal"]
    told = [row["headers"]["x-goog-request-reason"] for row in journal if row["method"] == "storage.buckets.get"]
    assert told == reasons


async def test_a_process_that_sees_many_runs_keeps_no_connection_of_each(cloud_env: dict[str, str]) -> None:
    await call_for_runs(1)
    before = sockets()
    await call_for_runs(30)
    assert sockets() <= before + 3
