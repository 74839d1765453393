"""What `slipway up` tells to type."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli.up import own_command

FOLDER = Path(sys.executable).parent


@pytest.mark.parametrize("path", [str(FOLDER), "/usr/bin:/bin"], ids=["on PATH", "not on PATH"])
def test_the_command_that_is_shown_can_be_typed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path)
    done = subprocess.run([*shlex.split(own_command()), "schema"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout[:1]) == (0, "{")
