"""Whether a failure is worth another attempt: the `retry_condition_fn` of tasks that may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from prefect import State, Task
from prefect.client.schemas.objects import TaskRun
from tenacity import AsyncRetrying
from tenacity.retry import retry_if_exception
from tenacity.stop import stop_after_attempt
from tenacity.wait import wait_chain, wait_fixed

from tasks.failures.cause import Transient
from tasks.failures.explain import explain

R = TypeVar("R")


async def is_transient(_task: Task[Any, Any], task_run: TaskRun, state: State[Any]) -> bool:
    """True while another attempt may help: always for a transient cause, once when the failure does not tell.

    It is async because Prefect hands an async task's condition a state whose `result()` must be awaited; a sync
    condition would never see the exception and retry everything.
    """
    error = await state.aresult(raise_on_failure=False)
    if not isinstance(error, BaseException):
        return False
    transient = explain(error).transient
    return transient is Transient.YES or (transient is Transient.MAYBE and task_run.run_count <= 1)


async def repeated(
    work: Callable[[], Awaitable[R]],
    pauses_s: Sequence[float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> R:
    """For work outside a task: tried again after each pause, unless its failure is permanent."""

    async def once() -> R:  # tenacity awaits only what is declared as async, no lambda
        return await work()

    tries = AsyncRetrying(
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and _may_pass(error)),
        stop=stop_after_attempt(len(pauses_s) + 1),
        wait=wait_chain(*map(wait_fixed, pauses_s)),
        sleep=sleep,
        reraise=True,
    )
    return await tries(once)


def _may_pass(error: Exception) -> bool:
    return explain(error).transient is not Transient.NO
