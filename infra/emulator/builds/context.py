"""The build context: the files of a folder that .dockerignore lets through, and the patterns that pick among them.

Not pathspec: the sources of COPY need Docker's patterns too, which are not .gitignore's.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Context:
    """`paths` are relative, of files, links and folders alike, in order."""

    root: Path
    paths: tuple[str, ...]

    def match(self, pattern: str) -> list[str]:
        """The paths that a COPY source names: one path, or what a glob matches; '' is the whole context."""
        clean = normalise(pattern)
        if clean == "":
            return [""]
        if not re.search(r"[*?\[\\]", clean):
            return [clean] if clean in self.paths else []
        regex = _glob(clean)
        return [path for path in self.paths if regex.fullmatch(path)]

    def below(self, path: str) -> list[str]:
        """Everything under a folder; of a file, nothing."""
        return [p for p in self.paths if p.startswith(f"{path}/")] if path else list(self.paths)

    def size(self) -> int:
        """Bytes of all files."""
        files = (self.root / path for path in self.paths)
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def load(root: Path, dockerfile: str = "Dockerfile") -> Context:
    """Reads a context; `<dockerfile>.dockerignore` wins over `.dockerignore`. May take long: run it in a thread."""
    rules: list[tuple[bool, re.Pattern[str]]] = []
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        if (file := root / name).is_file():
            rules = ignore_rules(file.read_text(encoding="utf-8-sig", errors="replace"))
            break
    return Context(root, tuple(sorted(_walk(root, rules))))


def ignore_rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    """(ignores, pattern) in order: the last that matches decides.

    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    rules = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or line.startswith("#"):
            continue
        ignores = not stripped.startswith("!")
        pattern = posixpath.normpath(stripped.removeprefix("!").strip()).lstrip("/")
        if pattern not in ("", "."):
            rules.append((ignores, _glob(pattern)))
    return rules


def ignored(path: str, rules: list[tuple[bool, re.Pattern[str]]]) -> bool:
    """Whether the rules leave out `path`, by itself or because of a folder above it."""
    verdict = False
    candidates = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    for ignores, pattern in rules:
        if any(pattern.fullmatch(candidate) for candidate in candidates):
            verdict = ignores
    return verdict


def normalise(pattern: str) -> str:
    """Relative to the context's root: '/a/./b/' is 'a/b'; '..' cannot lead out."""
    parts: list[str] = []
    for part in pattern.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _walk(root: Path, rules: list[tuple[bool, re.Pattern[str]]]) -> Iterator[str]:
    exceptions = any(not ignores for ignores, _ in rules)
    for folder, folders, files in os.walk(root):
        base = Path(folder).relative_to(root).as_posix()
        prefix = "" if base == "." else f"{base}/"
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in [*files, *folders]:
            if not ignored(f"{prefix}{name}", rules):
                yield f"{prefix}{name}"
        if not exceptions:  # an exception may bring back what lies deeper
            folders[:] = [name for name in folders if not ignored(f"{prefix}{name}", rules)]
        folders[:] = [name for name in folders if name not in links]


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match, and `**` for any number of folders, as moby/patternmatcher reads them."""
    out, position = "", 0
    while position < len(pattern):
        if pattern.startswith("**", position):
            position += 3 if pattern.startswith("**/", position) else 2
            suffix = position == 2 and not re.search(r"[*?\\[\]]", pattern[2:])  # **.log is any path that ends so
            out += ".*" if suffix or position == len(pattern) else "(?:.*/)?"
        elif (bracket := re.match(r"\[(\^?)([^\]]+)\]", pattern[position:])) is not None:
            out += f"[{bracket[1]}{re.escape(bracket[2]).replace(chr(92) + '-', '-')}]"
            position += bracket.end()
        else:
            character = pattern[position]
            if character == "\\" and position + 1 < len(pattern):
                position += 1
                out += re.escape(pattern[position])
            else:
                out += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
            position += 1
    return re.compile(out, re.S)
