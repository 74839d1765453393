"""Tells Prefect how a run that ships has ended: one event for each, from which automations make notices."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import Flow, State, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.logging.loggers import flow_run_logger

from infra.gcp.calls.attempts import calling
from tasks.failures.explain import explain
from tasks.history.record import ReleaseRecord
from tasks.names.tags import told_by
from tasks.observe.archive import shelf_of
from tasks.observe.last_step import keep_log
from tasks.observe.notice import Notice, notice_of
from tasks.observe.read import of_run
from tasks.orchestration.credentials import use_credentials_block
from tasks.orchestration.family import below

LIMIT_S = 60.0


async def keep_and_tell(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """`keep_log` and `tell_outcome` at the same time: whoever follows the run waits for both."""
    await asyncio.gather(keep_log(flow, flow_run, state), tell_outcome(flow, flow_run, state))


async def tell_outcome(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of runs that have ended; Prefect passes its arguments by these names. No run fails by it."""
    logger = flow_run_logger(flow_run, flow)
    try:
        async with asyncio.timeout(LIMIT_S), get_client() as client:
            run, shelf = await asyncio.gather(client.read_flow_run(flow_run.id), shelf_of(client, flow_run))
            if flow.name == "ship" and await below(client, run.id):
                return  # that run tells
            await use_credentials_block()
            with calling(f"slipway/{run.id}", lambda _: None):
                place = (shelf.bucket, shelf.app, shelf.environment) if shelf else None
                record, before = await of_run(*place, str(run.id)) if place else (None, None)
        emit(notice_of(run.name, state.name or "", state.message or "", record, before), run, record)
    except Exception as error:  # whatever Google or Prefect's client says
        logger.warning("nobody is told how the run has ended: %s", explain(error).said)


def emit(notice: Notice, run: FlowRun, record: ReleaseRecord | None) -> None:
    """What the event is about is spelled out: a process may have run other runs before."""
    app, environment = (record.app, record.environment) if record else (*told_by(run.tags), "", "")[:2]
    emit_event(
        notice.event,
        resource={
            "prefect.resource.id": f"slipway.{app or 'unknown'}.{environment or 'unknown'}",
            "prefect.resource.name": f"{app} in {environment}",
            "slipway.app": app,
            "slipway.environment": environment,
        },
        related=[{"prefect.resource.id": f"prefect.flow-run.{run.id}", "prefect.resource.role": "flow-run"}],
        payload={
            "title": notice.title,
            "text": notice.text,
            "kind": str(notice.kind),
            "version": record.version if record else "",
            "cause": record.cause if record else "",
        },
    )
