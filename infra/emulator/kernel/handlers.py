"""What a service writes its handlers with: the marks `rpc` and `route`, and the circumstances of a call."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from infra.emulator.kernel.errors import RpcError


@dataclass(frozen=True)
class Call:
    """The circumstances of one call."""

    method: str  # google.cloud.run.v2.Services/GetService, or a route's name such as storage.objects.get
    host: str  # as the caller wrote it: us-central1-run.googleapis.com
    principal: str  # the caller's e-mail; '' for an anonymous caller on a route that allows that
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RpcHandler:
    run: Callable[[Any, Call], Awaitable[Message]]
    permission: str
    resource: str


Form = Callable[[RpcError, web.Request], RpcError]


@dataclass(frozen=True)
class Route:
    """A REST-only door, for what no client package describes. `template` is matched on the undecoded path."""

    verb: str
    template: str  # google.api.http syntax: /storage/v1/b/{bucket}/o/{object}; {path=**} spans segments
    host: str  # run.googleapis.com (any region's), docker.pkg.dev (any location's), or '' for any host
    method: str  # what faults and the journal call it
    anonymous: bool
    run: Callable[..., Awaitable[web.StreamResponse]]
    form: Form  # turns an error of this route, whoever raised it, into the one to answer


def rpc(
    method: str, *, permission: str = "", resource: str = "name", rest: tuple[tuple[str, str, str], ...] = ()
) -> Callable[[Any], Any]:
    """Marks an async method `(self, request, call) -> response message` as the handler of an RPC.

    permission: the IAM permission a caller needs on the resource; '' if any authenticated caller may.
    resource: dotted path of the request field that names the resource (or its parent); its project must exist and have
    the API enabled. '' for calls that concern no project.
    rest: further (verb, template, body) bindings where the client package carries none.
    """

    def mark(handler: Any) -> Any:
        handler.emulates_rpc = (method, permission, resource, rest)
        return handler

    return mark


def route(
    verb: str,
    template: str,
    *,
    method: str,
    host: str = "",
    anonymous: bool = False,
    form: Form = lambda error, _: error,
) -> Callable[[Any], Any]:
    """Marks an async method `(self, request: web.Request, call, **variables) -> web.StreamResponse` as a REST door.

    Permissions and enabled APIs are the handler's own business: see `iam.admission`. May be stacked.
    """

    def mark(handler: Any) -> Any:
        handler.emulates_routes = [
            *getattr(handler, "emulates_routes", []),
            (verb, template, method, host, anonymous, form),
        ]
        return handler

    return mark


def service_of(host: str) -> str:
    """The API behind a host: us-central1-run.googleapis.com -> run.googleapis.com; '' for a bare loopback address."""
    host = host.split(":", 1)[0]
    if not host.endswith((".googleapis.com", ".pkg.dev")):
        return "" if re.fullmatch(r"[\d.]+|localhost", host) else host
    name, _, domain = host.partition(".")
    if domain == "pkg.dev":
        return "docker.pkg.dev"
    return host if "." in domain.removesuffix("googleapis.com") else f"{name.rsplit('-', 1)[-1]}.{domain}"
