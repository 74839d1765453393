"""The first slipway.yaml of a folder: looked for, written, and checked before anybody sees it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tasks.describe.proposal import Proposal, app_name, named
from tasks.describe.scan import PASSED_OVER, scan
from tasks.describe.write import write_manifest
from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError, ParameterError
from tasks.manifest.loading import Fault, fault_line
from tasks.preflight.offline import check_folder
from tasks.source.tree import read_tree

_DESCRIBED = ("services.", "worker_pools.")
LONGEST_BYTES = 1_000_000  # of a file that is read


async def describe(
    folder: Path, app: str | None = None, project: str | None = None, region: str | None = None
) -> tuple[str, Proposal]:
    """The text, which the offline check accepts, and what it says; a service that it refuses becomes a comment.

    ParameterError when there is nothing to ship, or a name that was given is none.
    """
    folder = await asyncio.to_thread(folder.resolve)
    proposal = await scanned(folder)
    app = app or app_name(folder.name, proposal)
    proposal = named(proposal, app)
    while proposal.services:
        text = write_manifest(proposal, app, project, region)
        faults = await check_folder(folder, text=text)
        if not faults:
            return text, proposal
        refused = {fault.key.split(".")[1]: fault for fault in faults if fault.key.startswith(_DESCRIBED)}
        if not refused:
            given = {"app": ("--app", app), "project": ("--project", project), "regions": ("--region", region)}
            raise ParameterError("\n  ".join(_refused(fault, given) for fault in faults), "give others.")
        notes = (f"{name} was left out: {fault.problem}" for name, fault in refused.items())
        kept = tuple(each for each in proposal.services if each.name not in refused)
        proposal = replace(proposal, services=kept, notes=(*proposal.notes, *notes))
    said = "".join(f"\n  {note}" for note in proposal.notes)
    raise ManifestError(
        f"There is nothing in {folder} of which a service could be made: no Dockerfile, no compose file that "
        f"builds one, and no package.json, requirements.txt or go.mod next to what starts it.{said}",
        "write a Dockerfile, or name the folder that has one with --folder.",
        Cause.NOT_FOUND,
    )


async def scanned(folder: Path) -> Proposal:
    """What a folder seems to hold. ParameterError where it is none."""
    files = await _files(folder)
    return await asyncio.to_thread(scan, files, _reader(folder))


def _refused(fault: Fault, given: Mapping[str, tuple[str, str | None]]) -> str:
    """What is wrong with an option, where the fault is about one: nobody has written that line of slipway.yaml."""
    for part in fault.key.split("."):
        option, value = given.get(part.partition("[")[0], ("", None))
        if value:
            return f"{option} {value}: {fault.problem}"
    return fault_line(fault)


async def _files(folder: Path) -> list[str]:
    """What git has, or where there is no repository all: paths below the folder."""
    if not await asyncio.to_thread(folder.is_dir):
        raise ParameterError(f"{folder} is not a folder.", "name one with --folder.", Cause.NOT_FOUND)
    if tree := await read_tree(folder):
        return await asyncio.to_thread(lambda: [path for path in tree.paths if (folder / path).is_file()])
    return await asyncio.to_thread(_walked, folder)


def _walked(folder: Path) -> list[str]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in PASSED_OVER and not name.startswith(".")]
        found += [Path(parent, name).relative_to(folder).as_posix() for name in files]
    return found


def _reader(folder: Path) -> Callable[[str], str]:
    """Reads a file below the folder; one that cannot be read says nothing."""

    def read(path: str) -> str:
        try:
            with (folder / path).open(encoding="utf-8-sig", errors="replace") as file:
                return file.read(LONGEST_BYTES)
        except OSError:
            return ""

    return read
