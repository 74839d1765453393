"""One build from the queue to its end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.cloud.devtools import cloudbuild_v1

from infra.emulator.builds import provenance, source, tools, validation
from infra.emulator.builds.bases import tagged
from infra.emulator.builds.builders import Workshop
from infra.emulator.builds.buildlog import BuildLog, StepLog
from infra.emulator.builds.docker import Docker
from infra.emulator.builds.environment import Environment, SecretRefused
from infra.emulator.builds.pack import Pack
from infra.emulator.builds.processes import Processes
from infra.emulator.builds.queue import Queue
from infra.emulator.builds.records import ONGOING, Builds, FailureType, Status, built_in
from infra.emulator.builds.registry import PushError, Registry
from infra.emulator.builds.steps import StepRefused, Steps, Workspace
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.cloud import Cloud

log = logging.getLogger("emulator")
TimeSpanPb: Any = cloudbuild_v1.TimeSpan.pb()


class Ended(Exception):
    """The build is over without success. `detail` is its statusDetail, `kind` a FailureInfo type."""

    def __init__(self, status: int, detail: str, kind: int = FailureType.FAILURE_TYPE_UNSPECIFIED) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind = status, detail, kind


class Execution:
    """`start` runs the build in the background; `cancel` and `stop` end it from outside."""

    def __init__(
        self, cloud: Cloud, builds: Builds, processes: Processes, queue: Queue, workshop: Workshop, build: BuildPb
    ) -> None:
        self._cloud, self._builds, self._processes, self._queue, self.build = cloud, builds, processes, queue, build
        account = build.service_account.rsplit("/", 1)[-1]
        self._log = BuildLog(cloud, build)
        self._workspace = Workspace((cloud.data / "builds" / build.id).absolute())
        self._docker = Docker(workshop, Registry(cloud, account), self._workspace.root)
        self._commands = {"docker": self._docker.run, "pack": Pack(self._docker, self._workspace.root).run}
        self._steps = Steps(self._workspace, source.folder_of_steps(build), self._commands, processes)
        self._environment = Environment(cloud, build, account, built_in(cloud, build), self._workspace.home)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        self._task = self._cloud.background.spawn(self._run())
        return self._task

    async def cancel(self) -> None:
        """Ends the build as CANCELLED, its processes included; returns when that is so."""
        await self.stop()
        if self.build.status in ONGOING:
            self._close(Ended(Status.CANCELLED, "context canceled"))

    async def stop(self) -> None:
        """Ends the work without deciding the build's status."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            self._close(await self._end())
        except Exception as error:  # a build must not hang because of a flaw of ours
            log.exception("build %s", self.build.name)
            self._close(Ended(Status.INTERNAL_ERROR, f"internal error: {error}"))

    async def _end(self) -> Ended | None:
        """How the build comes to its end; None if well. Its folder is gone by then."""
        try:
            await self._to_the_end()
        except Ended as end:
            return end
        finally:
            await asyncio.to_thread(shutil.rmtree, self._workspace.root, ignore_errors=True)
        return None

    def _close(self, end: Ended | None) -> None:
        """The log is whole before the status says that the build is over."""
        build = self.build
        if end is None:
            build.status = Status.SUCCESS
            self._log.line("DONE")
        else:
            build.status, build.status_detail = end.status, end.detail
            heading = "ERROR" if end.status in (Status.FAILURE, Status.INTERNAL_ERROR) else Status(end.status).name
            self._log.line(f"{heading}\nERROR: {end.detail}")
        if end is not None and end.kind:
            build.failure_info.type_ = end.kind
            build.failure_info.detail = f"{FAILURES[end.kind]}: {end.detail}"
        self._log.flush()
        build.finish_time.GetCurrentTime()
        if end is None:
            provenance.note(self._cloud, build)
        self._builds.put(build)

    async def _to_the_end(self) -> None:
        parent = self.build.name.rsplit("/builds/", 1)[0]
        try:
            async with self._queue.place(parent, self.build.queue_ttl.seconds):
                await self._begin()
        except TimeoutError as error:
            raise Ended(Status.EXPIRED, "build expired in the queue") from error

    async def _begin(self) -> None:
        self.build.status = Status.WORKING
        self.build.start_time.GetCurrentTime()
        self._builds.put(self.build)
        try:
            async with asyncio.timeout(self.build.timeout.seconds):
                await self._work()
        except TimeoutError as error:
            raise Ended(Status.TIMEOUT, "context deadline exceeded") from error

    async def _work(self) -> None:
        self._log.line(f'starting build "{self.build.id}"\n')
        async with self._phase("FETCHSOURCE"):
            await self._fetch()
        async with self._phase("BUILD"):
            await self._run_steps()
        if self.build.images:
            async with self._phase("PUSH"):
                await self._push()

    @asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[None]:
        self._log.line(name)
        span = TimeSpanPb()
        span.start_time.GetCurrentTime()
        try:
            yield
        finally:
            span.end_time.GetCurrentTime()
            self.build.timing[name].CopyFrom(span)

    async def _fetch(self) -> None:
        self._workspace.folder.mkdir(parents=True)
        try:
            await source.fetch(self._cloud, self.build, self._workspace.folder, self._processes, self._log.line)
        except source.FetchError as error:
            raise Ended(Status.FAILURE, str(error), FailureType.FETCH_SOURCE_FAILED) from error

    async def _run_steps(self) -> None:
        done = [asyncio.Event() for _ in self.build.steps]
        try:
            async with tools.offered(self._commands, self._workspace.bin) as address, asyncio.TaskGroup() as group:
                self._environment.add(address)
                for index, needed in enumerate(validation.dependencies(self.build)):
                    group.create_task(self._step(index, [done[other] for other in needed], done[index]))
        except ExceptionGroup as group:
            if failures := group.subgroup(Ended):
                raise failures.exceptions[0] from None
            raise
        self.build.results.build_step_images[:] = [""] * len(self.build.steps)
        missing = [image for image in self.build.images if tagged(image) not in self._docker.images]
        if missing:
            names = " ".join(f'"{image}"' for image in missing)
            detail = f"failed to find one or more images after execution of build steps: [{names}]"
            raise Ended(Status.FAILURE, detail, FailureType.PUSH_IMAGE_NOT_FOUND)

    async def _step(self, index: int, needed: list[asyncio.Event], done: asyncio.Event) -> None:
        for event in needed:
            await event.wait()
        step, output = self.build.steps[index], StepLog(self._log, self.build, index)
        output.started()
        span = TimeSpanPb()
        span.start_time.GetCurrentTime()
        status, problem = Status.CANCELLED, ""
        try:
            status, problem = await self._run_step(step, output)
        finally:
            span.end_time.GetCurrentTime()
            step.timing.CopyFrom(span)
            step.status = status
            output.finished()
            self._builds.put(self.build)
        if status == Status.SUCCESS or self._forgiven(step):
            done.set()
            return
        detail = f'build step {index} "{step.name}" failed: {problem}'
        ended = Status.TIMEOUT if status == Status.TIMEOUT else Status.FAILURE
        raise Ended(ended, detail, FailureType.USER_BUILD_STEP)

    async def _run_step(self, step: Any, output: StepLog) -> tuple[int, str]:
        """The step's status and, unless it succeeded, what went wrong."""
        try:
            async with asyncio.timeout(step.timeout.seconds or None):
                step.exit_code = await self._steps.run(step, self._environment.of(step), output)
        except TimeoutError:
            return Status.TIMEOUT, f"step exceeded its timeout of {step.timeout.seconds}s: context deadline exceeded"
        except (StepRefused, SecretRefused) as error:
            return Status.FAILURE, str(error)
        if step.exit_code:
            return Status.FAILURE, f"step exited with non-zero status: {step.exit_code}"
        return Status.SUCCESS, ""

    @staticmethod
    def _forgiven(step: Any) -> bool:
        if step.allow_exit_codes:
            return step.exit_code in step.allow_exit_codes
        return bool(step.allow_failure)

    async def _push(self) -> None:
        for image in self.build.images:
            self._log.line(f"Pushing {image}")
            built = self.build.results.images.add(name=image)
            built.push_timing.start_time.GetCurrentTime()
            try:
                built.digest = await self._docker.push(image, self._log.line)
            except PushError as error:
                del self.build.results.images[-1]
                self._log.line(f"{error}\nERROR: failed to push because we ran out of retries.")
                detail = f'error pushing image "{image}": retry budget exhausted: step exited with non-zero status: 1'
                raise Ended(Status.FAILURE, detail, error.kind) from error
            built.push_timing.end_time.GetCurrentTime()


FAILURES = {
    FailureType.FETCH_SOURCE_FAILED: "Fetching the source failed",
    FailureType.USER_BUILD_STEP: "Build step failure",
    FailureType.PUSH_FAILED: "Image push failure",
    FailureType.PUSH_NOT_AUTHORIZED: "Image push not authorized",
    FailureType.PUSH_IMAGE_NOT_FOUND: "Image not found",
}
