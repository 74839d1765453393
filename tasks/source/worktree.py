"""What is in a work tree, as opposed to the commit below it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tasks.failures.errors import VersionError
from tasks.source.git import git

NAMED = 5  # files, in one message
_STATUS = ("status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=none")


async def read_changed_tree(repo: Path, objects: Path | None = None) -> str:
    """The tree id of the work tree as it is now, ignored files aside; empty when HEAD has the same content.

    The tree and its files are written to `objects`, another repository's; by default they are not kept.
    """
    status = await git(repo, *_STATUS)
    if not status:
        return ""
    _refuse_conflicts(status)
    _refuse_opaque(status)
    tree = await _write_tree(repo, objects)
    return "" if tree == (await git(repo, "rev-parse", "HEAD^{tree}")).strip() else tree


def in_short(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _refuse_conflicts(status: str) -> None:
    """git would not commit them either: the files hold both sides, between marks."""
    names = [entry.split(" ", 10)[-1] for entry in status.split("\0") if entry.startswith("u ")]
    if names:
        raise VersionError(
            f"the work tree has conflicts of a merge in {in_short(names)}.",
            "resolve them and run `git add` on each, or give up the merge with `git merge --abort`.",
        )


def _refuse_opaque(status: str) -> None:
    """A tree names a repository inside the repository by its commit only, so a change in there would go unnoticed."""
    for entry in filter(None, status.split("\0")):
        kind, _, rest = entry.partition(" ")
        changed_submodule = kind in "12u" and rest[3] == "S" and ("M" in rest[4:7] or "U" in rest[4:7])
        if changed_submodule or (kind == "?" and rest.endswith("/")):
            path = rest if kind == "?" else rest.split(" ", 7 if kind == "1" else 9)[-1]
            raise VersionError(
                f"the repository {path.rstrip('/')} inside the work tree has content that is in no commit here.",
                "commit there and make it a submodule, or list it in .gitignore.",
            )


async def _write_tree(repo: Path, kept: Path | None) -> str:
    """Write the work tree's content as a tree, with the index (and objects, unless `kept`) in a temporary folder."""
    paths = await git(repo, "rev-parse", "--path-format=absolute", "--git-path", "index", "--git-path", "objects")
    index, objects = (Path(line) for line in paths.splitlines())
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        env = {
            "GIT_INDEX_FILE": f"{folder}/index",
            "GIT_OBJECT_DIRECTORY": str(kept or folder),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": json.dumps(str(objects), ensure_ascii=False),
        }
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            await asyncio.to_thread(shutil.copy2, index, env["GIT_INDEX_FILE"])  # its mtime tells what to re-read
        await git(repo, "add", "--all", env=env)
        return (await git(repo, "write-tree", env=env)).strip()
