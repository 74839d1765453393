"""Startup probes: how long a container may take, and whether it answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from infra.emulator.run.defaults import START_LIMIT_S, is_default_probe

POLL_S = 0.02
POLL_LIMIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Probe:
    """`path` None: it is enough that the port accepts a connection."""

    port: int
    path: str | None
    headers: tuple[tuple[str, str], ...]
    delay_s: float
    timeout_s: float
    period_s: float
    failures: int
    limit_s: float  # at the latest then, the container must have passed
    configured: bool  # by the user, not by default

    @property
    def kind(self) -> str:
        return "TCP" if self.path is None else "HTTP"


def startup_probe(container: Any, port: int, start_limit_s: float) -> Probe:
    """The container's startup probe, aimed at the port where its instance really listens."""
    spec = container.startup_probe
    http = spec.http_get if spec.HasField("http_get") else None
    budget = spec.initial_delay_seconds + spec.period_seconds * spec.failure_threshold
    return Probe(
        port=port,
        path=http.path if http is not None else None,
        headers=tuple((header.name, header.value) for header in http.http_headers) if http is not None else (),
        delay_s=spec.initial_delay_seconds,
        timeout_s=spec.timeout_seconds,
        period_s=spec.period_seconds,
        failures=spec.failure_threshold,
        limit_s=min(budget or START_LIMIT_S, start_limit_s),
        configured=not is_default_probe(spec),
    )


async def passes(probe: Probe) -> bool:
    """Waits until the probe succeeds; False when it has failed for good.

    A port that nobody listens on yet is tried often, for as long as all attempts together may take; once somebody
    listens, each unsatisfactory HTTP answer counts as a failure and the next attempt waits for the period.
    """
    deadline = time.monotonic() + probe.limit_s
    await asyncio.sleep(min(probe.delay_s, probe.limit_s))
    failures, poll_s = 0, POLL_S
    while True:
        if not await _listens(probe.port):
            pause_s, poll_s = poll_s, min(poll_s * 1.5, POLL_LIMIT_S)
        elif probe.path is None or await _satisfied(probe):
            return True
        else:
            failures += 1
            pause_s = probe.period_s
        if failures >= probe.failures or time.monotonic() + pause_s > deadline:
            return False
        await asyncio.sleep(pause_s)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _satisfied(probe: Probe) -> bool:
    timeout = aiohttp.ClientTimeout(total=probe.timeout_s)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(
                f"http://127.0.0.1:{probe.port}{probe.path}", headers=dict(probe.headers), allow_redirects=False
            ) as response,
        ):
            return 200 <= response.status < 400
    except (TimeoutError, aiohttp.ClientError):
        return False
