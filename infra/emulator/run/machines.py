"""The metadata server that each instance finds in its network, for what it runs as.

https://cloud.google.com/run/docs/container-contract#metadata-server
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web

from infra.emulator.doors.metadata import Metadata
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.run.networks import Factory
from infra.emulator.run.workload import Workload


class Machines:
    """One server for each account in each region."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._servers = cloud, dict[tuple[str, str], web.Server]()

    def of(self, workload: Workload) -> Factory | None:
        """None where what it runs as is not there any more."""
        key = workload.account, workload.owner.split("/")[3]
        if key not in self._servers:
            try:
                handle = Metadata(self._cloud, workload.account, f"{key[1]}-1").handle
            except ValueError:
                return None
            self._servers[key] = web.Server(cast("Callable[[Any], Awaitable[web.StreamResponse]]", handle))
        return self._servers[key]

    async def stop(self) -> None:
        for server in self._servers.values():
            await server.shutdown(0.5)
