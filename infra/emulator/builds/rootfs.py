"""An image's files as a tree of entries, and reproducible layers made of them.

Not repro-tarfile, which packs what lies on the disk: here a file may be in memory, and its mode is the image's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from infra.emulator.artifacts.blobs import Blobs, digest_of_file


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a file system: a file (from disk or from memory), a folder or a symbolic link."""

    kind: str  # file, folder or link
    mode: int = 0o755
    path: Path | None = None  # where a file's content is; without it, `data` is
    data: bytes = b""
    target: str = ""  # of a link


FOLDER = Entry("folder")
Tree = dict[str, Entry]  # by path without a leading slash


@dataclass(frozen=True, slots=True)
class Layer:
    digest: str  # of the compressed blob
    diff_id: str  # of the archive


def entry(path: Path) -> Entry:
    """Permissions are reduced to the executable bit, the only one that version control keeps."""
    info = path.lstat()
    if stat.S_ISLNK(info.st_mode):
        return Entry("link", 0o777, target=os.readlink(path))  # noqa: PTH115 - the text, not a Path
    if stat.S_ISDIR(info.st_mode):
        return FOLDER
    return Entry("file", 0o755 if info.st_mode & 0o100 else 0o644, path)


def read_folder(folder: Path) -> Tree:
    """Everything in a folder on disk, links not followed."""
    tree: Tree = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(base, name)
            if not stat.S_ISSOCK(path.lstat().st_mode):
                tree[path.relative_to(folder).as_posix()] = entry(path)
    return tree


def read_archive(data: bytes) -> Tree | None:
    """The content of a tar archive of any compression, as ADD unpacks it; None if `data` is no such archive."""
    tree: Tree = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                name = clean(member.name)
                if not name:
                    continue
                if member.isdir():
                    tree[name] = FOLDER
                elif member.issym():
                    tree[name] = Entry("link", 0o777, target=member.linkname)
                elif (content := archive.extractfile(member)) is not None:
                    tree[name] = Entry("file", 0o755 if member.mode & 0o100 else 0o644, data=content.read())
    except tarfile.TarError:
        return None
    return tree


def clean(path: str) -> str:
    """An absolute or relative path as a tree key: '/app/./x' is 'app/x'."""
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part == "..":
            del parts[-1:]
        elif part not in ("/", "."):
            parts.append(part)
    return "/".join(parts)


def parents(path: str) -> Iterator[str]:
    """The folders above a path, outermost first."""
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        yield "/".join(parts[:end])


def with_mode(item: Entry, mode: int) -> Entry:
    return item if item.kind == "link" else replace(item, mode=mode)


def write_layer(tree: Mapping[str, Entry], blobs: Blobs) -> Layer:
    """Stores the entries as one layer. The same entries give the same digest: sorted, no times, owned by root.

    May take long: run it in a thread.
    """

    def fill(archive: tarfile.TarFile) -> None:
        for name in sorted(tree):
            _add(archive, name, tree[name])

    return store_layer(fill, blobs)


def store_layer(fill: Callable[[tarfile.TarFile], None], blobs: Blobs, compression: int = 6) -> Layer:
    """Stores what `fill` puts into an archive as one layer."""
    draft = blobs.upload(str(uuid.uuid4()))
    with draft.open("wb") as file, gzip.GzipFile("", "wb", compression, file, mtime=0) as compressed:
        hashing = _Hashing(compressed)
        with tarfile.open(fileobj=hashing, mode="w|", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
            fill(archive)
        diff_id = f"sha256:{hashing.hash.hexdigest()}"
    digest = digest_of_file(draft)
    blobs.adopt(draft, digest)
    return Layer(digest, diff_id)


class _Hashing:
    """Passes writes on and hashes them."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self.hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return self._file.write(data)


def _add(archive: tarfile.TarFile, name: str, item: Entry) -> None:
    member = tarfile.TarInfo(name)
    member.mode = item.mode
    if item.kind == "folder":
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    elif item.kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, item.target
        archive.addfile(member)
    elif item.path is not None:
        with item.path.open("rb") as content:
            member.size = os.fstat(content.fileno()).st_size
            archive.addfile(member, content)
    else:
        member.size = len(item.data)
        archive.addfile(member, io.BytesIO(item.data))
