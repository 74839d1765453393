"""The `slipway` command as a user runs it: a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SLIPWAY = Path(sys.executable).parent / "slipway"
Done = subprocess.CompletedProcess[str]


def slipway(*arguments: str, cwd: Path, text: str = "", **env: str) -> Done:
    """Runs it in `cwd`, which is also where Prefect's profiles are looked for; 100 columns wide."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = clean | {"PREFECT_HOME": str(cwd / "prefect"), "COLUMNS": "100"} | env
    return subprocess.run(
        [str(SLIPWAY), *arguments],
        cwd=cwd, env=environment, input=text, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def refusal(done: Done) -> str:
    """What it said when it could not do as asked: on standard error, for people, with exit code 2."""
    assert done.returncode == 2, done
    assert not done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr
