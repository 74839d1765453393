"""Which runtime an instance gets, and why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from infra.emulator.run.processes import Processes
from infra.emulator.run.runtime import Runtime
from infra.emulator.run.workload import Workload

if TYPE_CHECKING:
    from infra.emulator.artifacts.images import Images

SETTING = "SLIPWAY_EMULATOR_RUNTIME"  # process, podman or auto


class Runtimes:
    def __init__(self, images: Images) -> None:
        self._processes = Processes(images)

    async def choose(self, workload: Workload) -> tuple[Runtime, str]:
        return self._processes, os.environ.get(SETTING, "auto")
