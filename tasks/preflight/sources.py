"""The sources of the services: whether all that git has of them is here and can be packed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.builds.archive import plan
from tasks.builds.ignore import left_out
from tasks.failures.errors import Cause, SlipwayError, SourceError
from tasks.failures.spelling import meant
from tasks.model import Problem, Readiness, Request
from tasks.source.git import attempt
from tasks.source.submodules import fetch_submodules

CHECK = "build config"
NAMED = 5  # files, in one message
_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024  # bytes: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md


async def check_sources(request: Request) -> Readiness:
    """Fetches the submodules that the sources hold, and looks at all that would be packed."""
    if not request.builds:
        return Readiness()
    folders = [request.service(name).source for name in request.services]
    missing = await fetch_submodules(request.folder, folders)
    found = await asyncio.gather(*(_check(request, name, missing) for name in request.services))
    return Readiness(tuple(problem for problems in found for problem in problems))


async def _check(request: Request, name: str, missing: Mapping[Path, SlipwayError]) -> list[Problem]:
    problems = await asyncio.to_thread(lambda: list(judge_source(request, name, missing)))
    if problems:
        return problems
    service = request.service(name)
    return await _pointers(request.folder / service.source, name, service.dockerfile)


def judge_source(request: Request, name: str, missing: Mapping[Path, SlipwayError]) -> Iterator[Problem]:
    """What keeps a service's source from being packed whole; `missing`: submodules that could not be had, by path."""
    service = request.service(name)
    folder, source = request.folder, request.folder / service.source
    correct = f"correct services.{name}.source in slipway.yaml"
    for path, error in missing.items():
        if _is_packed(source.resolve(), path, service.dockerfile):
            shown = os.path.relpath(path, folder.resolve())
            problem = f"The submodule {shown} in the source of service {name} is not here: {error.problem}"
            yield Problem(CHECK, error.cause, problem, error.remedy)
    if not source.is_dir():
        what = f"The source folder {service.source} of service {name} is not in the repository."
        yield Problem(CHECK, Cause.INVALID_CONFIG, what, correct)
    elif not source.resolve().is_relative_to(folder.resolve()):
        what = f"The source folder {service.source} of service {name} is a link that leads out of the repository."
        yield Problem(CHECK, Cause.INVALID_CONFIG, what, correct)
    else:
        yield from _judge_files(source, name, service.named_dockerfile, service.dockerfile)


def _is_packed(source: Path, submodule: Path, dockerfile: str) -> bool:
    """Whether the service packs a submodule, or lies within it."""
    if not submodule.is_relative_to(source):
        return source.is_relative_to(submodule)
    return not left_out(source, dockerfile)(f"{submodule.relative_to(source).as_posix()}/")


def _judge_files(source: Path, name: str, named: str | None, dockerfile: str) -> Iterator[Problem]:
    if named and not (source / named).is_file():
        yield Problem(
            CHECK,
            Cause.NOT_FOUND,
            f"The Dockerfile {named} of service {name} is not in its source{_similar(source, named)}",
            f"correct services.{name}.dockerfile in slipway.yaml, or remove it there to build with buildpacks",
        )
    try:
        plan(source, dockerfile)
    except SourceError as error:
        yield Problem(
            CHECK, error.cause, f"The source of service {name} cannot be packed: {error.problem}", error.remedy
        )


def _similar(source: Path, named: str) -> str:
    """The end of the sentence: those of about the same name, else all that look like one."""
    files = sorted(path.relative_to(source).as_posix() for path in source.rglob("*ockerfile*") if path.is_file())
    if close := meant(named, files, at_most=3):
        return f"; {close}"
    return f", which has {', '.join(files[:NAMED])}." if files else "."


async def _pointers(source: Path, name: str, dockerfile: str) -> list[Problem]:
    """Files that are kept by git-lfs, and are here as pointers only."""
    pointers = [path for path in await asyncio.to_thread(_like_pointers, source, dockerfile) if await _is_lfs(path)]
    if not pointers:
        return []
    names = ", ".join(path.relative_to(source).as_posix() for path in pointers[:NAMED])
    more = f" and {len(pointers) - NAMED} more" if len(pointers) > NAMED else ""
    problem = f"The source of service {name} has pointers of git-lfs instead of files: {names}{more}."
    fix = "install git-lfs on the machine that does the work, and run `git lfs install` there"
    return [Problem(CHECK, Cause.NOT_FOUND, problem, fix)]


def _like_pointers(source: Path, dockerfile: str) -> Sequence[Path]:
    small = (source / member.name for member in plan(source, dockerfile) if member.isreg() and member.size < _LFS_LIMIT)
    return [path for path in small if path.read_bytes().startswith(_LFS)]


async def _is_lfs(path: Path) -> bool:
    told = await attempt(path.parent, "check-attr", "filter", "--", path.name)
    return told.output.strip().endswith(": filter: lfs")
