"""The one way to make a task: failures explained, only transient ones retried, a deadline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote

from tasks.failures.errors import UNTOUCHED, SlipwayError
from tasks.failures.explain import to_slipway
from tasks.model import Request
from tasks.orchestration.plain_errors import DecidedAgainst
from tasks.orchestration.retry import is_transient

P = ParamSpec("P")
R = TypeVar("R")
Work = Callable[P, Coroutine[Any, Any, R]]


def step(
    name: str,
    *,
    run_name: str = "",
    attempts: int = 1,
    timeout_s: float = 300.0,
    state: str = UNTOUCHED,
    against: Callable[[Any], str] | None = None,
) -> Callable[[Work[P, R]], Work[P, R]]:
    """Makes an async function a Prefect task.

    name: what the task is called; run_name: the same with the task's parameters filled in ("build {service}").
    attempts: how often it is tried in all, with 2, 4, 8 … s in between and jitter; only for repeatable work.
    state: what is true of the world when it fails; said in its errors.
    against: why what was found speaks against the release, '' where it does not. Such a task has done its work, and its
    caller gets what it found; in Prefect it has failed, so that who looks for what is wrong sees where it was seen.
    """

    def decorate(work: Work[P, R]) -> Work[P, R]:
        made: Task[P, Coroutine[Any, Any, R]] = task(
            name=name,
            task_run_name=run_name or name,
            retries=attempts - 1,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=is_transient,
            timeout_seconds=timeout_s,
            cache_policy=NO_CACHE,
        )(_explained(work, name, state, against))

        return _without_looking_through(made)

    return decorate


def _explained(work: Work[P, R], name: str, state: str, against: Callable[[Any], str] | None) -> Work[P, R]:
    """The work, whose failures are said for people."""

    @functools.wraps(work)
    async def explained(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            found = await work(*args, **kwargs)
        except SlipwayError:
            raise
        except Exception as error:
            raise to_slipway(error, doing=name, state=state) from error
        if against and (why := against(found)):
            raise DecidedAgainst(found, why)
        return found

    return explained


def _without_looking_through(made: Task[P, Coroutine[Any, Any, R]]) -> Work[P, R]:
    """Prefect looks through all that a task is given, twice, for results of other tasks: a request holds none."""

    @functools.wraps(made)  # its attributes too, so that `fn` is the work without Prefect
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {name: _as_it_is(each) for name, each in kwargs.items()}
        try:
            return await made(*map(_as_it_is, args), **given)  # type: ignore[arg-type]
        except DecidedAgainst as decided:
            return decided.found  # type: ignore[no-any-return]

    return run


def _as_it_is(value: object) -> object:
    return quote(value) if isinstance(value, Request) else value
