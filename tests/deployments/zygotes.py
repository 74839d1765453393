"""A process that has imported everything, for tests of what is forked from it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT_S = 200.0  # a machine that is busy imports slowly


def in_the_background() -> None:
    """As a shell starts what it does not wait for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def a_zygote(*modules: str) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "zygote"
        command = [sys.executable, "-m", "deployments.warm.zygote", str(place), "cli.main", *modules]
        process = subprocess.Popen(command, cwd=ROOT, preexec_fn=in_the_background)
        try:
            until(place.exists)
            yield place, process
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def until(holds: object) -> None:
    assert callable(holds)
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)
