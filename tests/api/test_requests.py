"""Who may ask, and what is answered: starting, cancelling, health, the live log."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from google.cloud import monitoring_v3
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import LogCreate, WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed, Running
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from api.guard import Limit
from api.metrics import CUSTOM
from api.settings import Settings
from tasks.names.tags import STARTED_BY, tags_of
from tests.api.conftest import POOL, TOKEN, a_run, registered, serving
from tests.conftest import PROJECT, LocalCloud

PATHS = [
    "/",
    "/versions",
    "/health/workers",
    "/queue",
    "/deployments/active",
    "/metrics",
    f"/deployments/{UUID(int=7)}",
]


async def say(client: PrefectClient, run: FlowRun, *messages: str) -> None:
    now = datetime.now(UTC)
    lines = [
        LogCreate(name="flow", level=20, message=text, timestamp=now + timedelta(microseconds=n), flow_run_id=run.id)
        for n, text in enumerate(messages)
    ]
    await client.create_logs(lines)


async def events(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, str]]:
    """As a browser reads them."""
    event: dict[str, str] = {}
    async for line in lines:
        if not line:
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            event[name] = value


async def followed(http: httpx.AsyncClient, run: FlowRun, last: str = "") -> list[dict[str, str]]:
    headers = {"Last-Event-ID": last} if last else {}
    async with http.stream("GET", f"/deployments/{run.id}/logs/stream", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [event async for event in events(answer.aiter_lines())]


def messages(found: list[dict[str, str]]) -> list[str]:
    return [json.loads(event["data"])["message"] for event in found if event["event"] == "line"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic", "Basic !", "Basic YTp3cm9uZw==", "Digest x"])
async def test_without_the_token_nothing_is_told(stranger: httpx.AsyncClient, path: str, given: str) -> None:
    answer = await stranger.get(path, headers={"Authorization": given} if given else {})
    assert answer.status_code == 401
    assert "Basic" in answer.headers["www-authenticate"]


async def test_a_browser_gives_the_token_as_password_and_health_needs_none(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/queue", auth=("anybody", TOKEN.decode()))).status_code == 200
    assert (await stranger.get("/queue", headers={"Authorization": "Bearer an-older-token"})).status_code == 200
    assert (await stranger.get("/health")).json() == {"status": "ok"}


async def test_a_page_of_another_site_starts_nothing(http: httpx.AsyncClient) -> None:
    answer = await http.post(f"/deployments/{uuid4()}/cancel", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


async def test_without_tokens_only_this_machine_is_answered_by_its_own_name(prefect: None) -> None:
    async with serving(Settings()) as address, httpx.AsyncClient(base_url=address, trust_env=False) as http:
        assert (await http.get("/queue")).status_code == 200
        rebound = await http.get("/queue", headers={"Host": "evil.example"})
        assert rebound.status_code == 403


async def test_who_asks_too_often_waits(prefect: None) -> None:
    async with serving(Settings(per_minute=2)) as address, httpx.AsyncClient(base_url=address, trust_env=False) as http:
        answers = await asyncio.gather(*(http.get("/openapi.json") for _ in range(12)))
        assert {each.status_code for each in answers} == {200, 429}
        waits = [int(each.headers["retry-after"]) for each in answers if each.status_code == 429]
        assert all(1 <= wait <= 31 for wait in waits)
        assert (await http.get("/health")).status_code == 200


def test_a_bucket_fills_evenly_and_holds_a_minutes_worth() -> None:
    limit = Limit(60)
    assert [limit.wait_s("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert limit.wait_s("a", 0.0) == pytest.approx(1.0)
    assert limit.wait_s("b", 0.0) == 0.0
    assert limit.wait_s("a", 1.1) == 0.0
    assert limit.wait_s("a", 1.1) > 0
    assert [limit.wait_s("a", 3600.0) for _ in range(61)].count(0.0) == 60


async def test_a_run_is_started_once_for_a_key_and_by_whom_it_says(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://host/{name}.git")
    wanted = {"app": name, "environment": "staging", "ref": "v1.0.0", "parameters": {"services": ["web"]}}
    headers = {"Idempotency-Key": uuid4().hex, "Slipway-Started-By": "ada"}
    answers = [await http.post("/deployments", json=wanted, headers=headers) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202]
    assert len({each.json()["id"] for each in answers}) == 1
    run = await client.read_flow_run(UUID(answers[0].json()["id"]))
    assert run.parameters["source"]["ref"] == "v1.0.0"
    assert run.parameters["services"] == ["web"]
    assert run.labels[STARTED_BY] == "ada"
    another = await http.post("/deployments", json=wanted)
    assert another.json()["id"] != str(run.id)
    await client.set_flow_run_state(run.id, Running(), force=True)
    cancelled = await http.post(f"/deployments/{run.id}/cancel")
    assert cancelled.status_code == 202
    assert (await http.get(f"/deployments/{run.id}")).json()["state"] == "Cancelling"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"app": "nobody", "environment": "staging"}, 404),
        ({"app": "shop", "environment": "staging", "flow": "cleanup"}, 422),
        ({"app": "shop"}, 422),
        ({"app": "shop", "environment": "staging", "more": 1}, 422),
    ],
)
async def test_what_cannot_be_started_is_refused(http: httpx.AsyncClient, wanted: dict[str, Any], code: int) -> None:
    answer = await http.post("/deployments", json=wanted)
    assert answer.status_code == code
    assert answer.json()["detail"]


async def test_another_source_than_the_registered_one_is_refused(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://host/{name}.git")
    evil = {"source": {"repository": "https://evil.example/x.git"}}
    answer = await http.post("/deployments", json={"app": name, "environment": "staging", "parameters": evil})
    assert answer.status_code == 422


async def test_only_runs_of_slipway_that_have_not_ended_are_cancelled(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    theirs, ended = await a_run(client, "backup"), await a_run(client)
    await client.set_flow_run_state(ended.id, Completed(), force=True)
    codes = [(await http.post(f"/deployments/{run}/cancel")).status_code for run in (theirs.id, ended.id, uuid4())]
    assert codes == [404, 409, 404]


async def test_what_is_under_way_is_listed(http: httpx.AsyncClient, client: PrefectClient) -> None:
    run = await a_run(client, "deploy", *tags_of("shop", "production"))
    [row] = [each for each in (await http.get("/deployments/active")).json() if each["id"] == str(run.id)]
    assert (row["app"], row["environment"], row["state"]) == ("shop", "production", "Running")


async def test_an_open_page_is_told_when_it_has_changed(
    http: httpx.AsyncClient, stranger: httpx.AsyncClient, client: PrefectClient
) -> None:
    assert (await stranger.get("/live")).status_code == 401
    page = await http.get("/")
    (once,) = re.findall(r'<script nonce="(.+?)">', page.text)
    assert f"script-src 'nonce-{once}'" in page.headers["content-security-policy"]
    async with http.stream("GET", "/live") as answer, asyncio.timeout(120):
        lines = answer.aiter_lines()
        assert await anext(lines) == ": open"
        await a_run(client, "deploy", *tags_of(f"shop-{uuid4().hex[:8]}", "production"))
        assert (await anext(events(lines)))["event"] == "changed"


async def test_a_pool_without_a_worker_is_not_well_and_what_waits_for_one_is_counted(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    await registered(client, name, f"https://host/{name}.git")
    started = (await http.post("/deployments", json={"app": name, "environment": "staging"})).json()["id"]
    workers = await http.get("/health/workers")
    assert workers.status_code == 503
    [pool] = [each for each in workers.json()["pools"] if each["pool"] == POOL]
    assert (pool["online"], pool["able"]) == ([], False)
    [waiting] = [each for each in (await http.get("/queue")).json() if each["pool"] == POOL]
    assert started in {run["id"] for run in waiting["runs"]}
    assert waiting["waiting"] >= 1
    await client.send_worker_heartbeat(POOL, "busy-bee", heartbeat_interval_seconds=30)
    pools = (await http.get("/health/workers")).json()["pools"]
    assert [each["online"] for each in pools if each["pool"] == POOL] == [["busy-bee"]]


async def test_metrics_are_open_metrics(http: httpx.AsyncClient, client: PrefectClient) -> None:
    await a_run(client)
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    found = {family.name: family for family in text_string_to_metric_families(answer.text)}
    [active] = found["slipway_runs_active"].samples
    assert active.value >= 1


async def test_what_metrics_tell_is_written_to_cloud_monitoring_if_asked_for(
    client: PrefectClient, cloud: LocalCloud
) -> None:
    pool = f"pool-{uuid4().hex[:8]}"
    await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    said = f'metric.type = "{CUSTOM}runs_waiting" AND metric.labels.pool = "{pool}"'
    async with serving(Settings(metrics_project=PROJECT)), asyncio.timeout(120):
        while True:
            span = {"end_time": datetime.now(UTC), "start_time": datetime.now(UTC) - timedelta(hours=1)}
            asked = {"name": f"projects/{PROJECT}", "filter": said, "interval": span}
            found = list(monitoring_v3.MetricServiceClient().list_time_series(request=asked))
            if found:
                break
            await asyncio.sleep(0.2)
    assert [point.value.double_value for point in found[0].points] == [0.0]


async def test_the_log_is_told_live_to_all_who_listen_and_ends_with_the_run(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    run = await a_run(client)
    expected = [f"line {n}" for n in range(500)]
    await say(client, run, *expected[:200])
    listeners = [asyncio.create_task(followed(http, run)) for _ in range(3)]
    await say(client, run, *expected[200:400])
    await say(client, run, *expected[400:], "token=ghp_" + "a" * 36)
    await say(client, run, "Finished in state Completed()")
    await client.set_flow_run_state(run.id, Completed(), force=True)
    for found in await asyncio.gather(*listeners):
        assert messages(found) == [*expected, "token=***", "Finished in state Completed()"]
        assert len({event["id"] for event in found if "id" in event}) == 502
        assert found[-1] == {"event": "end", "data": '{"state": "Completed"}'}


async def test_who_comes_back_goes_on_after_the_line_that_came_last(
    http: httpx.AsyncClient, client: PrefectClient
) -> None:
    run = await a_run(client)
    await say(client, run, *(f"line {n}" for n in range(10)))
    async with http.stream("GET", f"/deployments/{run.id}/logs/stream") as answer:  # keeps the log in the server
        listened = events(answer.aiter_lines())
        first = [await anext(listened) for _ in range(6)]
        work = asyncio.create_task(followed(http, run, first[-1]["id"]))
        await say(client, run, "line 10", "Finished in state Completed()")
        await client.set_flow_run_state(run.id, Completed(), force=True)
        rest = messages(await work)
    assert [*messages(first), *rest] == [*(f"line {n}" for n in range(11)), "Finished in state Completed()"]
    anew = messages(await followed(http, run, first[-1]["id"]))  # a server that has to read it again loses nothing
    assert anew[-len(rest) :] == rest


async def test_a_run_that_nobody_knows_has_no_log(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/deployments/{uuid4()}/logs/stream")).status_code == 404
