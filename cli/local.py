"""The local stack that `slipway up` runs in this folder, for the commands that are started beside it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

FOLDER = Path(".slipway")


def local_stack_variables() -> dict[str, str]:
    """The environment of a running `slipway up` in this folder; empty if there is none."""
    with suppress(FileNotFoundError):
        return dict(json.loads((FOLDER / "up.json").read_text())["environment"])
    return {}


def use_local_stack() -> None:
    """Leads this process to the cloud that runs started from here would use: all its variables, half lead nowhere."""
    if "PREFECT_API_URL" not in os.environ:
        os.environ.update(local_stack_variables())
