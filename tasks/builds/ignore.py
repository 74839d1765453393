"""Which files of a folder belong to its source: those that its ignore file does not leave out.

The first of these files that exists decides: .gcloudignore (with `#!include:FILE`), the Dockerfile's own
(Dockerfile.dockerignore), .dockerignore. .gitignore has no say here: what is opened as a source holds what git has, and
what git tracks is shipped. .git is never sent, the Dockerfile and the ignore files that Docker reads always are.
slipway.yaml, where it lies in the folder, is sent only if the Dockerfile names it or the ignore file says
`!slipway.yaml`: what it tells Slipway is no part of the image, and a new secret or limit must not build another one.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pathspec import PathSpec

from tasks.failures.cause import Cause
from tasks.failures.errors import SourceError
from tasks.manifest.manifest import MANIFEST_NAME

_INCLUDE = "#!include:"

Ignored = Callable[[str], bool]  # takes a path below the folder; a folder's ends with "/"


def own_file(repository: Path, folder: Path, dockerfile: str = "Dockerfile") -> str:
    """Where slipway.yaml, at the root of the repository, lies in the folder; '' if it is elsewhere, or in the image."""
    manifest, root = repository.resolve() / MANIFEST_NAME, folder.resolve()
    recipe = (root / dockerfile).resolve()
    if not manifest.is_relative_to(root) or (recipe.is_relative_to(root) and _names(recipe, MANIFEST_NAME)):
        return ""
    return manifest.relative_to(root).as_posix()


def _names(dockerfile: Path, file: str) -> bool:
    """Whether the Dockerfile names the file, such as to copy it."""
    return dockerfile.is_file() and file in dockerfile.read_text(errors="replace")


def nothing(path: str) -> bool:
    """Leaves nothing out."""
    return False


def source_files(folder: Path, dockerfile: str = "Dockerfile", own: str = "", absent: Ignored = nothing) -> list[str]:
    """Paths, below the folder and with "/", of the files and symbolic links to send, in byte order.

    None of them leads through a link: what is reached through one is sent as the link and as what is behind it.
    own: `own_file`, left out unless the ignore file brings it back. What is `absent` counts as not being there.
    """
    ignored = left_out(folder, dockerfile, own)
    always = {dockerfile, f"{dockerfile}.dockerignore", ".dockerignore"}
    found = set(_walk(folder, lambda path: absent(path) or ignored(path)))
    found |= {
        step for name in always if (folder / name).is_file() and not absent(name) for step in _steps(folder, name)
    }
    return sorted(found, key=os.fsencode)


def _steps(folder: Path, name: str) -> Iterator[str]:
    """The links on the way to a file, and the file. A link that leads out of the folder is the last: `pack` refuses it.

    Every link is followed once, as those of a file that exists come to an end.
    """
    root, left = folder.resolve(), list(PurePosixPath(name).parts)
    at = root
    while left:
        part = left.pop(0)
        at = at.parent if part == ".." else at / part
        if not at.is_relative_to(root):
            return
        if at.is_symlink():
            yield at.relative_to(root).as_posix()
            target = at.readlink()
            if target.is_absolute():
                return
            left, at = [*target.parts, *left], at.parent
    yield at.relative_to(root).as_posix()


def _walk(folder: Path, ignored: Ignored) -> Iterator[str]:
    """Every file that is not left out, without looking into folders that are left out as a whole."""
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        prefix = PurePosixPath(Path(parent).relative_to(folder))
        links = [name for name in folders if Path(parent, name).is_symlink()]
        folders[:] = [name for name in folders if name not in (".git", *links) and not ignored(f"{prefix / name}/")]
        names = (str(prefix / name) for name in (*files, *links) if name != ".git")
        yield from (name for name in names if not ignored(name))


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"the source folder {error.filename} cannot be read: {error.strerror}.",
        "make it readable for the user who runs this, or list it in .dockerignore.",
        Cause.PERMISSION,
    )


def left_out(folder: Path, dockerfile: str, own: str = "") -> Ignored:
    """Tells what the folder's ignore file leaves out, and of files that it does not mention, whether it is `own`.

    https://docs.docker.com/build/concepts/context/#filename-and-location
    """
    readers = ((".gcloudignore", _gcloud), (f"{dockerfile}.dockerignore", _docker), (".dockerignore", _docker))
    for name, read in readers:
        path = folder / name
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            try:
                return read(path, own)
            except ValueError as error:
                raise SourceError(f"{path} has a pattern that cannot be: {error}.", "correct that line.") from error
    return lambda path: path == own


def _gcloud(path: Path, own: str) -> Ignored:
    """The last pattern that matches decides, and nothing comes back below a folder that is left out:
    https://cloud.google.com/sdk/gcloud/reference/topic/gcloudignore.
    """
    return PathSpec.from_lines("gitignore", (*_only(own), *_with_included(path))).match_file


def _docker(path: Path, own: str) -> Ignored:
    """Patterns start at the folder itself, and the last one that matches a file or a folder around it decides, so that
    `!` brings back single files: https://docs.docker.com/build/concepts/context/#dockerignore-files.
    """
    lines = filter(None, map(_docker_pattern, _lines(path)))
    patterns = PathSpec.from_lines("gitignore", (*_only(own), *lines)).patterns
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


def _only(own: str) -> tuple[str, ...]:
    """The pattern for this file, in .gitignore's language."""
    return (f"/{own}",) if own else ()


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
        if not included.is_file() or not included.resolve().is_relative_to(path.parent.resolve()):
            raise SourceError(
                f"{path} includes {included.name}, which does not exist there.",
                f"create {included.name} next to it, or remove the line `{line}`.",
                Cause.NOT_FOUND,
            )
        yield from _lines(included)


def _lines(path: Path) -> list[str]:
    """As git and Docker read them: without a byte order mark, ended by a line feed that may have a carriage return.

    https://github.com/moby/patternmatcher/blob/main/ignorefile/ignorefile.go, add_patterns_from_buffer in git's dir.c
    """
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8).decode(errors="surrogateescape")
    return [line.removesuffix("\r") for line in text.split("\n")]
