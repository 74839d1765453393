"""`slipway check`: every fault of slipway.yaml and its folder at once, without a network; also before a run starts."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.options import Json
from tasks.failures.errors import ManifestError, ParameterError

if TYPE_CHECKING:
    from tasks.manifest.loading import Fault

STANDARD_INPUT = "-"
NAME = "slipway.yaml"


def check_command(
    *,
    folder: Annotated[Path | None, Parameter(help="Where slipway.yaml is; by default here.")] = None,
    file: Annotated[
        str | None,
        Parameter(
            help="A manifest by itself, without what is around it; - is standard input.", allow_leading_hyphen=True
        ),
    ] = None,
    environment: Annotated[
        str | None, Parameter(name=["--environment", "-e"], help="That slipway.yaml must have.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Tell everything that is wrong with slipway.yaml and the sources it names; exit code 1 if anything is."""
    from tasks.preflight.offline import check_folder

    if folder and file:
        raise ParameterError("--folder and --file were both given.", "give one of them.")
    if file:
        name, faults = _in_file(file, environment)
    else:
        name, faults = NAME, asyncio.run(check_folder(folder or Path(), environment))
    if as_json:
        print(json.dumps({"ok": not faults, "faults": [dataclasses.asdict(fault) for fault in faults]}))
    elif faults:
        print(_refusal(faults, name))
    else:
        print(f"{name} has no fault that shows without Google Cloud; slipway doctor asks the project too.")
    return 1 if faults else 0


def refuse_faulty(
    source: Mapping[str, Any], environment: str | None, services: Sequence[str] | None, *, provisions: bool = False
) -> None:
    """ManifestError where a run from this folder would find the same out, only later; a ref or a URL is the run's.

    `services` are those that are built: none for a run that builds nothing, None for all. provisions: whether it makes
    what is around the app, as a run that ships does where that is said.
    """
    place = Path(source["repository"])
    if source["ref"] is not None or not place.is_dir():
        return
    from tasks.preflight.offline import check_folder

    ships = services is None or bool(services)
    folder = place / source.get("folder", "")
    found = check_folder(
        folder, environment, services, around=lambda said: provisions or (ships and said.before_deploy)
    )
    if faults := asyncio.run(found):
        raise _refusal(faults, NAME)


def _in_file(file: str, environment: str | None) -> tuple[str, list[Fault]]:
    from tasks.manifest.loading import decoded, read_text
    from tasks.preflight.offline import check_text

    if file == STANDARD_INPUT:
        return NAME, check_text(decoded(sys.stdin.buffer.read(), NAME), NAME, environment)
    path = Path(file)
    return path.name, check_text(read_text(path), path.name, environment)


def _refusal(faults: Sequence[Fault], name: str) -> ManifestError:
    """All faults in the order of their lines, each with what to do about it where that differs from fault to fault."""
    from tasks.manifest.loading import CORRECT, fault_line

    if len(faults) == 1 and faults[0].remedy:
        return ManifestError(fault_line(faults[0], name), faults[0].remedy)
    lines = [f"{name} has {'a problem' if len(faults) == 1 else f'{len(faults)} problems'}:"]
    for fault in faults:
        lines.append(fault_line(fault, name))
        lines += [f"  To fix: {fault.remedy}"] * bool(fault.remedy)
    remedy = CORRECT if not all(fault.remedy for fault in faults) else "correct these lines."
    return ManifestError("\n  ".join(lines), remedy)
