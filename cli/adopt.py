"""`slipway adopt`: slipway.yaml for what is on Cloud Run already, or for services that files describe."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.init import LATER, NAME, STANDARD_OUTPUT

if TYPE_CHECKING:
    from tasks.describe.adopt.adopt import Adoption


def adopt_command(
    *files: Annotated[
        Path, Parameter(help="Read these instead of Cloud Run: scripts and workflows, service.yaml, Terraform.")
    ],
    app: Annotated[str, Parameter(help="What the app is to be called.")],
    project: Annotated[str | None, Parameter(help="Google Cloud project that the services are in.")] = None,
    region: Annotated[list[str] | None, Parameter(help="Region that they are in; repeatable.")] = None,
    service: Annotated[list[str] | None, Parameter(help="Only this service, job or worker pool; repeatable.")] = None,
    environment: Annotated[
        str | None,
        Parameter(name=["--environment", "-e"], help="What the environment is called; by default after the project."),
    ] = None,
    output: Annotated[
        str | None,
        Parameter(
            help="File to write, or to add the environment to; - is standard output. Default: slipway.yaml.",
            allow_leading_hyphen=True,
        ),
    ] = None,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    from tasks.describe.adopt.store import adopt_into

    def tell(line: str) -> None:
        print(line, file=sys.stderr)

    target = None if output == STANDARD_OUTPUT else Path(output or NAME)
    asked = adopt_into(app, project, tuple(region or ()), tuple(service or ()), environment, files, target, tell)
    adoption = _read(asked)
    if target is None:
        print(adoption.text, end="")
    _tell_next(adoption, target)
    return 0


def _read(asked: Coroutine[Any, Any, Adoption]) -> Adoption:
    from cli.local import use_local_stack
    from tasks.failures.explain import to_slipway

    use_local_stack()
    try:
        return asyncio.run(asked)
    except Exception as error:
        raise to_slipway(error, doing="reading the services") from error


def _tell_next(adoption: Adoption, target: Path | None) -> None:
    """On standard error, as the text may be on standard output."""
    said = [f"{target or 'It'} describes {', '.join(each.name for each in adoption.services)}."]
    count = adoption.text.count("# DECIDE")
    said += [f"Go through the {count} lines that say DECIDE, then:"] if count else ["Then:"]
    said += ["  slipway check", f"  slipway deploy -e {adoption.environment}", LATER]
    print("\n".join(said), file=sys.stderr)
