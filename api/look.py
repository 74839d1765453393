"""What only looks: the page, health, figures, and the log of a run as it is written."""

from __future__ import annotations

import os
from secrets import token_urlsafe
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from prefect.settings import PREFECT_API_URL

from api import health, metrics, page
from api.feed import Feeds, event_of
from api.live import changes
from tasks.observe.versions import as_json

UI = "SLIPWAY_PREFECT_UI"  # where people reach Prefect, if that is not where this process does
POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
STREAM = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
router, open_to_all = APIRouter(tags=["looks"]), APIRouter(tags=["looks"])


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def versions_page(request: Request) -> HTMLResponse:
    """What serves where."""
    state = request.app.state
    estate = await state.reader.estate()
    shown = await page.shown(state.client, estate)
    once = token_urlsafe(16)
    text = page.html(shown, await state.runs.active(), ui(), estate.read, once=once)
    policy = f"{POLICY}; script-src 'nonce-{once}'; connect-src 'self'"
    return HTMLResponse(text, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


@router.get("/live", response_class=StreamingResponse, include_in_schema=False)
async def live(request: Request) -> StreamingResponse:
    """When the page has changed."""
    told = changes(request.app.state.reader, request.app.state.runs)
    return StreamingResponse(told, media_type="text/event-stream", headers=STREAM)


def ui() -> str:
    """Of Prefect, without a slash at its end."""
    known = os.environ.get(UI) or str(PREFECT_API_URL.value() or "").removesuffix("/").removesuffix("/api")
    return known.removesuffix("/")


@router.get("/versions")
async def versions(request: Request) -> list[dict[str, Any]]:
    """What should serve and what does, of every app, environment, service and region."""
    return [as_json(each) for each in (await request.app.state.reader.estate()).environments]


@open_to_all.get("/health")
async def healthy(request: Request) -> JSONResponse:
    """200 while Prefect answers; for load balancers, so it needs no token and tells nothing else."""
    well = await health.is_well(request.app.state.client)
    return JSONResponse({"status": "ok" if well else "unavailable"}, 200 if well else 503)


@router.get("/health/workers")
async def workers(request: Request) -> JSONResponse:
    """The workers of each pool; 503 where a pool has none that would start a run."""
    found = await health.workers(request.app.state.client)
    code = 200 if found and all(each["able"] for each in found) else 503
    rows = [{**each, "heard": each["heard"].isoformat() if each["heard"] else None} for each in found]
    return JSONResponse({"status": "ok" if code == 200 else "unavailable", "pools": rows}, code)


@router.get("/queue")
async def queue(request: Request) -> list[dict[str, Any]]:
    """The runs that are due and that no worker has taken."""
    return await health.queue(request.app.state.client)


@router.get("/deployments/active")
async def active(request: Request) -> list[dict[str, Any]]:
    """The runs that ship, and are under way or wait for a person."""
    found: list[dict[str, Any]] = await request.app.state.runs.active()
    return found


@router.get("/metrics", response_class=Response)
async def figures(request: Request) -> Response:
    """OpenMetrics, of 30 days."""
    state = request.app.state
    estate = await state.reader.estate()
    there, waiting = await health.workers(state.client), await health.queue(state.client)
    text = metrics.text_of(estate, there, waiting, len(await state.runs.active()))
    return Response(text, media_type=None, headers={"Content-Type": metrics.KIND})


@router.get("/deployments/{run}")
async def read(run: UUID, request: Request) -> dict[str, Any]:
    """How far a run is."""
    found = await request.app.state.runs.read(run)
    state = found.state
    return {
        "id": str(run),
        "name": found.name,
        "state": state.name if state else None,
        "ended": bool(state and state.is_final()),
        "message": state.message if state else None,
        "url": f"{ui()}/runs/flow-run/{run}",
    }


@router.get("/deployments/{run}/logs/stream", response_class=StreamingResponse)
async def logs(run: UUID, request: Request, last_event_id: Annotated[str, Header(max_length=64)] = "") -> Response:
    """The run's log as Server-Sent Events: `line` with an id, and at last `end` with the state.

    With the id of a line in Last-Event-ID it goes on after that one.
    """
    await request.app.state.runs.read(run)
    feeds: Feeds = request.app.state.feeds
    feeds.refuse_more(run)
    told = (event_of(each) async for each in feeds.events(run, last_event_id))
    return StreamingResponse(told, media_type="text/event-stream", headers=STREAM)
