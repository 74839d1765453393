"""What has been called: every call passes through here, and meets its fault and its latency."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.behaviour import Behaviour, Dropped, Fault
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call

KEEP = 10_000  # calls; the oldest go first
TOLD_HEADERS = ("user-agent", "x-goog-request-reason")


@dataclass(slots=True)
class Entry:
    """One call; times in seconds of the monotonic clock, `code` as in google.rpc.Code."""

    method: str
    principal: str
    code: int
    start: float
    seconds: float
    headers: dict[str, str]


class Journal:
    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.calls: Counter[str] = Counter()
        self.faulted: Counter[str] = Counter()  # those of them that met a fault
        self.entries: deque[Entry] = deque(maxlen=KEEP)

    @asynccontextmanager
    async def observed(self, call: Call) -> AsyncIterator[Fault | None]:
        """Applies the call's fault before it, the profile's latency to it, and writes it down when it has ended."""
        start = time.monotonic()
        fault = self._behaviour.pick(call.method)
        await self._behaviour.pause("rpc")
        code = int(Code.OK)
        try:
            if fault:
                self.faulted[call.method] += 1
                await _misbehave(fault)
            yield fault
        except RpcError as error:
            code = error.status.code
            raise
        except BaseException:
            code = Code.UNKNOWN
            raise
        finally:
            self._note(call, code, start)

    def _note(self, call: Call, code: int, start: float) -> None:
        self.calls[call.method] += 1
        seconds = round(time.monotonic() - start, 6)
        headers = {name: call.headers[name] for name in TOLD_HEADERS if name in call.headers}
        self.entries.append(Entry(call.method, call.principal, code, start, seconds, headers))

    def forget(self) -> None:
        self.calls.clear()
        self.faulted.clear()
        self.entries.clear()


async def _misbehave(fault: Fault) -> None:
    if fault.delay_s and fault.drop != "late":
        await asyncio.sleep(fault.delay_s)
    if fault.drop == "before":
        raise Dropped
    if fault.code and not fault.drop:
        raise fault.error()
