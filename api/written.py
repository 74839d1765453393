"""Writes what /metrics tells into Cloud Monitoring as custom metrics, for who has no Prometheus; only if asked for."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from fastapi import FastAPI

from api import health, metrics
from infra.gcp.calls.attempts import calling
from infra.gcp.monitoring import write_gauges
from tasks.failures.explain import to_slipway
from tasks.orchestration.credentials import use_credentials_block

EVERY_S = 60.0


async def write_on(app: FastAPI, project: str, every_s: float = EVERY_S) -> None:
    """Until it is cancelled. What cannot be written is said, and tried again with the figures of then."""
    said = ""
    while True:
        try:
            await write_once(app, project)
            said = ""
        except Exception as error:  # whatever Google or Prefect's client says
            problem = to_slipway(error, doing=f"Writing figures to Cloud Monitoring of {project}").problem
            if problem != said:  # once, not every minute
                logging.getLogger("slipway.serve").warning("%s", problem)
            said = problem
        await asyncio.sleep(every_s)


async def write_once(app: FastAPI, project: str) -> None:
    state = app.state
    estate = await state.reader.estate()
    there, waiting = await health.workers(state.client), await health.queue(state.client)
    found = metrics.families(estate, there, waiting, len(await state.runs.active()))
    await use_credentials_block()
    with calling("slipway/serve", lambda _: None):
        await write_gauges(project, metrics.gauges_of(found), datetime.now(UTC))
