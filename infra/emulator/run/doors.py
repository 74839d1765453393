"""The addresses of services and of their tags: each a port of its own on loopback, the same after a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from infra.emulator.run.networks import Networks
from infra.emulator.run.ports import bind
from infra.emulator.run.state import State
from infra.emulator.run.traffic import NOWHERE, Routes, Split

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Door:
    service: str  # full name
    tag: str  # '' for the service's own address
    port: int
    site: web.SockSite
    split: Split = field(default_factory=lambda: Split({}))

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Doors:
    def __init__(self, state: State, networks: Networks) -> None:
        self._state, self._networks = state, networks
        self._runner: web.ServerRunner | None = None
        self._by_key: dict[str, Door] = {}
        self._by_port: dict[int, Door] = {}

    async def start(self, handler: Handler) -> None:
        self._runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.5)
        await self._runner.setup()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        for port in self._by_port:
            self._networks.withdraw(port)
        self._by_key.clear()
        self._by_port.clear()

    def at(self, port: int) -> Door | None:
        return self._by_port.get(port)

    def uris(self, service: str) -> list[str]:
        """Every address of the service that is open now."""
        return [door.uri for door in self._by_key.values() if door.service == service]

    async def open(self, service: str, tags: Sequence[str]) -> dict[str, str]:
        """Opens what is not open yet: the service's address ('') and one per tag; answers the addresses."""
        return {tag: (await self._open(service, tag)).uri for tag in ("", *tags)}

    async def route(self, service: str, routes: Routes) -> None:
        """Sends requests by `routes` from now on, and closes the addresses of tags that are gone."""
        doors = [door for door in self._by_key.values() if door.service == service]
        for door in doors:
            if not door.tag:
                door.split = Split(routes.shares)
            elif door.tag in routes.tags:
                door.split = Split({routes.tags[door.tag]: 100})
        for door in doors:
            if door.tag and door.tag not in routes.tags:
                await self._close(door)

    async def close(self, service: str) -> None:
        await self.route(service, NOWHERE)
        if own := self._by_key.get(service):
            await self._close(own)

    async def _open(self, service: str, tag: str) -> Door:
        key = f"{service}#{tag}" if tag else service
        if key not in self._by_key:
            assert self._runner is not None
            listener = bind(self._state.port(key))
            port = int(listener.getsockname()[1])
            site = web.SockSite(self._runner, listener)
            await site.start()
            door = Door(service, tag, port, site)
            self._by_key[key] = self._by_port[port] = door
            assert self._runner.server is not None
            await self._networks.offer(port, self._runner.server)
            self._state.remember_port(key, port)
        return self._by_key[key]

    async def _close(self, door: Door) -> None:
        self._by_key.pop(f"{door.service}#{door.tag}" if door.tag else door.service, None)
        self._by_port.pop(door.port, None)
        self._networks.withdraw(door.port)
        await door.site.stop()
