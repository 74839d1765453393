"""Startup probes: how long a container may take, and whether it answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from infra.emulator.run.defaults import START_LIMIT_S, is_default_probe
from infra.emulator.run.listeners import SHARED, listening, loopback_only
from infra.emulator.run.networks import Networks

POLL_S = 0.02
POLL_LIMIT_S = 0.25
CONNECT_S = 5.0  # a listener that has no room for a connection drops it in silence, and the kernel tries for minutes


@dataclass(frozen=True, slots=True)
class Probe:
    """`path` None: it is enough that the port accepts a connection."""

    host: str
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


def startup_probe(container: Any, host: str, port: int, start_limit_s: float) -> Probe:
    """The container's startup probe, aimed at the place where its instance should listen."""
    spec = container.startup_probe
    http = spec.http_get if spec.HasField("http_get") else None
    budget = spec.initial_delay_seconds + spec.period_seconds * spec.failure_threshold
    return Probe(
        host=host,
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


def port_probed(spec: Any) -> int:
    """Where a probe asks, as its specification has it."""
    return int(getattr(spec, spec.WhichOneof("probe_type") or "tcp_socket").port)


async def passes(probe: Probe, networks: Networks) -> bool:
    """Waits until the probe succeeds; False when it has failed for good.

    A port that nobody listens on yet is tried often, for as long as all attempts together may take; once somebody
    listens, each unsatisfactory HTTP answer counts as a failure and the next attempt waits for the period.
    """
    deadline = time.monotonic() + probe.limit_s
    await asyncio.sleep(min(probe.delay_s, probe.limit_s))
    failures, poll_s = 0, POLL_S
    while True:
        if not await _listens(probe, networks):
            pause_s, poll_s = poll_s, min(poll_s * 1.5, POLL_LIMIT_S)
        elif probe.path is None or await _satisfied(probe, networks):
            return True
        else:
            failures += 1
            pause_s = probe.period_s
        if failures >= probe.failures or time.monotonic() + pause_s > deadline:
            return False
        await asyncio.sleep(pause_s)


async def _listens(probe: Probe, networks: Networks) -> bool:
    try:
        with networks.take_for(probe.host) as trial:
            trial.setblocking(False)
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(trial, (probe.host, probe.port))
    except OSError:
        return False
    return probe.host != SHARED or not loopback_only(listening("self"), probe.port)


async def _satisfied(probe: Probe, networks: Networks) -> bool:
    timeout = aiohttp.ClientTimeout(total=probe.timeout_s)
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(socket_factory=networks.take), timeout=timeout
            ) as session,
            session.get(
                f"http://{probe.host}:{probe.port}{probe.path}", headers=dict(probe.headers), allow_redirects=False
            ) as response,
        ):
            return 200 <= response.status < 400
    except (TimeoutError, aiohttp.ClientError):
        return False
