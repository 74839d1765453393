"""From what is asked for to what is written: reads, says, and keeps it in a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

from tasks.describe.adopt.add import add
from tasks.describe.adopt.adopt import Adoption, adopt
from tasks.describe.adopt.beside import FIRST
from tasks.describe.adopt.files.found import read_builds, read_files
from tasks.describe.adopt.files.placed import placed
from tasks.describe.adopt.live import read_live
from tasks.describe.adopt.seen import Kind, Seen
from tasks.describe.adopt.together import Target, environment_of
from tasks.describe.describe import scanned
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

Tell = Callable[[str], None]


async def adopt_into(
    app: str,
    project: str | None,
    regions: tuple[str, ...],
    names: tuple[str, ...],
    environment: str | None,
    files: Sequence[Path],
    target: Path | None,
    tell: Tell,
) -> Adoption:
    """What is written to `target`; a file that is there gets one more environment, and only if it is still the same.

    Raises GoogleError when Google refuses, and SlipwayErrors for the rest.
    """
    former = await asyncio.to_thread(_former, target)
    if files:
        read = await asyncio.to_thread(read_files, files, project or "")
        seen, notes = chosen(await _placed(read, files, target.parent if target else Path(), project or ""), app, names)
        project = project or next((each.project for each in seen if each.project), "")
        regions = regions or tuple(dict.fromkeys(each.region for each in seen if each.region))
        seen = [replace(each, project=each.project or project) for each in seen]
    elif project is None or not regions:
        said = "Where the services are is not said."
        raise ParameterError(said, "give --project and --region, or files to read instead.")
    else:
        seen, notes = await read_live(project, regions, names, tell), ()
    place = Target(environment or environment_of(project), project, regions)
    adoption = adopt(app, place, seen, notes) if former is None else add(former, str(target), app, place, seen, notes)
    if target is not None:
        await asyncio.to_thread(_write, target, adoption.text, former)
    return adoption


async def _placed(seen: Sequence[Seen], files: Sequence[Path], root: Path, project: str) -> list[Seen]:
    """With the folders of the repository that they are built from."""
    builds = await asyncio.to_thread(read_builds, files, project)
    proposal = await scanned(root)
    return await asyncio.to_thread(placed, seen, builds, proposal.services, lambda path: (root / path).exists())


UNNAMED = {Kind.SERVICE: "web", **FIRST}


def chosen(seen: Sequence[Seen], app: str, names: Sequence[str]) -> tuple[list[Seen], tuple[str, ...]]:
    """Each service once, those of these names where any is given, and a note about the others. Files may leave names
    to whoever runs them: such a service is called as a new one would be.
    """
    found: dict[tuple[Kind, str, str], Seen] = {}
    notes: list[str] = []
    unnamed = 0
    for each in seen:
        if names and each.name not in names:
            continue
        named = each
        if not each.name:
            unnamed += 1
            called = f"{app}-{UNNAMED[each.kind]}"
            named = replace(each, name=called if unnamed == 1 else f"{called}-{unnamed}")
        if (named.kind, named.name, named.region) in found:
            notes.append(f"{named.name} is described more than once; this is the first.")
        found.setdefault((named.kind, named.name, named.region), named)
    if missing := [name for name in names if name not in {each.name for each in found.values()}]:
        known = ", ".join(sorted({each.name for each in seen if each.name}))
        said = f"The files describe no service {', '.join(missing)}."
        raise ParameterError(said, f"name one of these with --service: {known}.", Cause.NOT_FOUND)
    return list(found.values()), tuple(notes)


def _former(target: Path | None) -> str | None:
    if target is None or not target.exists():
        return None
    try:
        return target.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unwritten(target, str(error)) from None


def _write(target: Path, text: str, former: str | None) -> None:
    """All or nothing, and never over what has come there meanwhile."""
    if _former(target) != former:
        raise ParameterError(f"{target} was changed meanwhile.", "start the command again.", Cause.CONFLICT)
    try:
        with NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, delete=False) as file:
            file.write(text)
        if former is not None:
            Path(file.name).chmod(target.stat().st_mode)
        else:
            Path(file.name).chmod(0o666 & ~_umask())
        Path(file.name).replace(target)
    except OSError as error:
        raise _unwritten(target, error.strerror or str(error)) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritten(target: Path, why: str) -> ParameterError:
    return ParameterError(
        f"{target} cannot be written: {why}.", "name another file with --output, or - to see the text."
    )
