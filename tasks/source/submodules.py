"""Repositories inside a repository: what a commit has of them is fetched at exactly the commit that it names."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.failures.errors import SlipwayError, SourceError
from tasks.source.clone import CLONED_FROM, clone_folder, clone_url
from tasks.source.git import attempt, commit_of, git

_GITLINK = "160000"


@dataclass(frozen=True, slots=True)
class Submodule:
    """A repository inside a repository; `url` is '' where .gitmodules does not say where it comes from."""

    path: str  # below the root of the repository around it
    commit: str
    url: str


async def fetch_submodules(checkout: Path, wanted: Iterable[str]) -> dict[Path, SlipwayError]:
    """Fill the submodules in, or around, the wanted folders of a clone, and those inside; what failed, by its place.

    A clone of a folder takes them from there, where the folder has them; any other from the address in .gitmodules.
    """
    found = await attempt(checkout, "rev-parse", "--show-toplevel")
    if found.code:  # no repository, so nothing inside one
        return {}
    root = Path(found.output.removesuffix("\n"))
    here, top = await asyncio.to_thread(lambda: (checkout.resolve(), root.resolve()))
    folders = [PurePosixPath(here.relative_to(top).as_posix()) / folder for folder in wanted]
    failed: dict[Path, SlipwayError] = {}
    for submodule in await submodules(root):
        path = PurePosixPath(submodule.path)
        if any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in folders):
            try:
                await _fetch(root, submodule)
            except SlipwayError as error:
                failed[top / submodule.path] = error
    return failed


async def submodules(root: Path) -> list[Submodule]:
    """Those that the commit checked out in `root` has."""
    listed = (await git(root, "ls-files", "--stage", "-z")).split("\0")[:-1]
    links = [(entry.split(" ")[1], entry.split("\t", 1)[1]) for entry in listed if entry.startswith(_GITLINK)]
    urls = await _urls(root) if links else {}
    return [Submodule(path, commit, urls.get(path, "")) for commit, path in links]


async def _urls(root: Path) -> dict[str, str]:
    """Path to address, as .gitmodules has them."""
    told = await attempt(root, "config", "--file", ".gitmodules", "-z", "--get-regexp", r"^submodule\..*\.(path|url)$")
    settings = dict(entry.split("\n", 1) for entry in told.output.split("\0")[:-1] if "\n" in entry)
    paths = {key.removesuffix(".path"): value for key, value in settings.items() if key.endswith(".path")}
    return {path: settings.get(f"{name}.url", "") for name, path in paths.items()}


async def _fetch(root: Path, submodule: Submodule) -> None:
    target = root / submodule.path
    if (target / ".git").exists() and await commit_of(target, "HEAD") == submodule.commit:
        return
    aside = await asyncio.to_thread(tempfile.mkdtemp, prefix="slipway-", dir=root / ".git")
    try:
        await _clone(root, submodule, Path(aside))
        for error in (await fetch_submodules(Path(aside), ["."])).values():
            raise error
        await asyncio.to_thread(_put, Path(aside), target)
    finally:
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)


async def _clone(root: Path, submodule: Submodule, target: Path) -> None:
    around = (await attempt(root, "config", "--get", CLONED_FROM)).output.removesuffix("\n")
    there = Path(around) / submodule.path
    if around and (there / ".git").exists() and await commit_of(there, submodule.commit):
        await clone_folder(there, submodule.commit, target)
        return
    if not submodule.url:
        raise without_address(submodule)
    origin = (await attempt(root, "config", "--get", "remote.origin.url")).output.strip() or around
    await clone_url(address(submodule.url, origin), submodule.commit, target, trusted=False)


def without_address(submodule: Submodule) -> SourceError:
    """It cannot be fetched from anywhere."""
    return SourceError(
        f"{submodule.path} is a repository of its own, and .gitmodules does not say where it comes from.",
        "add it with `git submodule add URL PATH`, or commit its files.",
    )


def address(url: str, origin: str) -> str:
    """What `url` means in the .gitmodules of a repository that comes from `origin`, where ./ and ../ start.

    https://git-scm.com/docs/git-submodule, "add"
    """
    if not url.startswith(("./", "../")):
        return url
    base, between = origin.rstrip("/"), "/"
    while url.startswith(("./", "../")):
        step, _, url = url.partition("/")
        if step == "..":
            between = "/" if "/" in base else ":"
            base = base.rpartition(between)[0]
    return f"{base}{between}{url}"


def _put(whole: Path, target: Path) -> None:
    """At once: who reads the version meanwhile finds the submodule not there or whole, and the work tree clean."""
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    whole.rename(target)
