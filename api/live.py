"""Tells an open page when what it shows has changed, as Server-Sent Events: it then asks for itself again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator

from api.estate import Reader
from api.runs import Runs
from tasks.observe.versions import as_json

EVERY_S = 5.0  # what serves is read anew less often than that: see `estate`


async def changes(reader: Reader, runs: Runs, every_s: float = EVERY_S) -> AsyncIterator[str]:
    """Without end: an event each time, and a line that keeps proxies from closing while there is none."""
    shown = await _shown(reader, runs)
    yield ": open\n\n"
    while True:
        await asyncio.sleep(every_s)
        now = await _shown(reader, runs)
        yield ": same\n\n" if now == shown else "event: changed\ndata: {}\n\n"
        shown = now


async def _shown(reader: Reader, runs: Runs) -> str:
    """The same as long as the page would show the same."""
    estate = await reader.estate()
    records = [
        [record.model_dump_json(include={"run_id", "state", "targets"}) for record in each.history[:1]]
        for each in estate.environments
    ]
    said = [list(map(as_json, estate.environments)), await runs.active(), records]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
