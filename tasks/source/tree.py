"""What git has of a folder, or would have if all in it was committed: what a run from that folder sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.source.git import attempt
from tasks.source.submodules import Submodule, submodules


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of a repository; made by `read_tree`."""

    folder: Path  # resolved
    root: Path  # of the repository, resolved
    paths: frozenset[str]  # files, links and submodules below the folder, and the folders around them
    submodules: tuple[Submodule, ...]  # of the whole repository

    def lacks(self, source: Path) -> Callable[[str], bool]:
        """Tells of paths below `source`, a folder inside, whether the tree lacks them; a folder's may end with "/"."""
        base = PurePosixPath(source.resolve().relative_to(self.folder).as_posix())
        return lambda path: str(base / path) not in self.paths

    def within_submodule(self, path: Path) -> bool:
        """Whether a submodule has it: then it is fetched when it is needed, and this tree does not know it."""
        return any(path.resolve().is_relative_to(self.root / each.path) for each in self.submodules)


async def read_tree(folder: Path) -> Tree | None:
    """None for a folder in no repository, of which a run sees all."""
    top, listed = await asyncio.gather(
        attempt(folder, "rev-parse", "--show-toplevel"),
        attempt(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
    )
    if top.code or listed.code:
        return None
    root = Path(top.output.removesuffix("\n"))
    files = [PurePosixPath(name) for name in listed.output.split("\0")[:-1]]
    paths = {str(path) for file in files for path in (file, *file.parents)}
    inside = await submodules(root)
    return await asyncio.to_thread(lambda: Tree(folder.resolve(), root.resolve(), frozenset(paths), tuple(inside)))
