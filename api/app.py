"""The application: who may ask what. `cli.serve` runs it; `made` builds it from the environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from fastapi import Depends, FastAPI, Request
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError

from api import look, socket, start
from api.estate import Reader
from api.feed import Feeds
from api.guard import Guard, Limit, limiting
from api.refused import Refused
from api.runs import Runs
from api.settings import Settings, read_settings
from api.written import write_on
from tasks.failures.errors import SlipwayError
from tasks.failures.redact import redact

ABOUT = (
    "Starts, cancels and shows releases; takes webhooks of git hosts. A client of Prefect's API beside which it runs."
)


def made() -> FastAPI:
    """As the environment says."""
    return app_of(read_settings(os.environ), get_client)


def app_of(settings: Settings, connect: Callable[[], PrefectClient]) -> FastAPI:
    """connect: makes a client of the Prefect server that it is about."""
    limit = Limit(settings.per_minute)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with connect() as client:
            app.state.settings, app.state.guard, app.state.limit = settings, Guard(settings), limit
            app.state.client = client
            app.state.runs, app.state.feeds, app.state.reader = Runs(client), Feeds(client), Reader(client)
            work = asyncio.create_task(write_on(app, project)) if (project := settings.metrics_project) else None
            try:
                yield
            finally:
                if work:
                    work.cancel()
                    await asyncio.gather(work, return_exceptions=True)

    app = FastAPI(title="Slipway", description=ABOUT, lifespan=lifespan, redoc_url=None)
    app.middleware("http")(limiting(limit))
    app.include_router(start.hooks)
    for router in (start.router, look.router):
        app.include_router(router, dependencies=[Depends(_known)])
    app.include_router(look.open_to_all)
    app.include_router(socket.router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(SlipwayError, _failed)
    app.add_exception_handler(PrefectHTTPStatusError, _unavailable)
    app.add_exception_handler(httpx.HTTPError, _unavailable)
    app.add_exception_handler(OSError, _unavailable)
    return app


def _known(request: Request) -> None:
    """FastAPI's dependency, in a thread: raises Refused for strangers."""
    request.state.caller = request.app.state.guard.caller(request)


async def _refused(_: HTTPConnection, error: Exception) -> JSONResponse:
    """Of a WebSocket, too: it is answered so in place of its handshake."""
    assert isinstance(error, Refused)
    return JSONResponse({"detail": error.said}, error.status, headers=error.headers)


async def _failed(_: HTTPConnection, error: Exception) -> JSONResponse:
    assert isinstance(error, SlipwayError)
    return JSONResponse({"detail": redact(error.problem), "to_fix": redact(error.remedy)}, 502)


async def _unavailable(_: HTTPConnection, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": f"Prefect's API does not answer as it must: {redact(str(error))[:300]}"}, 503)
