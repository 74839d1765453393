"""Which files of a folder belong to its source: those that its ignore file does not leave out.

The first of these files that exists decides: .gcloudignore (with `#!include:FILE`), .dockerignore, .gitignore, the last
because gcloud too falls back to it. .git is never sent, the Dockerfile and .dockerignore always are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pathspec import PathSpec

from tasks.failures.errors import Cause, SourceError

_INCLUDE = "#!include:"

Ignored = Callable[[str], bool]  # takes a path below the folder; a folder's ends with "/"


def source_files(folder: Path, dockerfile: str = "Dockerfile") -> list[str]:
    """Paths, below the folder and with "/", of the files and symbolic links to send, in byte order."""
    ignored = _rules(folder)
    always = {dockerfile, f"{dockerfile}.dockerignore", ".dockerignore"}
    found = {name for name in _walk(folder, ignored) if not ignored(name)}
    return sorted(found | {name for name in always if (folder / name).is_file()}, key=os.fsencode)


def _walk(folder: Path, ignored: Ignored) -> Iterator[str]:
    """Every file, without looking into folders that are left out as a whole."""
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        prefix = PurePosixPath(Path(parent).relative_to(folder))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = [name for name in folders if name not in (".git", *links) and not ignored(f"{prefix / name}/")]
        yield from (str(prefix / name) for name in (*files, *links) if name != ".git")


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"the source folder {error.filename} cannot be read: {error.strerror}.",
        "make it readable for the user who runs this, or list it in .dockerignore.",
        Cause.PERMISSION,
    )


def _rules(folder: Path) -> Ignored:
    for name, read in ((".gcloudignore", _gcloud), (".dockerignore", _docker), (".gitignore", _gcloud)):
        path = folder / name
        if path.is_file():
            try:
                return read(path)
            except ValueError as error:
                raise SourceError(f"{path} has a pattern that cannot be: {error}.", "correct that line.") from error
    return lambda path: False


def _gcloud(path: Path) -> Ignored:
    """The last pattern that matches decides, and nothing comes back below a folder that is left out:
    https://cloud.google.com/sdk/gcloud/reference/topic/gcloudignore.
    """
    return PathSpec.from_lines("gitignore", _with_included(path)).match_file


def _docker(path: Path) -> Ignored:
    """Patterns start at the folder itself, and the last one that matches a file or a folder around it decides, so that
    `!` brings back single files: https://docs.docker.com/build/concepts/context/#dockerignore-files.
    """
    patterns = PathSpec.from_lines("gitignore", filter(None, map(_docker_pattern, _lines(path)))).patterns
    exceptions = any(pattern.include is False for pattern in patterns)

    def ignored(name: str) -> bool:
        if exceptions and name.endswith("/"):
            return False  # something below may be brought back
        around = [str(parent) for parent in PurePosixPath(name).parents][:-1]
        decided = False
        for pattern in patterns:
            if pattern.include is not None and any(map(pattern.match_file, (name, *around))):
                decided = pattern.include
        return decided

    return ignored


def _docker_pattern(line: str) -> str:
    """The same in .gitignore's language; empty for a comment."""
    if line.startswith("#") or not line.strip():
        return ""
    text = line.strip()
    sign = "!" if text.startswith("!") else ""
    path = os.path.normpath(text.removeprefix("!").strip()).strip("/")
    return "" if path in ("", ".") else f"{sign}/{_docker_wildcards(path)}"


def _docker_wildcards(path: str) -> str:
    """Where Docker's are others than .gitignore's, as moby/patternmatcher reads them: only ^ negates a set, `**.log`
    is any path that ends so, and any other `**x` is an x in any folder.
    """
    path = path.replace("[!", r"[\!")
    if re.fullmatch(r"\*\*[^/*?\\[\]][^*?\\[\]]*", path):
        return f"**/{path.removeprefix('*')}"
    return re.sub(r"(^|/)\*\*(?=[^/])", r"\1**/", path)


def _with_included(path: Path) -> Iterator[str]:
    """The lines of the file, and of those next to it that it includes."""
    for line in _lines(path):
        if not line.startswith(_INCLUDE):
            yield line
            continue
        included = path.with_name(line.removeprefix(_INCLUDE).strip())
        if not included.is_file():
            raise SourceError(
                f"{path} includes {included.name}, which does not exist there.",
                f"create {included.name} next to it, or remove the line `{line}`.",
                Cause.NOT_FOUND,
            )
        yield from _lines(included)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
