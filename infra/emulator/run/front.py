"""The front door: takes the requests of all services and forwards each to an instance of a revision."""

from __future__ import annotations

import asyncio
import time
from html import escape
from typing import Any

import aiohttp
from aiohttp import web
from google.cloud import run_v2
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from infra.emulator.run.conditions import Unready
from infra.emulator.run.doors import Door, Doors
from infra.emulator.run.instances import Abandoned, Instances
from infra.emulator.run.invoker import Invoker
from infra.emulator.run.metrics import Metrics
from infra.emulator.run.networks import Networks
from infra.emulator.run.state import State

# Between client and proxy, or proxy and instance, only: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
HOP_BY_HOP = (
    "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer",
    "Transfer-Encoding", "Upgrade",
)  # fmt: skip
# Answered by Google's front end itself: https://cloud.google.com/run/docs/known-issues#reserved_url_paths
RESERVED_PATHS = ("/healthz",)
OPEN = (
    run_v2.IngressTraffic.INGRESS_TRAFFIC_UNSPECIFIED,
    run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL,
)
IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
PAGES = {
    401: ("401 Unauthorized", "Error: Unauthorized", "Your client does not have permission to the requested URL"),
    403: ("403 Forbidden", "Error: Forbidden", "Your client does not have permission to get URL"),
    404: ("404 Page not found", "Error: Page not found", "The requested URL was not found on this server:"),
}
TEXTS = {
    500: "Internal Server Error",
    503: "Service Unavailable",
    504: "upstream request timeout",
}


class Front:
    def __init__(
        self,
        state: State,
        doors: Doors,
        instances: Instances,
        invoker: Invoker,
        metrics: Metrics,
        networks: Networks,
    ) -> None:
        self._state, self._doors, self._instances, self._networks = state, doors, instances, networks
        self._invoker, self._metrics = invoker, metrics
        self._kept: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """An idle connection may be closed by the app at any time: only what may be repeated goes over a kept one."""
        take = self._networks.take
        self._kept = new_session(aiohttp.TCPConnector(limit=0, keepalive_timeout=10, socket_factory=take))
        self._fresh = new_session(aiohttp.TCPConnector(limit=0, force_close=True, socket_factory=take))

    async def stop(self) -> None:
        for session in (self._kept, self._fresh):
            if session is not None:
                await session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        door = self._doors.at(request.transport.get_extra_info("sockname")[1])
        service = self._state.services.get(door.service) if door else None
        if door is None or service is None or is_closed(service) or request.path in RESERVED_PATHS:
            return _page(404, request.path)
        if service.iap_enabled:  # it calls the service itself: nobody else needs to be an invoker
            return self._invoker.iap_refusal(service, request.headers) or await self._serve(request, door)
        if status := self._invoker.refusal(service, self._doors.uris(service.name), request.headers):
            return _page(status, request.path)
        return await self._serve(request, door)

    async def _serve(self, request: web.BaseRequest, door: Door) -> web.StreamResponse:
        revision = door.split.draw()
        if revision is None:
            return _text(503)
        start, status = time.monotonic(), 500
        try:
            response = await self._forward(request, revision)
            status = response.status
        finally:
            self._metrics.record(revision, status, time.monotonic() - start)
        return response

    async def _forward(self, request: web.BaseRequest, revision: str) -> web.StreamResponse:
        response = web.StreamResponse()
        timeout_s = self._state.revision(revision).timeout.ToTimedelta().total_seconds()
        try:
            async with asyncio.timeout(timeout_s):
                try:
                    await self._attempt(request, revision, response)
                except aiohttp.ClientConnectorError:  # nothing has been sent yet
                    await self._attempt(request, revision, response)
        except TimeoutError:
            return self._failed(request, response, 504)
        except (Unready, Abandoned, aiohttp.ClientError):
            return self._failed(request, response, 503)
        return response

    async def _attempt(self, request: web.BaseRequest, revision: str, response: web.StreamResponse) -> None:
        async with self._instances.request(revision) as place:
            try:
                await self._pass(request, place, response)
            except aiohttp.ClientConnectorError:
                await self._instances.discard(revision, place)
                raise

    async def _pass(self, request: web.BaseRequest, place: str, response: web.StreamResponse) -> None:
        session = self._kept if request.method in IDEMPOTENT else self._fresh
        assert session is not None
        async with session.request(
            request.method,
            URL(f"http://{place}{request.raw_path}", encoded=True),
            headers=_forwarded(request),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as upstream:
            await pass_on(upstream, request, response)

    @staticmethod
    def _failed(request: web.BaseRequest, response: web.StreamResponse, status: int) -> web.StreamResponse:
        """An error page, or a cut connection where part of the answer has been sent."""
        if not response.prepared:
            return _text(status)
        if request.transport is not None:
            request.transport.close()
        return response


def is_closed(service: Any) -> bool:
    """Whether requests from outside reach nothing: ingress is restricted, or the default URL is off.

    Everything that comes over a loopback door comes from outside; Google's front end answers 404 then.
    https://cloud.google.com/run/docs/securing/ingress, /run/docs/securing/disable-default-url
    """
    return service.default_uri_disabled or service.ingress not in OPEN


def new_session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=10),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        read_bufsize=1 << 18,
    )


async def pass_on(upstream: aiohttp.ClientResponse, request: web.BaseRequest, response: web.StreamResponse) -> None:
    """What a backend answers, piece by piece as it comes."""
    response.set_status(upstream.status, upstream.reason)
    response.headers.extend(end_to_end(upstream.headers))
    await response.prepare(request)
    async for chunk in upstream.content.iter_any():
        await response.write(chunk)
    await response.write_eof()


def end_to_end(headers: MultiMapping[str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = named | {name.lower() for name in HOP_BY_HOP}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _forwarded(request: web.BaseRequest) -> CIMultiDict[str]:
    headers = end_to_end(request.headers)
    headers["X-Forwarded-For"] = ", ".join(filter(None, (headers.get("X-Forwarded-For"), request.remote)))
    headers["X-Forwarded-Proto"] = "https"  # Cloud Run ends TLS; an app that redirects http would never be reached
    return headers


def _page(status: int, path: str) -> web.Response:
    """Google's front end's own pages."""
    title, heading, text = PAGES[status]
    html = (
        '\n<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n'
        f"<title>{title}</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>{heading}</h1>\n"
        f"<h2>{text} <code>{escape(path)}</code> from this server.</h2>\n<h2></h2>\n</body></html>\n"
    )
    return web.Response(status=status, text=html, content_type="text/html")


def _text(status: int) -> web.Response:
    return web.Response(status=status, text=TEXTS[status])
