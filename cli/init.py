"""`slipway init`: the first slipway.yaml of a repository that has none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

STANDARD_OUTPUT = "-"
NAME = "slipway.yaml"
LATER = "Once it is pushed, make the app's own forms and schedules in Prefect: slipway register --repository URL"


def init_command(
    *,
    folder: Annotated[Path, Parameter(help="What to describe; slipway.yaml goes there.")] = Path(),
    app: Annotated[str | None, Parameter(help="What it is called; by default as the folder is.")] = None,
    project: Annotated[str | None, Parameter(help="Google Cloud project of its first environment.")] = None,
    region: Annotated[str | None, Parameter(help="Where it runs there, like europe-west1.")] = None,
    output: Annotated[
        str | None, Parameter(help="File to write; - is standard output.", allow_leading_hyphen=True)
    ] = None,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    from tasks.describe.describe import describe

    target = None if output == STANDARD_OUTPUT else Path(output) if output else folder / NAME
    if target and target.exists():
        raise _already(target)
    text, proposal = asyncio.run(describe(folder, app, project, region))
    if target is None:
        print(text, end="")
        return 0
    _write(target, text)
    names = ", ".join(service.name for service in proposal.services)
    print(f"{target} describes {names}. Go through the lines that say DECIDE, then: slipway check")
    print(LATER)
    return 0


def _write(target: Path, text: str) -> None:
    """Never over a file that has come there meanwhile."""
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _already(target) from None
    except OSError as error:
        raise ParameterError(
            f"{target} cannot be written: {error.strerror}.", "name another file with --output, or - to see the text."
        ) from None


def _already(target: Path) -> ParameterError:
    return ParameterError(
        f"{target} is there already, and nothing is written over it.",
        "see what would be written with --output -, and take from it what is missing.",
        Cause.ALREADY_EXISTS,
    )
