"""All that serves, read anew when what is known is older than some seconds; many who ask at once make one reading."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient

from infra.gcp.calls.attempts import calling
from tasks.observe.archive import every_shelf
from tasks.observe.read import Records
from tasks.observe.versions import Environment, read_environment
from tasks.orchestration.credentials import use_credentials_block

FRESH_S = 15.0
SPAN = timedelta(days=30)
AT_ONCE = 16  # environments that are read at the same time: each waits for Google most of its time


@dataclass(frozen=True, slots=True)
class Estate:
    """Every environment that anything was ever released to, by app and name."""

    environments: tuple[Environment, ...]
    since: datetime
    read: datetime


@dataclass
class Reader:
    """Keeps what was read last."""

    client: PrefectClient
    fresh_s: float = FRESH_S
    records: Records = field(default_factory=Records)
    _known: Estate | None = None
    _at: float = 0.0
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def estate(self) -> Estate:
        async with self._reading:
            if self._known is None or time.monotonic() - self._at >= self.fresh_s:
                self._known = await self._read()
                self._at = time.monotonic()
            return self._known

    async def _read(self) -> Estate:
        now, gate = datetime.now(UTC), asyncio.Semaphore(AT_ONCE)
        since = now - SPAN
        shelves = {(each.bucket, each.app, each.environment): each for each in await every_shelf(self.client)}
        await use_credentials_block()

        async def one(key: tuple[str, str, str]) -> Environment:
            async with gate:
                return await read_environment(shelves[key], since, self.records)

        with calling("slipway/serve", lambda _: None):
            found = await asyncio.gather(*map(one, shelves))
        return Estate(tuple(sorted(found, key=lambda each: (each.app, each.name))), since, now)
