"""The gateways: each request is held against its config, its caller checked, and then sent to its backend."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from infra.emulator.apigateway.answers import Answer
from infra.emulator.apigateway.callers import Callers
from infra.emulator.apigateway.names import DOMAIN
from infra.emulator.apigateway.openapi.documents import read
from infra.emulator.apigateway.openapi.surface import Backend, Operation, Surface
from infra.emulator.apigateway.state import Resources
from infra.emulator.iam.identity import Identity
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.projects.projects import Projects
from infra.emulator.run.front import end_to_end, new_session, pass_on

LOCAL = ("127.0.0.1", "localhost")
METHOD = "apigateway.gateways.serve"  # what faults and the journal call a request
USER_INFO = "X-Apigateway-Api-Userinfo"
UNREACHABLE = "upstream connect error or disconnect/reset before headers. reset reason: connection failure"


class Gateways:
    def __init__(self, cloud: Cloud) -> None:
        self._journal, self._resources, self._callers = cloud.journal, cloud.get(Resources), Callers(cloud)
        self._projects, self._identity = cloud.get(Projects), cloud.get(Identity)
        self._session: aiohttp.ClientSession | None = None
        self._surface = lru_cache(maxsize=64)(self._read)
        cloud.fronts[DOMAIN] = self.handle
        cloud.on_start.append(self._start)
        cloud.on_stop.append(self._stop)

    async def _start(self) -> None:
        self._session = new_session(aiohttp.TCPConnector(limit=0, force_close=True))

    async def _stop(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        call = Call(METHOD, request.host, "", {key.lower(): value for key, value in request.headers.items()})
        async with self._journal.observed(call):
            try:
                return await self._serve(request)
            except Answer as answer:
                return answer.response()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        served = self._resources.served(request.host.partition(":")[0])
        if not served:
            raise Answer(404, "The requested URL was not found on this server.")
        config = self._resources.find(served["config"])
        surface, path = self._surface(config.name, config.service_config_id), request.rel_url.raw_path
        operation, variables = surface.match(request.method, path) or _preflight(surface, request) or (None, {})
        if operation is None:
            raise _not_defined(surface, path)
        api = self._resources.find(config.name.partition("/configs/")[0])
        user_info = self._callers.user_info(request, operation)
        self._callers.check_key(request, operation, api.managed_service)
        if operation.backend is None:
            raise Answer(503, UNREACHABLE)
        url = operation.backend.url(path, request.rel_url.raw_query_string, variables)
        return await self._forward(
            request, operation.backend, url, self._headers(request, operation, config, user_info)
        )

    def _read(self, name: str, _service_config_id: str) -> Surface:
        """Once for each config: they never change, but one may be made anew under the same name."""
        config = self._resources.find(name)
        return read([(each.document.path, each.document.contents) for each in config.openapi_documents])

    def _headers(self, request: web.Request, operation: Operation, config: Any, user_info: str) -> Any:
        """The gateway speaks for its account; what its caller said of himself goes along under another name."""
        headers = end_to_end(request.headers)
        headers.popall("Host", None)
        headers.popall(USER_INFO, None)  # what callers say of themselves is not believed
        if user_info:
            headers[USER_INFO] = user_info
        assert operation.backend is not None
        if operation.backend.audience:
            if "Authorization" in headers:
                headers["X-Forwarded-Authorization"] = headers.popall("Authorization")[0]
            token = self._identity.id_tokens.issue(self._account(config), operation.backend.audience)
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _account(self, config: Any) -> str:
        """https://cloud.google.com/api-gateway/docs/configure-dev-env#configuring_a_service_account"""
        number = self._projects.find(config.name).number
        given: str = config.gateway_service_account.rpartition("/")[2]
        return given or f"{number}-compute@developer.gserviceaccount.com"

    async def _forward(self, request: web.Request, backend: Backend, url: str, headers: Any) -> web.StreamResponse:
        if urlsplit(url).hostname not in LOCAL:
            what = (
                f"The backend {backend.address} is not on this machine: the gateways of the local cloud reach no other."
            )
            raise Answer(503, what)
        assert self._session is not None
        response = web.StreamResponse()
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=backend.deadline_s),
            ) as upstream:
                await pass_on(upstream, request, response)
        except (TimeoutError, aiohttp.ClientError) as error:
            return _failed(request, response, error)
        return response


def _failed(request: web.Request, response: web.StreamResponse, error: Exception) -> web.StreamResponse:
    """An answer, or a cut connection where part of the backend's answer has been sent."""
    if not response.prepared:
        late = isinstance(error, TimeoutError)
        raise Answer(504, "upstream request timeout") if late else Answer(503, UNREACHABLE)
    if request.transport is not None:
        request.transport.close()
    return response


def _preflight(surface: Surface, request: web.Request) -> tuple[Operation, dict[str, str]] | None:
    """With allowCors the backend answers OPTIONS of any path that has an operation, and nobody needs a key for that.

    https://cloud.google.com/api-gateway/docs/oasv2-extensions#x-google-endpoints
    """
    if not surface.cors or request.method != "OPTIONS":
        return None
    return surface.unguarded(request.rel_url.raw_path)


def _not_defined(surface: Surface, path: str) -> Answer:
    if template := surface.template(path):
        return Answer(
            405,
            f'The current request is matched to the defined url template "{template}" but its http method is not '
            "allowed",
        )
    return Answer(404, "The current request is not defined by this API.")
