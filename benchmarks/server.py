"""A Prefect server as `slipway up` starts it, for benchmarks whose flows run in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prefect.settings import PREFECT_API_URL, temporary_settings

from cli.stack import start_server


@asynccontextmanager
async def prefect_server(folder: Path) -> AsyncIterator[str]:
    """Its address, which is this process's too meanwhile; its database is in the folder."""
    async with AsyncExitStack() as stack:
        url = (await start_server(stack, folder))["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url}):
            yield url
