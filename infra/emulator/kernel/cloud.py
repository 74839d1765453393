"""One emulated Google Cloud: its state, and the path that every call takes to its handler."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from infra.emulator.artifacts.images import Images
from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel import rpc_table
from infra.emulator.kernel.behaviour import Behaviour, Dropped, Fault
from infra.emulator.kernel.errors import RpcError, permission_denied, unauthenticated, unimplemented
from infra.emulator.kernel.operations import Background, Operations
from infra.emulator.kernel.store import Store
from infra.emulator.logs.entries import Logs
from infra.emulator.projects.projects import Projects
from infra.emulator.run.system import CloudRun
from infra.emulator.secrets.state import Secrets
from infra.emulator.storage.objects import Objects


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

    Permissions and enabled APIs are the handler's own business: see `Cloud.require`. May be stacked.
    """

    def mark(handler: Any) -> Any:
        handler.emulates_routes = [
            *getattr(handler, "emulates_routes", []),
            (verb, template, method, host, anonymous, form),
        ]
        return handler

    return mark


class Cloud:
    """Everything a handler needs. `data` is the folder that holds state, blobs and instances' files."""

    def __init__(self, data: Path, profile: str = "brisk") -> None:
        self.data = data
        self.store = Store(data / "state.db")
        self.behaviour = Behaviour(profile)
        self.background = Background()
        self.operations = Operations(self.store, self.background)
        self.projects = Projects(self.store, self.behaviour)
        self.identity = Identity(self.store)
        self.policies = Policies(self.store, self.behaviour)
        self.images = Images(self.store, data)
        self.accounts = Accounts(self.store, self.projects, self.identity, self.policies)
        self.org = OrgPolicies(self.store, self.policies)
        self.objects = Objects(self.store, self.projects, self.policies, data)
        self.logs = Logs(self.store)
        self.secrets = Secrets(self.store, self.projects)
        self.rpcs = rpc_table.load()
        self.handlers: dict[str, RpcHandler] = {}
        self.routes: list[Route] = []
        self.on_start: list[Callable[[], Awaitable[None]]] = []
        self.on_stop: list[Callable[[], Awaitable[None]]] = []
        self.calls: Counter[str] = Counter()
        self.faulted: Counter[str] = Counter()  # those of them that met a fault
        self.journal: deque[Entry] = deque(maxlen=10_000)
        self.http_port = 0  # the plain door on loopback, known once the server listens
        self.environment: dict[str, str] = {}  # what leads clients here, known once the server listens
        self.run = CloudRun(self)

    def mount(self, service: object) -> None:
        """Takes up every handler that `service` marks with `rpc` or `route`."""
        for _, handler in inspect.getmembers(service, inspect.ismethod):
            if marked := getattr(handler, "emulates_rpc", None):
                self._mount_rpc(handler, *marked)
            for verb, template, method, host, anonymous, form in getattr(handler, "emulates_routes", ()):
                self.routes.append(Route(verb, template, host, method, anonymous, handler, form))

    def _mount_rpc(self, handler: Any, method: str, permission: str, resource: str, rest: Any) -> None:
        known = self.rpcs[f"/{method}"]
        known.bindings += [rpc_table.Binding(verb, template, body, known.host) for verb, template, body in rest]
        self.handlers[f"/{method}"] = RpcHandler(handler, permission, resource)

    async def call(self, rpc: rpc_table.Rpc, request: Message, call: Call) -> Message:
        """One RPC through faults, identity, enabled API and permission to its handler."""
        async with self._observed(call) as fault:
            handler = self.handlers.get(rpc.method)
            if handler is None:
                raise unimplemented(rpc.method)
            if not call.principal:
                raise unauthenticated()
            self._admit(handler, rpc.host, request, call)
            response = await handler.run(request, call)
            if fault and fault.drop == "after":
                raise Dropped
            return fault.cut(response) if fault else response

    async def serve(self, route: Route, request: web.Request, call: Call, variables: dict[str, str]) -> Any:
        """One REST-only call through faults and identity to its handler."""
        async with self._observed(call) as fault:
            if not call.principal and not route.anonymous:
                raise unauthenticated()
            response = await route.run(request, call, **variables)
            if fault and fault.drop == "after":
                raise Dropped
            return response

    def _observed(self, call: Call) -> Observed:
        return Observed(self, call)

    def _admit(self, handler: RpcHandler, host: str, request: Message, call: Call) -> None:
        """Checks project, API and permission; rewrites the resource's name to carry the project's id."""
        if not handler.resource:
            return
        *parents, last = handler.resource.split(".")
        holder = reduce(getattr, parents, request)
        name = str(getattr(holder, last))
        if name.startswith("projects/"):
            name = self.projects.canonical(name)
            setattr(holder, last, name)
            self.require_usable(name, host, handler.permission)
        if handler.permission:
            self.require(call.principal, handler.permission, name, host)

    def require_usable(self, name: str, host: str, permission: str) -> None:
        """Raises unless, whoever calls, the project of `name` has the API on, pays, and may create things there."""
        project = self.projects.find(name)
        self.projects.require(project, host)
        self.projects.require_billing(project, host, permission)
        if permission.endswith(".create"):
            self.org.allow_parent(name)

    def require(self, principal: str, permission: str, resource: str, service: str) -> None:
        """Raises PERMISSION_DENIED unless the principal holds `permission` on `resource`."""
        resource = self.projects.canonical(resource)
        if not self.policies.allowed(principal, permission, resource):
            raise permission_denied(permission, resource, service)

    def reset(self) -> None:
        """Forgets everything but the certificates; the caller seeds it anew."""
        self.operations.abandon()
        self.store.reset()
        self.objects.reset()
        self.identity.reset()
        self.behaviour.set_faults([])
        self.forget_calls()

    def forget_calls(self) -> None:
        self.calls.clear()
        self.faulted.clear()
        self.journal.clear()


TOLD_HEADERS = ("user-agent", "x-goog-request-reason")


@dataclass(slots=True)
class Entry:
    """One call in the journal; times in seconds of the monotonic clock, `code` as in google.rpc.Code."""

    method: str
    principal: str
    code: int
    start: float
    seconds: float
    headers: dict[str, str]


class Observed:
    """Applies the call's fault before it, the profile's latency to it, and writes it into the journal."""

    def __init__(self, cloud: Cloud, call: Call) -> None:
        self._cloud, self._call = cloud, call

    async def __aenter__(self) -> Fault | None:
        self._start = time.monotonic()
        fault = self._cloud.behaviour.pick(self._call.method)
        await self._cloud.behaviour.pause("rpc")
        if fault:
            self._cloud.faulted[self._call.method] += 1
            try:
                await self._misbehave(fault)
            except BaseException as error:
                await self.__aexit__(type(error), error, None)
                raise
        return fault

    async def _misbehave(self, fault: Fault) -> None:
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.drop == "before":
            raise Dropped
        if fault.code and not fault.drop:
            raise fault.error()

    async def __aexit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        self._cloud.calls[self._call.method] += 1
        code = error.status.code if isinstance(error, RpcError) else (0 if error is None else 2)
        seconds = round(time.monotonic() - self._start, 6)
        headers = {name: self._call.headers[name] for name in TOLD_HEADERS if name in self._call.headers}
        self._cloud.journal.append(Entry(self._call.method, self._call.principal, code, self._start, seconds, headers))
