"""The REST door: JSON transcoding of the same RPCs (google.api.http), and the REST-only routes."""

from __future__ import annotations

import html
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from infra.emulator.doors.dispatch import Dispatcher
from infra.emulator.kernel.behaviour import Dropped
from infra.emulator.kernel.cloud import Cloud, Front
from infra.emulator.kernel.errors import RpcError, api_not_emulated, unimplemented
from infra.emulator.kernel.handlers import Call, Route, service_of
from infra.emulator.kernel.rpc_table import Binding, Rpc
from infra.emulator.kernel.transcoding import decoded, parse, set_field, to_json

# https://cloud.google.com/apis/docs/system-parameters
SYSTEM_PARAMETERS = {
    "$alt", "alt", "$prettyPrint", "prettyPrint", "key", "$apiVersion", "fields", "$fields", "quotaUser", "$.xgafv",
    "callback", "access_token", "oauth_token", "uploadType", "upload_protocol", "$quotaUser", "userProject",
}  # fmt: skip
GOOGLE = ".googleapis.com"
log = logging.getLogger("emulator")


@dataclass(frozen=True)
class Pattern:
    """A compiled path template and what serves it."""

    path: re.Pattern[str]
    variables: tuple[str, ...]
    literal: int  # characters outside variables: the most literal template wins
    host: str  # the API's, or '' or '*' for any
    target: Route | tuple[Rpc, Binding]


def compile_template(template: str) -> tuple[re.Pattern[str], tuple[str, ...], int]:
    """`/v2/{name=projects/*/locations/*}` as a regular expression, its variables and its literal length."""
    out, variables, literal, position = "", [], 0, 0
    for match in re.finditer(r"\{([\w.]+)(?:=([^}]*))?\}", template):
        text = template[position : match.start()]
        inner = match[2] or "*"
        out += re.escape(text) + "(" + re.escape(inner).replace(r"\*\*", ".+").replace(r"\*", "[^/]+") + ")"
        variables.append(match[1])
        literal += len(text) + len(inner.replace("*", ""))
        position = match.end()
    out += re.escape(template[position:])
    return re.compile(f"{out}/?"), tuple(variables), literal + len(template) - position


def _first_segment(path: str) -> str:
    """v2 of /v2/{name=projects/*}; '' if it is a variable."""
    first = path[1:].partition("/")[0]
    return "" if "{" in first else first


class NoSuchUrl(RpcError):
    """What Google's front end answers, in HTML, before any API is asked."""

    def __init__(self, path: str) -> None:
        super().__init__(Code.NOT_FOUND, f"The requested URL {path} was not found on this server.")

    def rendered(self) -> tuple[str, str]:
        text = html.escape(self.status.message)
        return f"<!DOCTYPE html>\n<title>Error 404 (Not Found)!!1</title>\n<p><b>404.</b> {text}</p>\n", "text/html"


class RestDoor:
    """The aiohttp handler of every REST request, whatever the host."""

    def __init__(self, cloud: Cloud) -> None:
        self._dispatcher = Dispatcher(cloud)
        self._patterns: dict[tuple[str, str], list[Pattern]] = defaultdict(list)  # by verb and first path segment
        for rpc in cloud.rpcs.values():
            for binding in rpc.bindings:
                self._add(binding.verb, binding.template, (rpc, binding))
        for route in cloud.routes:
            self._add(route.verb, route.template, route)
        for patterns in self._patterns.values():
            patterns.sort(key=lambda pattern: -pattern.literal)
        hosts = {rpc.host for rpc in cloud.rpcs.values() if rpc.method in cloud.handlers}
        hosts |= {route.host for route in cloud.routes}
        self._apis = sorted(host for host in hosts if host.endswith(GOOGLE))
        self._fronts = cloud.fronts

    def _add(self, verb: str, template: str, target: Route | tuple[Rpc, Binding]) -> None:
        host = target.host if isinstance(target, Route) else target[1].host
        self._patterns[verb, _first_segment(template)].append(Pattern(*compile_template(template), host, target))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            if front := self._front(request.host.partition(":")[0]):
                return await front(request)
            return await self._answer(request)
        except RpcError as error:
            return _error(error)
        except Dropped:
            if request.transport is not None:
                request.transport.abort()
            raise web.HTTPServiceUnavailable from None
        except web.HTTPException:
            raise
        except Exception:
            log.exception("%s %s", request.method, request.rel_url)
            return _error(RpcError(Code.INTERNAL, "Internal error encountered."))

    def _front(self, host: str) -> Front | None:
        """Of the domain that the host is in, or of the network, by how the address begins."""
        fronts = self._fronts.items()
        return next((front for at, front in fronts if host.endswith(f".{at}") or host.startswith(f"{at}.")), None)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        pattern, values = self._find(request)
        named = dict(zip(pattern.variables, values, strict=True))
        headers = {key.lower(): value for key, value in request.headers.items()}
        authorization = request.headers.get("Authorization", "")
        if isinstance(pattern.target, Route):
            return await self._answer_route(pattern.target, request, {k: unquote(v) for k, v in named.items()}, headers)
        rpc, binding = pattern.target
        call = Call(rpc.method.lstrip("/"), request.host, self._dispatcher.principal(authorization), headers)
        message = await self._request_message(request, rpc, binding, {k: decoded(v) for k, v in named.items()})
        response = await self._dispatcher.rpc(rpc, message, call)
        return web.Response(body=to_json(response, request), content_type="application/json")

    async def _answer_route(
        self, route: Route, request: web.Request, variables: dict[str, str], headers: dict[str, str]
    ) -> web.StreamResponse:
        try:
            principal = self._dispatcher.principal(headers.get("authorization", ""))
            call = Call(route.method, request.host, principal, headers)
            return await self._dispatcher.route(route, request, call, variables)
        except RpcError as error:
            raise route.form(error, request) from error

    def _find(self, request: web.Request) -> tuple[Pattern, tuple[str, ...]]:
        """The most literal template of the host's API that fits; a HEAD is a GET unless there is a route for it."""
        service, path = service_of(request.host), request.rel_url.raw_path
        verbs = ("HEAD", "GET") if request.method == "HEAD" else (request.method,)
        for verb in verbs:
            for pattern in self._candidates(verb, path):
                if service and pattern.host not in ("", "*", service):
                    continue
                if match := pattern.path.fullmatch(path):
                    return pattern, match.groups()
        raise self._nothing(service, request.method, path)

    def _nothing(self, service: str, verb: str, path: str) -> RpcError:
        """Why there is no answer. Google's own page would send its reader to look for the mistake in the request."""
        if not service.endswith(GOOGLE):
            return NoSuchUrl(path)
        if service not in self._apis:
            return api_not_emulated(service, self._apis)
        return unimplemented(f"{verb} {unquote(path)} of {service}")

    def _candidates(self, verb: str, path: str) -> Iterator[Pattern]:
        """Templates in which the first segment is the path's, then those in which it is a variable."""
        for first in (_first_segment(path), ""):
            yield from self._patterns.get((verb, first), ())

    async def _request_message(
        self, request: web.Request, rpc: Rpc, binding: Binding, variables: dict[str, str]
    ) -> Message:
        message = rpc.request()
        raw = await request.read()
        if binding.body == "*":
            parse(raw, message)
        elif binding.body:
            body = getattr(message, binding.body)
            body.SetInParent()
            parse(raw, body)
        for name, value in variables.items():
            set_field(message, name, [value])
        for name in set(request.query) - SYSTEM_PARAMETERS:
            set_field(message, name, request.query.getall(name))
        return message


def _error(error: RpcError) -> web.Response:
    text, media_type = error.rendered()
    return web.Response(text=text, status=error.http_status, content_type=media_type, headers=error.headers)
