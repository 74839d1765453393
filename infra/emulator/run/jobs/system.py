"""Cloud Run's jobs as one object: their parts, and how they start and stop with the emulator."""

from __future__ import annotations

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.logs.entries import Logs
from infra.emulator.run.jobs.attempts import Attempts, TaskResolver
from infra.emulator.run.jobs.executions import Executions
from infra.emulator.run.jobs.lifecycle import JobLifecycle
from infra.emulator.run.jobs.state import JobState
from infra.emulator.run.system import CloudRun


class CloudJobs:
    def __init__(self, cloud: Cloud) -> None:
        run = cloud.get(CloudRun)
        self.state = JobState(cloud.store)
        resolver = TaskResolver(run.around, self.state)
        attempts = Attempts(resolver, run.runtimes, run.networks, run.machines, cloud.get(Logs), cloud.data / "tasks")
        self._executions = Executions(self.state, attempts, cloud.behaviour, cloud.background)
        self.lifecycle = JobLifecycle(cloud, self.state, self._executions, resolver)
        cloud.on_start.append(self._start)
        cloud.on_stop.append(self._executions.stop_all)
        cloud.on_reset.append(self._executions.forget)

    async def _start(self) -> None:
        self.lifecycle.resume()
