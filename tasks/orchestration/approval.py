"""Asks a person, with a form in the Prefect UI, and waits for the answer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field

from tasks.failures.errors import NotApproved
from tasks.names.tags import WAITS
from tasks.orchestration.shown import leave, renamed

POLL_S = 2


class Decision(RunInput):
    """The form: who decides what, and why."""

    decision: Literal["go", "no-go"] = Field(description="go carries on; no-go ends the run.")
    who: str = Field(min_length=2, max_length=100, description="Your name or e-mail; it goes into the release record.")
    why: str = Field("", max_length=1000, description="What you looked at; it goes into the release record.")


@asynccontextmanager
async def _waiting() -> AsyncIterator[None]:
    """Meanwhile the run's name says so, which is what people see of it in a list."""
    name = await renamed(lambda name: f"{name}{WAITS}")
    try:
        yield
    finally:
        if name:
            await renamed(lambda _: name)


async def ask(question: str, key: str, timeout_s: float, state: str) -> Decision:
    """Pauses the run until somebody answers. Raises NotApproved on no-go and when nobody answers in time.

    question: Markdown that the form shows. key: what it is about; Prefect asks by each key once in a run, so each
    question has one of its own: a second region comes to the same step as the first.
    state: what is true of the world meanwhile.
    """
    said = f"waiting for a decision: use Resume in the run's menu (within {timeout_s:.0f} s)"
    get_run_logger().info("%s\n%s", said, question)
    await leave("approval", question, "What is to be decided, with Resume in the run's menu.")
    form, own = Decision.with_initial_data(description=question), f"{key}-{secrets.token_hex(4)}"
    try:
        async with _waiting():
            answer = await apause_flow_run(wait_for_input=form, timeout=int(timeout_s), poll_interval=POLL_S, key=own)
    except FlowPauseTimeout as error:
        raise NotApproved(
            f"Nobody decided within {timeout_s:.0f} s.", "start the run again when somebody can decide.", state=state
        ) from error
    assert answer is not None
    get_run_logger().info("%s says %s: %s", answer.who, answer.decision, answer.why or "no reason given")
    if answer.decision == "no-go":
        raise NotApproved(
            f"{answer.who} said no-go: {answer.why or 'no reason given'}.",
            "settle the reason, then start again.",
            state=state,
        )
    return answer
