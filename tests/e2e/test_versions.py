"""What `slipway serve` tells of a release that was really made: the page, JSON, and what Prometheus gets."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from prefect import flow
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from api.settings import Settings
from flows.deploy import deploy
from tasks.orchestration.plain_errors import say_errors_plainly
from tasks.orchestration.step import step
from tasks.source.source import Source
from tests.api.conftest import serving
from tests.conftest import LocalCloud
from tests.e2e.conftest import App

pytestmark = pytest.mark.usefixtures("cloud_env")


async def test_what_serves_is_told_with_its_errors_latency_and_settings_and_what_is_unknown_too(
    shop: App, cloud: LocalCloud
) -> None:
    released = await deploy(Source(repository=str(shop.folder)), "production")
    async with serving(Settings()) as address, httpx.AsyncClient(trust_env=False, timeout=60) as http:
        assert {(await http.get(released.live[0].url)).status_code for _ in range(5)} == {200}
        await asyncio.sleep(1.1)  # until the second that they fell into is over: samples are taken once a second here
        [found] = [each for each in (await http.get(f"{address}/versions")).json() if each["app"] == shop.name]
        [row] = found["services"]
        [one] = row["serving"]
        assert (row["desired"], row["standing"], one["version"]) == ("v1.0.0", "in step", "v1.0.0")
        assert (one["requests"] >= 5, one["error_share"], one["unknown"]) == (True, 0.0, "")
        assert one["settings"].startswith("1 CPU, 0.5 GiB, 0 to ")
        page = (await http.get(address)).text
        assert f"{shop.name} · production" in page
        assert "0.0% errors, p95 " in page
        families = {
            each.name: each for each in text_string_to_metric_families((await http.get(f"{address}/metrics")).text)
        }
        [sample] = [each for each in families["slipway_version_requests"].samples if each.labels["app"] == shop.name]
        assert sample.value == one["requests"]
    cloud.put("/faults", [{"method": "*/ListTimeSeries", "code": "PERMISSION_DENIED"}])
    try:
        async with serving(Settings()) as address, httpx.AsyncClient(trust_env=False, timeout=60) as http:
            [found] = [each for each in (await http.get(f"{address}/versions")).json() if each["app"] == shop.name]
            [one] = found["services"][0]["serving"]
            assert (one["requests"], one["error_share"]) == (None, None)
            assert one["unknown"].startswith("Asking Cloud Monitoring failed.")
    finally:
        cloud.put("/faults", [])


@step("look", run_name="look at {number}", against=lambda found: "it is odd" if found % 2 else "")
async def look(number: int) -> int:
    return number


@flow(name="looking")
async def looking() -> list[int]:
    return [await look(2), await look(3)]


async def test_a_task_that_found_what_speaks_against_a_release_has_failed_and_its_caller_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    say_errors_plainly()
    engine = logging.getLogger("prefect.task_runs")
    engine.addHandler(caplog.handler)
    try:
        assert await looking() == [2, 3]
    finally:
        engine.removeHandler(caplog.handler)
    said = [each.getMessage() for each in caplog.records if each.name == "prefect.task_runs"]
    assert "Finished in state Failed: it is odd" in said
    assert not [each for each in caplog.records if each.exc_info]
