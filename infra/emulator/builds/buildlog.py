"""A build's log: appended to its object while the build runs, and written to Cloud Logging."""

from __future__ import annotations

import asyncio
import contextlib

from infra.emulator.builds.records import Logging
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.logs.entries import Logs
from infra.emulator.storage.objects import Objects

FLUSH_S = 0.1  # a burst of lines becomes one write


class BuildLog:
    """Lines take the forms that real logs have. A build of one step has no step prefixes."""

    def __init__(self, cloud: Cloud, build: BuildPb) -> None:
        self._objects, self._logs = cloud.get(Objects), cloud.get(Logs)
        self._project = build.project_id
        self._labels = {"build_id": build.id, "build_trigger_id": build.build_trigger_id}
        self._to_object = build.options.logging in (Logging.LEGACY, Logging.GCS_ONLY, Logging.STACKDRIVER_ONLY)
        self._to_logging = build.options.logging in (Logging.LEGACY, Logging.CLOUD_LOGGING_ONLY)
        bucket, _, folder = build.logs_bucket.removeprefix("gs://").partition("/")
        self._bucket = bucket
        self._object = f"{folder.rstrip('/')}/log-{build.id}.txt".lstrip("/")
        self._lines: list[str] = []
        self._flusher: asyncio.TimerHandle | None = None

    def line(self, text: str) -> None:
        self._lines.extend(text.split("\n"))
        if self._flusher is None:
            self._flusher = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Writes what has gathered. A log bucket that has gone meanwhile takes the log with it, not the build."""
        if self._flusher is not None:
            self._flusher.cancel()
            self._flusher = None
        lines, self._lines = self._lines, []
        if not lines:
            return
        if self._to_object and self._bucket:
            with contextlib.suppress(RpcError):
                self._objects.append(self._bucket, self._object, ("\n".join(lines) + "\n").encode())
        if self._to_logging:
            for text in lines:
                self._logs.write(self._project, "cloudbuild", "build", self._labels, text)


class StepLog:
    """What one step writes: `Step #1 - "unit": text`, or the text alone in a build of one step."""

    def __init__(self, log: BuildLog, build: BuildPb, index: int) -> None:
        self._log = log
        step_id = build.steps[index].id
        label = f'Step #{index} - "{step_id}"' if step_id else f"Step #{index}"
        self._label = label if len(build.steps) > 1 else ""

    def __call__(self, text: str) -> None:
        for line in text.split("\n"):
            self._log.line(f"{self._label}: {line}" if self._label else line)

    def started(self) -> None:
        if self._label:
            self._log.line(f"Starting {self._label}")

    def finished(self) -> None:
        if self._label:
            self._log.line(f"Finished {self._label}")
