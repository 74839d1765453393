"""Logs of runs in the bucket of the records: complete, whoever writes them and whenever."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from subprocess import PIPE
from uuid import UUID, uuid4

import pytest
from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, LogCreate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.objects import State as RunState
from prefect.variables import Variable

from flows.reconcile import reconcile
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets, objects
from infra.gcp.storage.objects import StoredObject
from tasks.names.tags import tags_of
from tasks.observe.archive import Shelf, find, is_wanting, keep, keep_missing, log_name, newest, shelf_of
from tasks.observe.last_step import keep_log
from tasks.observe.lines import artifacts_of, read_lines
from tasks.observe.standing import show_end
from tasks.release.recall import variable_of
from tasks.source.source import Source
from tests.conftest import PROJECT, environment

# Writes so many lines, and once it is told to as many again.
DOOMED = """
import sys
from prefect import flow, get_run_logger, runtime, tags

@flow(name="deploy")
def doomed(many: int) -> None:
    print(runtime.flow_run.id, flush=True)
    for number in range(many):
        get_run_logger().info("line %d", number)
    sys.stdin.readline()
    for number in range(many, 2 * many):
        get_run_logger().info("line %d", number)
    print("written", flush=True)
    sys.stdin.readline()

with tags(*sys.argv[2:]):
    doomed(int(sys.argv[1]))
"""
pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture
async def client(prefect: None) -> AsyncIterator[PrefectClient]:
    async with get_client() as found:
        yield found


@pytest.fixture
async def shelf(prefect: None) -> Shelf:
    name = f"records-{uuid4().hex[:12]}"
    await buckets.create_bucket(name, PROJECT, "EUROPE-WEST1", {})
    return Shelf(name, "shop", f"production-{name[-4:]}")


async def a_run(client: PrefectClient, shelf: Shelf, flow: str = "deploy", **parameters: object) -> FlowRun:
    made = await client._client.post(
        "/flow_runs/",
        json={
            "flow_id": str(await client.create_flow_from_name(flow)),
            "parameters": parameters,
            "tags": list(tags_of(shelf.app, shelf.environment)),
            "state": {"type": "RUNNING"},
        },
    )
    return FlowRun.model_validate(made.raise_for_status().json())


async def say(client: PrefectClient, run: FlowRun, *messages: str, at: datetime | None = None) -> None:
    when = at or datetime.now(UTC)
    lines = [LogCreate(name="flow", level=20, message=text, timestamp=when, flow_run_id=run.id) for text in messages]
    for start in range(0, len(lines), 200):
        await client.create_logs(lines[start : start + 200])


async def end(client: PrefectClient, run: FlowRun, kind: StateType = StateType.COMPLETED) -> FlowRun:
    await client.set_flow_run_state(run.id, RunState(type=kind), force=True)
    return await client.read_flow_run(run.id)


async def kept_of(shelf: Shelf, run: FlowRun) -> list[str]:
    log = await find(shelf, run.id)
    return [line.message for line in log.lines] if log else []


async def test_a_long_log_is_kept_to_its_last_line(client: PrefectClient, shelf: Shelf) -> None:
    run = await a_run(client, shelf)
    began = datetime.now(UTC)
    expected = [f"line {number}" for number in range(2001)]
    for start in range(0, 2001, 500):  # many at the same moment, as of a tight loop
        await say(client, run, *expected[start : start + 500], at=began + timedelta(milliseconds=start))
    run = await end(client, run)
    assert await keep(client, shelf, run) == 2001
    log = await find(shelf, run.id)
    assert log is not None
    assert sorted(line.message for line in log.lines) == sorted(expected)
    assert (log.run.id, log.run.flow, log.run.state) == (run.id, "deploy", "Completed")
    assert await newest(shelf) == log


async def test_what_comes_late_is_added_and_what_prefect_has_deleted_stays(client: PrefectClient, shelf: Shelf) -> None:
    run = await a_run(client, shelf)
    await say(client, run, "first", "key=AIza" + "x" * 35)
    await keep(client, shelf, run)
    await say(client, run, "late")
    await end(client, run, StateType.CRASHED)
    assert len(await keep_missing(client, shelf)) == 1
    assert sorted(await kept_of(shelf, run)) == ["first", "key=***", "late"]
    await client.delete_flow_run(run.id)
    assert await keep(client, shelf, run) == 3


async def test_what_a_run_has_made_is_kept_as_it_was_last(client: PrefectClient, shelf: Shelf) -> None:
    run = await a_run(client, shelf)
    for key, data in (("services", "[]"), ("services", '[{"token": "ghp_' + "a" * 36 + '"}]'), ("summary", "# shop")):
        made = ArtifactCreate(key=key, type="table", data=data, description="Shown", flow_run_id=run.id)
        await client._client.post("/artifacts/", json=made.model_dump(mode="json", exclude_unset=True))
    await keep(client, shelf, await end(client, run))
    expected = [("services", '[{"token": ***}]'), ("summary", "# shop")]
    for _ in range(2):
        log = await find(shelf, run.id)
        assert log is not None
        assert [(each.key, each.data) for each in log.run.artifacts] == expected
        for each in await artifacts_of(client, run.id):
            await client.delete_artifact(each.id)
        await keep(client, shelf, run)


async def test_a_page_that_cannot_be_told_how_a_run_has_ended_keeps_no_log_from_being_kept(
    client: PrefectClient, shelf: Shelf
) -> None:
    source = Source(repository=f"https://host/{shelf.bucket}.git")
    where = {"app": "shop", "bucket": shelf.bucket, "environment": shelf.environment}
    await Variable.aset(variable_of(source, shelf.environment), where)
    run = await a_run(client, shelf, source=source.model_dump(mode="json"), environment=shelf.environment)
    await say(client, run, "it begins")
    state = RunState(type=StateType.FAILED)
    with environment({**os.environ, "SLIPWAY_LOG_MIRROR": f"console firestore:{PROJECT}/no-such-database"}):
        with pytest.raises(GoogleError, match="no-such-database does not exist"):
            await show_end(client, run, state)
        await keep_log(reconcile, run, state)
    assert await kept_of(shelf, run) == ["it begins"]


async def test_the_log_of_a_run_that_was_killed_is_kept_by_reconcile_and_of_one_at_work_is_not(
    client: PrefectClient, shelf: Shelf
) -> None:
    killed, working, elsewhere = [await a_run(client, shelf, flow) for flow in ("deploy", "rollback", "reconcile")]
    for run in (killed, working, elsewhere):
        await say(client, run, "it begins")
    await end(client, killed, StateType.CRASHED)
    await end(client, elsewhere)
    assert len(await keep_missing(client, shelf)) == 1
    assert await kept_of(shelf, killed) == ["it begins"]
    assert await kept_of(shelf, working) == []


async def count(client: PrefectClient, run: FlowRun) -> int:
    return sum([len(page) async for page in read_lines(client, run.id)])


@pytest.mark.parametrize("many", [1_000, pytest.param(20_000, marks=pytest.mark.faults)])
async def test_what_a_process_wrote_before_it_was_killed_with_no_warning_is_kept(
    client: PrefectClient, shelf: Shelf, prefect_server: dict[str, str], many: int
) -> None:
    """All that had left it; what it wrote in its last moment may have died with it, from the end backwards."""
    command = [sys.executable, "-c", DOOMED, str(many), *tags_of(shelf.app, shelf.environment)]
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else waits
        command, env={**os.environ, **prefect_server}, stdin=PIPE, stdout=PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        run = await client.read_flow_run(UUID((await asyncio.to_thread(process.stdout.readline)).strip()))
        async with asyncio.timeout(300):
            while await count(client, run) < many:  # noqa: ASYNC110 - Prefect tells nobody
                await asyncio.sleep(0.2)
        process.stdin.write("more\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.stdout.readline) == "written\n"
    finally:
        process.kill()
        process.wait(60)
        process.stdin.close()
        process.stdout.close()
    await end(client, run, StateType.CRASHED)  # as the worker does, which sees it die
    assert [each.id for each in await keep_missing(client, shelf)] == [run.id]
    kept = [int(text.removeprefix("line ")) for text in await kept_of(shelf, run) if text.startswith("line ")]
    assert sorted(kept) == list(range(len(kept)))
    assert len(kept) >= many


async def test_several_writers_lose_no_line(client: PrefectClient, shelf: Shelf) -> None:
    run = await a_run(client, shelf)
    await say(client, run, *(f"line {number}" for number in range(50)))
    await asyncio.gather(*(keep(client, shelf, run) for _ in range(3)))
    assert len(await kept_of(shelf, run)) == 50
    assert len(await objects.list_objects(shelf.bucket, shelf.prefix)) == 1


@pytest.mark.parametrize(
    ("after_s", "wanting"), [(None, True), (-5.0, True), (10.0, True), (31.0, False), (3600.0, False)]
)
def test_a_log_is_read_again_until_nothing_more_can_arrive(after_s: float | None, wanting: bool) -> None:
    ended = datetime(2026, 11, 28, 12, tzinfo=UTC)
    run = FlowRun(flow_id=uuid4(), end_time=ended)
    kept = None if after_s is None else StoredObject("", 1, 1, ended + timedelta(seconds=after_s))
    assert is_wanting(run, kept) is wanting


async def test_the_log_belongs_where_the_run_has_released_to(client: PrefectClient, shelf: Shelf) -> None:
    source = Source(repository=f"https://host/{shelf.bucket}.git")
    run = await a_run(client, shelf, source=source.model_dump(mode="json"), environment=shelf.environment)
    assert await shelf_of(client, run) is None  # nothing was ever released there
    variable = variable_of(source, shelf.environment)
    await Variable.aset(variable, {"app": "shop", "bucket": shelf.bucket, "environment": shelf.environment})
    assert await shelf_of(client, run) == shelf
    assert await shelf_of(client, await a_run(client, shelf, "drift", environment=shelf.environment)) is None
    assert log_name(shelf, run).startswith(f"runs/shop/{shelf.environment}/20")
