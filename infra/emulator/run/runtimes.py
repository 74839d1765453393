"""Which runtime an instance gets, and why."""

from __future__ import annotations

import os
from pathlib import Path

from infra.emulator.artifacts.builtin import AS_PROCESS
from infra.emulator.artifacts.images import Images
from infra.emulator.run.conditions import not_prepared
from infra.emulator.run.podman import Podman
from infra.emulator.run.processes import Processes
from infra.emulator.run.runtime import Runtime
from infra.emulator.run.workload import Workload

SETTING = "SLIPWAY_EMULATOR_RUNTIME"  # process, podman or auto


class Runtimes:
    """`folder` is podman's own."""

    def __init__(self, images: Images, folder: Path) -> None:
        self._processes, self.podman = Processes(images), Podman(images, folder)

    async def choose(self, workload: Workload) -> tuple[Runtime, str]:
        """The runtime, and the reason in words for the revision's log. Raises Unready if it cannot be had."""
        setting = os.environ.get(SETTING, "auto")
        if setting == "process":
            return self._processes, f"{SETTING}={setting}"
        if AS_PROCESS in (workload.config.get("Labels") or {}):
            return self._processes, "the image holds a program but no system to run it in"
        if refusal := await self.podman.refusal():
            if setting == "podman":
                raise not_prepared(workload.owner, f"{SETTING}={setting}, but {refusal}")
            return self._processes, refusal
        return self.podman, "podman works here"
