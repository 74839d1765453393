"""Takes away, now and then, the files of blobs that no image refers to any more."""

from __future__ import annotations

import asyncio
import logging

from infra.emulator.artifacts.images import Images
from infra.emulator.kernel.cloud import Cloud

INTERVAL_S = 3600.0
log = logging.getLogger("emulator")


class Sweeper:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._images = cloud, cloud.get(Images)
        self._task: asyncio.Task[None] | None = None
        cloud.on_start.append(self._start)

    async def _start(self) -> None:
        if self._task is None:  # a reset starts everything again; one sweeper will do
            self._task = self._cloud.background.spawn(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            if removed := await self._images.sweep():
                log.info("removed %d blobs that no image refers to", removed)
