"""The local stack that `slipway up` was started here with, for the commands that are started beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = Path(".slipway")
WORD = "up.json"


def local_stack_variables() -> dict[str, str]:
    """The environment of a running `slipway up` that was started here; empty if there is none."""
    with suppress(FileNotFoundError):
        return dict(json.loads((FOLDER / WORD).read_text())["environment"])
    return {}


def use_local_stack() -> None:
    """Leads this process to the cloud that runs started from here would use: all its variables, half lead nowhere."""
    if "PREFECT_API_URL" not in os.environ:
        os.environ.update(local_stack_variables())


@contextmanager
def announced(place: Path, state: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Word, in the folder `place`, of the running stack that keeps its state in `state`."""
    new, word = place / f"{WORD}.new", place / WORD
    new.touch(mode=0o600)
    new.write_text(json.dumps({"environment": dict(variables), "folder": str(state)}, indent=2))
    new.replace(word)  # whole or not at all
    try:
        yield
    finally:
        word.unlink(missing_ok=True)


def hide_from_git(folder: Path) -> None:
    """A stack that runs in an app's repository is no part of the app: not committed, not shipped."""
    (folder / ".gitignore").write_text("*\n")
