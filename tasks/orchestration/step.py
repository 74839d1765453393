"""The one way to make a task: failures explained, only transient ones retried, a deadline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from tasks.failures.errors import UNTOUCHED, SlipwayError
from tasks.failures.explain import to_slipway
from tasks.orchestration.retry import is_transient

P = ParamSpec("P")
R = TypeVar("R")
Work = Callable[P, Coroutine[Any, Any, R]]


def step(
    name: str, *, run_name: str = "", attempts: int = 1, timeout_s: float = 300.0, state: str = UNTOUCHED
) -> Callable[[Work[P, R]], Work[P, R]]:
    """Makes an async function a Prefect task.

    name: what the task is called; run_name: the same with the task's parameters filled in ("build {service}").
    attempts: how often it is tried in all, with 2, 4, 8 … s in between and jitter; only for repeatable work.
    state: what is true of the world when it fails; said in its errors.
    """

    def decorate(work: Work[P, R]) -> Work[P, R]:
        @functools.wraps(work)
        async def explained(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await work(*args, **kwargs)
            except SlipwayError:
                raise
            except Exception as error:
                raise to_slipway(error, doing=name, state=state) from error

        return task(
            name=name,
            task_run_name=run_name or name,
            retries=attempts - 1,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=is_transient,
            timeout_seconds=timeout_s,
            cache_policy=NO_CACHE,
        )(explained)

    return decorate
