"""A task is repeated while that may help: the real states and task runs of Prefect, without a server."""

from __future__ import annotations

import uuid

import pytest
from prefect import task
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Failed

from infra.gcp.calls.errors import GoogleError
from tasks.failures.errors import Cause, CloudError, Transient
from tasks.orchestration.retry import is_transient


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
