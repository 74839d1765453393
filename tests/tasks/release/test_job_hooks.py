"""Hooks that run a job of slipway.yaml: once in a run, and stopped with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from google.cloud import run_v2
from prefect.logging import disable_run_logger

from infra.gcp.calls.polling import until
from tasks.failures.errors import HookFailed, SlipwayError
from tasks.manifest.shipping import JobHook
from tasks.model import Request
from tasks.names.naming import execution_token
from tasks.release.hooks import run_hook
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_jobs import Jobs, a_job
from tests.infra.emulator.emulated_run import new_name, short
from tests.tasks.builders import a_request

TEXT = f"""
app: NAME
services: {{web: {{}}}}
jobs: {{migrate: {{}}}}
environments: {{production: {{project: {PROJECT}, regions: [europe-west1]}}}}
"""


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[None]:
    with disable_run_logger():
        yield
    cloud.put("/faults", [])


def deployed(job: run_v2.Job) -> Request:
    """A request whose job is this one."""
    request = a_request(text=TEXT.replace("NAME", new_name("hooked")))
    Jobs().create(job, short(request.run_job("migrate")))
    return request


async def call(request: Request, number: int = 0, limit: str = "1m") -> str:
    hook = JobHook.model_validate({"name": "migrate", "job": {"name": "migrate", "timeout": limit}})
    token = execution_token(request.run_id, "before", number)
    found: str = await run_hook.fn(request, hook, "before", token)  # type: ignore[attr-defined]
    return found


def executions(request: Request) -> list[run_v2.Execution]:
    return list(Jobs().executions.list_executions(parent=request.run_job("migrate")))


async def test_a_run_that_is_repeated_finds_its_execution_and_another_hook_begins_its_own() -> None:
    request = deployed(a_job())
    first = await call(request)
    assert await call(request) == first
    assert await call(request, number=1) != first
    assert len(executions(request)) == 2


async def test_a_run_that_is_repeated_while_its_execution_goes_on_waits_for_it() -> None:
    request = deployed(a_job(SECONDS="1"))
    found = await asyncio.gather(call(request), call(request))
    assert list(found) == [executions(request)[0].name] * 2


async def test_an_execution_that_failed_fails_the_repeated_run_too_and_is_not_begun_again() -> None:
    request = deployed(a_job(CODES="1"))
    for _ in range(2):
        with pytest.raises(HookFailed, match="of 1 tasks 0 succeeded, 1 failed"):
            await call(request)
    assert len(executions(request)) == 1


async def test_a_job_that_fails_is_told_with_what_it_wrote_last() -> None:
    request = deployed(a_job("print('relation orders is not there', flush=True); raise SystemExit(1)"))
    with pytest.raises(HookFailed, match=r"1 failed\.\nIts last lines:\n  relation orders is not there"):
        await call(request)


async def test_an_execution_whose_beginning_is_not_answered_is_found(cloud: LocalCloud) -> None:
    request = deployed(a_job())
    cloud.put("/faults", [{"method": "google.cloud.run.v2.Jobs/UpdateJob", "drop": "after", "times": 1}])
    await call(request)
    assert [each.succeeded_count for each in executions(request)] == [1]


async def test_one_that_takes_too_long_is_cancelled() -> None:
    request = deployed(a_job(SECONDS="60"))
    with pytest.raises(SlipwayError):
        await call(request, limit="2s")
    (execution,) = executions(request)
    assert Jobs().ended(execution.name).cancelled_count == 1


async def test_one_that_somebody_cancels_has_not_succeeded() -> None:
    request = deployed(a_job(SECONDS="60"))
    hook = asyncio.create_task(call(request))
    (execution,) = await until(lambda: asyncio.to_thread(executions, request), limit_s=30, pause_s=0.1)
    Jobs().executions.cancel_execution(name=execution.name)
    with pytest.raises(HookFailed, match="1 cancelled"):
        await hook
