"""The last thing that a run does: it keeps its log. No run fails by it, and none waits long for it."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import Flow, State, get_client
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger
from prefect.logging.handlers import APILogHandler
from prefect.logging.loggers import flow_run_logger

from infra.gcp.calls.attempts import calling
from tasks.failures.explain import explain
from tasks.failures.redact import redact
from tasks.model import Request
from tasks.observe.archive import Shelf, keep, keep_missing, shelf_of
from tasks.observe.standing import show_end
from tasks.orchestration.credentials import use_credentials_block
from tasks.orchestration.gather import all_of

LIMIT_S = 60.0


async def keep_log(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of runs that have ended, well or not; Prefect passes its arguments by these names."""
    logger = flow_run_logger(flow_run, flow)
    try:
        async with asyncio.timeout(LIMIT_S), get_client() as client:
            await APILogHandler.aflush()  # what this process has to say is in Prefect before it is read there
            run, shelf = await asyncio.gather(client.read_flow_run(flow_run.id), shelf_of(client, flow_run))
            await use_credentials_block()
            with calling(f"slipway/{run.id}", lambda said: logger.warning("%s", redact(said))):
                kept = [keep(client, shelf, run, state)] if shelf else []
                await all_of([_show(client, run, state), *kept])
    except Exception as error:  # whatever Google or Prefect's client says
        logger.warning("the run's log is not kept yet; reconcile tries again: %s", explain(error).said)


async def keep_logs(request: Request) -> None:
    """Of the runs to this environment that could not keep theirs, as they were killed. Raises nothing."""
    shelf = Shelf(request.settings.bucket, request.app, request.environment)
    try:
        async with get_client() as client:
            kept = await keep_missing(client, shelf)
            for run in kept:
                await _show(client, run)
    except Exception as error:  # whatever Google or Prefect's client says
        get_run_logger().warning("logs of runs are not kept yet; the next run tries again: %s", explain(error).said)
        return
    if kept:
        get_run_logger().info("%d logs are kept in gs://%s/%s", len(kept), shelf.bucket, shelf.prefix)


async def _show(client: PrefectClient, run: FlowRun, state: State[Any] | None = None) -> None:
    """How it has ended, for those who watch; its log is kept in any case."""
    try:
        await show_end(client, run, state)
    except Exception as error:  # whatever Google or Prefect's client says
        logger = flow_run_logger(run)
        logger.warning("pages that show the run are not told how it has ended: %s", explain(error).said)
