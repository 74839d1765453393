"""The admin port: health, environment, reset, faults, latency, ageing, metadata servers, what has been called, and what
services are told of the world.

It answers only who can read emulator.json, where its address with a password stands. A web page that a browser shows
on this machine cannot: it has no password, it says its Origin, and a name of its own that it leads here is no Host of
ours (DNS rebinding).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import BasicAuth, web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.emulator.kernel.ageing import Ageing, age
from infra.emulator.kernel.behaviour import PROFILES, Fault
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.projects.projects import Projects

FAULTS = TypeAdapter(list[Fault])
USER = "admin"


class Latency(BaseModel):
    model_config = ConfigDict(extra="forbid")

    profile: str | None = None
    stages: dict[str, float] = {}


class Machine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    account: str  # by e-mail


class Admin:
    def __init__(
        self,
        cloud: Cloud,
        environment: Callable[[], dict[str, str]],
        seed: Callable[[], None],
        machine: Callable[[str], Awaitable[str]],
    ) -> None:
        """machine: opens the metadata server of one that runs as this account, and answers where."""
        self._cloud, self._environment, self._seed, self._machine = cloud, environment, seed, machine
        self._password = secrets.token_urlsafe(24)

    def url(self, port: int) -> str:
        """The address with the password in it: for emulator.json, which nobody else may read."""
        return f"http://{USER}:{self._password}@127.0.0.1:{port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._refusal(request):
            return refusal
        answer = {
            ("GET", "/health"): self._health,
            ("GET", "/env"): self._env,
            ("POST", "/reset"): self._reset,
            ("GET", "/faults"): self._get_faults,
            ("PUT", "/faults"): self._set_faults,
            ("GET", "/latency"): self._get_latency,
            ("PUT", "/latency"): self._set_latency,
            ("GET", "/calls"): self._calls,
            ("DELETE", "/calls"): self._forget_calls,
            ("POST", "/age"): self._age,
            ("POST", "/metadata"): self._metadata,
        }.get((request.method, request.path))
        if request.path in self._cloud.told and request.method in ("GET", "PUT"):
            answer = self._told
        if answer is None:
            return web.json_response({"error": f"no {request.method} {request.path} here"}, status=404)
        try:
            return web.json_response(await answer(request))
        except (ValidationError, ValueError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if "Origin" in request.headers or not is_loopback(request.url.host):
            return web.json_response({"error": "only programs on this machine, at its loopback address"}, status=403)
        expected = BasicAuth(USER, self._password).encode()
        if secrets.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode()):
            return None
        text = "the password is missing or wrong: take the address at `admin` in the running emulator's emulator.json"
        return web.json_response({"error": text}, status=401, headers={"WWW-Authenticate": "Basic"})

    async def _health(self, _: web.Request) -> object:
        return {"status": "ok", "projects": [project.id for project in self._cloud.get(Projects).all()]}

    async def _env(self, _: web.Request) -> object:
        return self._environment()

    async def _reset(self, _: web.Request) -> object:
        for stop in self._cloud.on_stop:
            await stop()
        self._cloud.reset()
        self._seed()
        for start in self._cloud.on_start:
            await start()
        return {}

    async def _get_faults(self, _: web.Request) -> object:
        return [fault.model_dump() for fault in self._cloud.behaviour.faults]

    async def _set_faults(self, request: web.Request) -> object:
        self._cloud.behaviour.set_faults(FAULTS.validate_json(await request.read()))
        return await self._get_faults(request)

    async def _get_latency(self, _: web.Request) -> object:
        return {"stages": self._cloud.behaviour.latency_s, "profiles": PROFILES}

    async def _set_latency(self, request: web.Request) -> object:
        wanted = Latency.model_validate_json(await request.read())
        self._cloud.behaviour.set_latency(wanted.profile, wanted.stages)
        return await self._get_latency(request)

    async def _told(self, request: web.Request) -> object:
        told = self._cloud.told[request.path]
        if request.method == "PUT":
            told.take(await request.read())
        return told.show()

    async def _calls(self, _: web.Request) -> object:
        journal, work = self._cloud.journal, list(self._cloud.operations.journal)
        counts = {"count": dict(journal.calls), "faulted": dict(journal.faulted)}
        return {**counts, "journal": [dataclasses.asdict(entry) for entry in journal.entries], "work": work}

    async def _age(self, request: web.Request) -> object:
        return {"aged": age(self._cloud, Ageing.model_validate_json(await request.read()))}

    async def _metadata(self, request: web.Request) -> object:
        return {"host": await self._machine(Machine.model_validate_json(await request.read()).account)}

    async def _forget_calls(self, _: web.Request) -> object:
        self._cloud.journal.forget()
        return {}


def is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
