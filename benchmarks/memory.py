"""How much memory processes that this one has started take, sampled while they work (Linux)."""

from __future__ import annotations

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_S = 2.0


@dataclass(slots=True)
class Samples:
    """Resident memory of one process, without those that it started, in MB."""

    pid: int
    mb: list[float] = field(default_factory=list)

    def quarter_mb(self, number: int) -> float:
        """The median of the first (0) … last (3) quarter of the samples."""
        size = max(1, len(self.mb) // 4)
        return statistics.median(self.mb[-size:] if number == 3 else self.mb[number * size : (number + 1) * size])

    @property
    def growth(self) -> float:
        """Of the last quarter over the first; 1 is none."""
        return self.quarter_mb(3) / self.quarter_mb(0)

    def take(self) -> None:
        with suppress(FileNotFoundError):
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            self.mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


@asynccontextmanager
async def sampled(words: Mapping[str, str]) -> AsyncIterator[dict[str, Samples]]:
    """Samples, until left, each direct child of this process whose command has the word among its arguments.

    words: name of the process -> word. Raises LookupError if there is no such child.
    """
    found = {name: Samples(_child(word)) for name, word in words.items()}

    async def sample() -> None:
        while True:
            for samples in found.values():
                samples.take()
            await asyncio.sleep(SAMPLE_S)

    sampling = asyncio.create_task(sample())
    try:
        yield found
    finally:
        sampling.cancel()


def _child(word: str) -> int:
    for pid in children(os.getpid()):
        if word in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return pid
    raise LookupError(f"no process started from here has {word} among its arguments")


def children(parent: int) -> list[int]:
    """The pids of the processes that this one has started and that run still."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid, _, rest = stat.read_text(errors="replace").partition(" (")
            if int(rest.rpartition(")")[2].split()[1]) == parent:
                found.append(int(pid))
    return found
