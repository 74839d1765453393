"""How the emulated cloud misbehaves (faults) and how long things take (latency profile)."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import random
import time
from contextlib import suppress
from typing import Any, Literal

from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from pydantic import BaseModel, ConfigDict, Field, field_validator

from infra.emulator.kernel.errors import RpcError, error_info

# Seconds by stage. `rpc` is added to every call; the others are how long the cloud works in the background.
# `brisk` keeps the shape of the real thing at laptop speed; `real` is what people report of Google Cloud.
PROFILES: dict[str, dict[str, float]] = {
    "instant": {
        "monitoring.period": 1.0,  # how often request metrics are sampled
        "run.idle": 60.0,  # without a request, until an instance stops
    },
    "brisk": {
        "rpc": 0.01,
        "run.service": 0.3,  # a service or revision until its container is started
        "run.traffic": 0.3,  # a traffic change until it routes
        "run.job": 0.2,  # a job until it is ready
        "run.execution": 0.3,  # an execution until its first task starts
        "monitoring.period": 1.0,
        "monitoring.lag": 2.0,  # how long a sample stays invisible
        "build.queue": 0.2,
        "artifacts.repository": 0.3,
        "artifacts.delete": 0.1,  # of a version or package
        "serviceusage.enable": 0.5,
        "apigateway.api": 0.3,
        "apigateway.config": 0.3,  # a config until its document has been read
        "apigateway.activate": 0.2,  # and until gateways can use it
        "apigateway.gateway": 0.5,
        "apikeys.key": 0.2,
        "sql.instance": 0.5,
        "sql.backup": 0.5,
    },
    "real": {
        "rpc": 0.12,
        "run.service": 4.0,
        "run.traffic": 3.0,
        "run.job": 1.5,
        "run.execution": 5.0,
        "run.start-timeout": 240.0,  # how long a container may take to listen, also where a profile does not say
        "monitoring.period": 60.0,
        "monitoring.lag": 180.0,
        "build.queue": 4.0,
        "artifacts.repository": 3.0,
        "artifacts.delete": 1.0,
        "serviceusage.enable": 8.0,
        "apigateway.api": 15.0,
        "apigateway.config": 45.0,
        "apigateway.activate": 60.0,
        "apigateway.gateway": 90.0,
        "apikeys.key": 2.0,
        "sql.instance": 240.0,
        "sql.backup": 90.0,
        "assets.lag": 24 * 3600.0,  # how long what is gone is still found
        "serviceusage.propagation": 10.0,  # calls still answer SERVICE_DISABLED for so long after an enable
        "iam.propagation": 7.0,
    },
}


class Fault(BaseModel):
    """One instruction to misbehave; the first that matches a call is used."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field(description="glob over the method's name, e.g. *Services/GetService or storage.objects.*")
    code: str = Field("", description="canonical status to answer with, e.g. UNAVAILABLE")
    message: str = ""
    reason: str = Field("", description="ErrorInfo reason to send along")
    domain: str = "googleapis.com"
    metadata: dict[str, str] = {}
    delay_s: float = Field(0.0, ge=0)
    drop: Literal["", "before", "after", "late"] = Field(
        "", description="cut the connection before or after acting; late: at once, and act after delay_s"
    )
    first: int | None = Field(None, ge=0, description="lists end after so many entries, as if there were no more")
    unreachable: list[str] = Field([], description="lists say that these places could not be asked")
    skip: int = Field(0, ge=0, description="let so many matching calls through first")
    times: int | None = Field(None, ge=1, description="then misbehave so many times; without it, always")
    probability: float = Field(1.0, ge=0, le=1)

    @field_validator("code")
    @classmethod
    def _known(cls, code: str) -> str:
        known = list(Code.DESCRIPTOR.values_by_name)
        if code and code not in known:
            raise ValueError(f"{code} is no canonical status; there are {', '.join(known)}")
        return code

    def cut(self, response: Message) -> Message:
        """A list that says less than there is; unless it names places that it could not ask, it does not say so."""
        if self.unreachable and "unreachable_locations" in response.DESCRIPTOR.fields_by_name:
            response.unreachable_locations.extend(self.unreachable)  # type: ignore[attr-defined]
        if self.first is not None:
            for field, values in response.ListFields():
                if field.is_repeated:
                    del values[self.first :]
            if "next_page_token" in response.DESCRIPTOR.fields_by_name:
                response.ClearField("next_page_token")
        return response

    def cut_json(self, response: Any) -> Any:
        """The same of a route's answer: its lists end early, and there is no next page."""
        if self.first is None or response.content_type != "application/json":
            return response
        body = {
            name: value[: self.first] if isinstance(value, list) else value
            for name, value in json.loads(response.body).items()
            if name != "nextPageToken"
        }
        response.body = json.dumps(body).encode()
        return response

    def error(self) -> RpcError:
        details = [error_info(self.reason, self.domain, **self.metadata)] if self.reason else []
        return RpcError(Code.Value(self.code), self.message or f"Injected fault: {self.code}", *details)


class Dropped(Exception):
    """The door must cut the caller's connection instead of answering."""


class Behaviour:
    def __init__(self, profile: str = "brisk", seed: int = 0) -> None:
        self.latency_s: dict[str, float] = dict(PROFILES[profile])
        self._faults: list[Fault] = []
        self._seen: list[int] = []
        self._changed = asyncio.Event()
        self._random = random.Random(seed)  # noqa: S311 - repeatable misbehaviour, not a secret

    @property
    def faults(self) -> list[Fault]:
        return list(self._faults)

    def set_faults(self, faults: list[Fault]) -> None:
        self._faults, self._seen = list(faults), [0] * len(faults)

    def set_latency(self, profile: str | None, stages: dict[str, float]) -> None:
        """Starts from `profile` (or from what is set now) and overrides single stages, in seconds.

        It holds for what is under way, too: so nobody has to guess how long to hold something up.
        """
        base = PROFILES[profile] if profile else self.latency_s
        self.latency_s = {**base, **stages}
        self._changed.set()
        self._changed = asyncio.Event()

    async def pause(self, stage: str) -> None:
        began = time.monotonic()
        while (left := began + self.latency_s.get(stage, 0.0) - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    def pick(self, method: str) -> Fault | None:
        """The fault that this call of `method` meets, if any."""
        for index, fault in enumerate(self._faults):
            if not fnmatch.fnmatchcase(method, fault.method):
                continue
            self._seen[index] += 1
            turn = self._seen[index] - fault.skip
            if turn < 1 or (fault.times is not None and turn > fault.times):
                continue
            if self._random.random() < fault.probability:
                return fault
        return None
