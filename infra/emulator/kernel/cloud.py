"""One emulated Google Cloud: what all services stand on, and the services' own state by its type."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiohttp import web

from infra.emulator.kernel import rpc_table
from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.handlers import Route, RpcHandler
from infra.emulator.kernel.journal import Journal
from infra.emulator.kernel.operations import Background, Operations
from infra.emulator.kernel.store import Store, Table

T = TypeVar("T")
Front = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Told(Protocol):
    """What of the world a service is told over the admin port: prices, advisories."""

    def show(self) -> object:
        """As JSON."""

    def take(self, body: bytes) -> None:
        """Instead of what was there. Raises ValueError for what it does not understand."""


class Cloud:
    """Everything a handler needs. `data` is the folder that holds state, blobs and instances' files.

    packages: Google's client packages, whose RPCs it can answer.
    """

    def __init__(self, data: Path, profile: str, packages: Sequence[str]) -> None:
        self.data = data
        self.store = Store(data / "state.db")
        self.behaviour = Behaviour(profile)
        self.background = Background()
        self.operations = Operations(self.store, self.background)
        self.journal = Journal(self.behaviour)
        self.rpcs = rpc_table.load(packages)
        self.handlers: dict[str, RpcHandler] = {}
        self.routes: list[Route] = []
        self.fronts: dict[str, Front] = {}  # domain or 198.18 -> who takes requests for its hosts, no API's
        self.ageable: dict[str, Table[Any]] = {}  # kind -> what of it can be made older
        self.told: dict[str, Told] = {}  # by the path on the admin port under which it is told
        self.on_start: list[Callable[[], Awaitable[None]]] = []
        self.on_stop: list[Callable[[], Awaitable[None]]] = []
        self.on_reset: list[Callable[[], None]] = []
        self.http_port = 0  # the plain door on loopback, known once the server listens
        self.environment: dict[str, str] = {}  # what leads clients here, known once the server listens
        self._states: dict[type, Any] = {}

    def put(self, state: T) -> T:
        """Takes up the state of a service, one of each type, for `get`; answers it."""
        if type(state) in self._states:
            raise ValueError(f"There is a {type(state).__name__} already.")
        self._states[type(state)] = state
        return state

    def get(self, kind: type[T]) -> T:
        """The state of that type. Raises LookupError if it has not been put yet: `services.py` has the order."""
        if kind not in self._states:
            raise LookupError(f"There is no {kind.__name__} yet.")
        state: T = self._states[kind]
        return state

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

    def reset(self) -> None:
        """Forgets everything but the certificates; the caller seeds it anew."""
        self.operations.abandon()
        self.store.reset()
        for forget in self.on_reset:
            forget()
        self.behaviour.set_faults([])
        self.journal.forget()
