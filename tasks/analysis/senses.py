"""What a verdict is made of and what it waits by: requests that were served, our own requests, a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.gcp import monitoring
from infra.gcp.monitoring import Served
from tasks.analysis.probes import Ask, Sleep, asking
from tasks.manifest.settings import Health


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Senses:
    """The real ones, unless others are handed in: benchmarks/false_verdicts.py lives in a world of its own."""

    served: Callable[[str, str, datetime, datetime, float], Awaitable[Served]] = monitoring.served
    asking: Callable[[str, str, str, Health], AbstractAsyncContextManager[Ask]] = asking
    now: Callable[[], datetime] = utc_now
    sleep: Sleep = asyncio.sleep
