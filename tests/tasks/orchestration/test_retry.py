"""A task is repeated while that may help: the real states and task runs of Prefect, without a server."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from prefect import task
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Failed

from infra.gcp.calls.errors import GoogleError
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import CloudError
from tasks.orchestration.retry import is_transient, repeated


@task
async def anything() -> None: ...


def run(attempt: int) -> TaskRun:
    return TaskRun(task_key="t", dynamic_key="0", flow_run_id=uuid.uuid4(), run_count=attempt)


def google(status: str) -> GoogleError:
    return GoogleError("run.Services.GetService", status, "no words")


@pytest.mark.parametrize(
    ("error", "attempt", "again"),
    [
        pytest.param(google("UNAVAILABLE"), 1, True, id="transient"),
        pytest.param(google("UNAVAILABLE"), 3, True, id="transient, however often"),
        pytest.param(google("PERMISSION_DENIED"), 1, False, id="permanent"),
        pytest.param(CloudError("x", transient=Transient.YES), 1, True, id="our own error that says so"),
        pytest.param(CloudError("x", cause=Cause.NETWORK), 1, False, id="our own error that does not"),
        pytest.param(CloudError("x", transient=Transient.MAYBE), 1, True, id="maybe, once"),
        pytest.param(CloudError("x", transient=Transient.MAYBE), 2, False, id="maybe, but not twice"),
        pytest.param(ConnectionResetError("Connection reset by peer"), 1, True, id="a broken connection"),
        pytest.param(TypeError("a bug"), 1, False, id="a bug"),
    ],
)
async def test_only_what_may_pass_by_itself_is_repeated(error: Exception, attempt: int, again: bool) -> None:
    assert await is_transient(anything, run(attempt), Failed(data=error)) is again


async def test_a_state_without_an_error_is_not_repeated() -> None:
    assert not await is_transient(anything, run(1), Completed(data=42))


class Work:
    """Fails with these, one after the other, then succeeds; what is slept in between is noted."""

    def __init__(self, *failures: BaseException) -> None:
        self._failures = list(failures)
        self.pauses: list[float] = []

    async def once(self) -> str:
        if self._failures:
            raise self._failures.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)


async def test_work_outside_a_task_is_repeated_after_each_pause() -> None:
    work = Work(google("UNAVAILABLE"), CloudError("x", transient=Transient.MAYBE))
    assert await repeated(lambda: work.once(), (1.0, 2.0, 4.0), work.sleep) == "done"
    assert work.pauses == [1.0, 2.0]


async def test_the_last_failure_is_the_one_that_is_raised() -> None:
    work = Work(google("UNAVAILABLE"), google("INTERNAL"), google("ABORTED"))
    with pytest.raises(GoogleError, match="ABORTED"):
        await repeated(work.once, (1.0, 2.0), work.sleep)
    assert work.pauses == [1.0, 2.0]


@pytest.mark.parametrize("stop", [google("PERMISSION_DENIED"), TypeError("a bug"), asyncio.CancelledError()], ids=repr)
async def test_work_that_cannot_succeed_is_not_repeated(stop: BaseException) -> None:
    work = Work(stop)
    with pytest.raises(type(stop)):
        await repeated(work.once, (1.0,), work.sleep)
    assert work.pauses == []
