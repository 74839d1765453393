"""The sources of the services: whether all that git has of them is here and can be packed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tarfile import TarInfo

from tasks.builds.archive import plan
from tasks.builds.ignore import Ignored, left_out, nothing, own_file
from tasks.failures.cause import Cause
from tasks.failures.errors import SlipwayError, SourceError
from tasks.failures.spelling import meant
from tasks.manifest.settings import Part, called, place_of
from tasks.model import Problem, Readiness, Request
from tasks.source.git import attempt
from tasks.source.submodules import fetch_submodules
from tasks.source.worktree import NAMED, in_short

CHECK = "build config"
Built = Part  # of which an image is made
_LIMIT = 1024  # bytes of a pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md


@dataclass(frozen=True, slots=True)
class StandIn:
    """What git has instead of a file that something else keeps, or can read."""

    start: bytes
    what: str
    fix: str
    filter: str = ""  # that .gitattributes names; '' where only a clone's own settings do
    limit: int = _LIMIT


LFS = StandIn(
    b"version https://git-lfs.github.com/spec/",
    "pointers of git-lfs instead of files",
    "install git-lfs on the machine that does the work, and run `git lfs install` there",
    "lfs",
)
OTHERS = (
    StandIn(
        b"\0GITCRYPT\0",  # https://github.com/AGWA/git-crypt/blob/master/commands.cpp
        "files that git-crypt has encrypted, which no clone can read",
        "list them in the folder's .dockerignore, and give the service what they say by `secrets` in slipway.yaml",
        "git-crypt",
        limit=1 << 40,
    ),
    StandIn(
        b"/annex/objects/",  # https://git-annex.branchable.com/internals/pointer_file/
        "pointers of git-annex instead of files",
        "commit the files themselves (`git annex unannex`), or list them in the folder's .dockerignore",
    ),
)


async def check_sources(request: Request) -> Readiness:
    """Fetches the submodules that the sources hold, and looks at all that would be packed."""
    if not request.builds:
        return Readiness()
    built = [request.part(name) for name in request.built]
    missing = await fetch_submodules(request.folder, [str(each.source) for each in built])
    found = await asyncio.gather(*(_check(request, each, missing) for each in built))
    return Readiness(tuple(problem for problems in found for problem in problems))


async def _check(request: Request, service: Built, missing: Mapping[Path, SlipwayError]) -> list[Problem]:
    problems = await asyncio.to_thread(lambda: list(judge_source(request.folder, service, missing)))
    return problems or await pointers(request.folder, service)


def judge_source(
    folder: Path, service: Built, missing: Mapping[Path, SlipwayError], absent: Ignored = nothing
) -> Iterator[Problem]:
    """What keeps a service's source from being packed whole; `missing`: submodules that could not be had, by path.

    `absent` tells of paths below the source that count as not being there.
    """
    name, source, key = called(service), folder / str(service.source), (*place_of(service), "source")
    correct = f"correct {'.'.join(key)} in slipway.yaml"
    for path, error in missing.items():
        if _is_packed(source.resolve(), path, service.dockerfile):
            shown = os.path.relpath(path, folder.resolve())
            problem = f"The submodule {shown} in the source of {name} is not here: {error.problem}"
            yield Problem(CHECK, error.cause, problem, error.remedy, key=key)
    if not source.is_dir():
        what = f"The source folder {service.source} of {name} is not in the repository."
        yield Problem(CHECK, Cause.INVALID_CONFIG, what, correct, key=key)
    elif not source.resolve().is_relative_to(folder.resolve()):
        what = f"The source folder {service.source} of {name} is a link that leads out of the repository."
        yield Problem(CHECK, Cause.INVALID_CONFIG, what, correct, key=key)
    else:
        own = own_file(folder, source, service.dockerfile)
        yield from _judge_files(source, service, own, absent)


def _is_packed(source: Path, submodule: Path, dockerfile: str) -> bool:
    """Whether the service packs a submodule, or lies within it."""
    if not submodule.is_relative_to(source):
        return source.is_relative_to(submodule)
    return not left_out(source, dockerfile)(f"{submodule.relative_to(source).as_posix()}/")


def _judge_files(source: Path, service: Built, own: str, absent: Ignored) -> Iterator[Problem]:
    name, named, key = called(service), service.named_dockerfile, place_of(service)
    if named and (absent(named) or not (source / named).is_file()):
        yield Problem(
            CHECK,
            Cause.NOT_FOUND,
            f"The Dockerfile {named} of {name} is not in its source{_similar(source, named, absent)}",
            f"correct {'.'.join(key)}.dockerfile in slipway.yaml, or remove it there to build with buildpacks",
            key=(*key, "dockerfile"),
        )
    elif not named and (absent(service.dockerfile) or not (source / service.dockerfile).is_file()):
        for setting in ("target", "secrets"):
            if getattr(service.build, setting):
                what = f"{name.capitalize()} has no Dockerfile, which build.{setting} is for: buildpacks build it."
                fix = f"add a Dockerfile, or remove {'.'.join(key)}.build.{setting} in slipway.yaml"
                yield Problem(CHECK, Cause.INVALID_CONFIG, what, fix, key=(*key, "build", setting))
    try:
        plan(source, service.dockerfile, own, absent)
    except SourceError as error:
        problem = f"The source of {name} cannot be packed: {error.problem}"
        yield Problem(CHECK, error.cause, problem, error.remedy, key=(*key, "source"))


def _similar(source: Path, named: str, absent: Ignored) -> str:
    """The end of the sentence: those of about the same name, else all that look like one."""
    found = (path.relative_to(source).as_posix() for path in source.rglob("*ockerfile*") if path.is_file())
    files = sorted(name for name in found if not absent(name))
    if close := meant(named, files, at_most=3):
        return f"; {close}"
    return f", which has {', '.join(files[:NAMED])}." if files else "."


async def pointers(
    folder: Path, service: Built, absent: Ignored = nothing, kinds: Sequence[StandIn] = (LFS, *OTHERS)
) -> list[Problem]:
    """Files of a source that are elsewhere, or in cipher, and are here by what stands in for them only."""
    source = folder / str(service.source)
    members = await asyncio.to_thread(plan, source, service.dockerfile, absent=absent)
    problems = []
    for kind in kinds:
        alike = await asyncio.to_thread(_alike, source, members, kind)
        if found := [path for path in alike if await _is_of(path, kind)]:
            names = in_short([path.relative_to(source).as_posix() for path in found])
            problem = f"The source of {called(service)} has {kind.what}: {names}."
            problems.append(Problem(CHECK, Cause.NOT_FOUND, problem, kind.fix, key=(*place_of(service), "source")))
    return problems


def _alike(source: Path, members: Sequence[TarInfo], kind: StandIn) -> list[Path]:
    fitting = (source / each.name for each in members if each.isreg() and len(kind.start) <= each.size < kind.limit)
    return [path for path in fitting if _start(path, len(kind.start)) == kind.start]


def _start(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


async def _is_of(path: Path, kind: StandIn) -> bool:
    if not kind.filter:
        return True
    told = await attempt(path.parent, "check-attr", "filter", "--", path.name)
    return told.output.strip().rpartition(": filter: ")[2].startswith(kind.filter)
