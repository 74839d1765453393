"""The admin port: health, environment, reset, faults, latency, ageing, and what has been called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from infra.emulator.kernel.ageing import Ageing, age
from infra.emulator.kernel.behaviour import PROFILES, Fault
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.projects.projects import Projects

FAULTS = TypeAdapter(list[Fault])


class Latency(BaseModel):
    model_config = ConfigDict(extra="forbid")

    profile: str | None = None
    stages: dict[str, float] = {}


class Admin:
    def __init__(self, cloud: Cloud, environment: Callable[[], dict[str, str]], seed: Callable[[], None]) -> None:
        self._cloud, self._environment, self._seed = cloud, environment, seed

    async def handle(self, request: web.Request) -> web.StreamResponse:
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
        }.get((request.method, request.path))
        if answer is None:
            return web.json_response({"error": f"no {request.method} {request.path} here"}, status=404)
        try:
            return web.json_response(await answer(request))
        except (ValidationError, ValueError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)

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

    async def _calls(self, _: web.Request) -> object:
        journal, work = self._cloud.journal, list(self._cloud.operations.journal)
        counts = {"count": dict(journal.calls), "faulted": dict(journal.faulted)}
        return {**counts, "journal": [dataclasses.asdict(entry) for entry in journal.entries], "work": work}

    async def _age(self, request: web.Request) -> object:
        return {"aged": age(self._cloud, Ageing.model_validate_json(await request.read()))}

    async def _forget_calls(self, _: web.Request) -> object:
        self._cloud.journal.forget()
        return {}
