"""What a local stack is made of goes on when a part of it ends, and ends with it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cli.processes import keep, python

PROGRAM = "import os, sys, time; print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True); time.sleep(600)"


async def test_one_that_is_kept_is_started_again_when_it_ends_and_ends_with_the_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "pids"
    os.mkfifo(told)
    with os.fdopen(os.open(told, os.O_RDWR)) as pids:
        async with asyncio.timeout(60), AsyncExitStack() as stack:
            await keep(stack, tmp_path, "worker", python("-c", PROGRAM, str(told)), os.environ)
            os.kill(int(await asyncio.to_thread(pids.readline)), signal.SIGKILL)
            last = int(await asyncio.to_thread(pids.readline))
            os.kill(last, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(last, 0)
    assert capsys.readouterr().err.startswith("worker has ended with -9 and is started again; ")
