"""Packs a service's source for a build: the same content gives the same archive, wherever and whenever."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tasks.builds.ignore import Ignored, nothing, source_files
from tasks.failures.cause import Cause
from tasks.failures.errors import SourceError

NAMED = 5  # of the files that cannot be packed, in one message


@dataclass(frozen=True, slots=True)
class Archive:
    """A packed source folder; made by `pack`."""

    path: Path
    sha256: str  # of the file: the same for the same content and zlib, wherever and whenever it is packed
    content_sha256: str  # of the tar in it, whichever zlib has packed that
    size_bytes: int
    files: int  # how many


class _Hashing(gzip.GzipFile):
    """Keeps the hash of what is packed: zlib and zlib-ng make other bytes of the same."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0)
        self.content = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.content.update(data)
        return super().write(data)


def pack(folder: Path, out: Path, dockerfile: str = "Dockerfile", own: str = "") -> Archive:
    """Pack what belongs to a service's source (see `tasks.builds.ignore`) as a reproducible .tar.gz.

    Only names, contents, symbolic links and whether a file is executable count; owners, times and other modes do
    not. `dockerfile` (a path below the folder) is packed even where it is ignored. SourceError when there is nothing to
    pack, or a symbolic link leads out of the folder.
    """
    members = [member for member in plan(folder, dockerfile, own) if folder.resolve() / member.name != out.resolve()]
    with (
        out.open("wb") as file,
        _Hashing(file) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in members:
            _add(archive, folder, member)
    with out.open("rb") as packed:
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
    return Archive(out, digest, zipped.content.hexdigest(), out.stat().st_size, len(members))


def plan(
    folder: Path, dockerfile: str = "Dockerfile", own: str = "", absent: Ignored = nothing
) -> list[tarfile.TarInfo]:
    """What would be packed, without a byte of it; raises as `pack` does, and names all that cannot be packed.

    What is `absent` counts as not being in the folder.
    """
    if not folder.is_dir():
        raise SourceError(
            f"the source folder {folder} does not exist.",
            "create it, or correct the service's `source` in slipway.yaml.",
            Cause.NOT_FOUND,
        )
    names = source_files(folder, dockerfile, own, absent)
    if not names:
        raise SourceError(
            f"the source folder {folder} is empty, or everything in it is ignored.",
            "correct the service's `source` in slipway.yaml, or the folder's .gcloudignore or .dockerignore.",
        )
    members, refused = [], []
    for name in names:
        try:
            members.append(_member(folder, name))
        except SourceError as error:
            refused.append(error)
    if refused:
        problems = [error.problem.removesuffix(".") for error in refused]
        more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise SourceError(f"{'; '.join(problems[:NAMED])}{more}.", refused[0].remedy)
    return members


def _member(folder: Path, name: str) -> tarfile.TarInfo:
    path, member = folder / name, tarfile.TarInfo(name)
    status = path.lstat()
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise _leads_out(name, str(path.parent.resolve()))
    if stat.S_ISLNK(status.st_mode):
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, _link_inside(folder, path)
    elif stat.S_ISREG(status.st_mode):
        member.size, member.mode = status.st_size, 0o755 if status.st_mode & stat.S_IXUSR else 0o644
    else:
        raise SourceError(
            f"{path} is neither a file nor a symbolic link, so it cannot be packed.",
            "remove it, or list it in the folder's .dockerignore.",
        )
    return member


def _link_inside(folder: Path, link: Path) -> str:
    target = str(link.readlink())
    leads_to = Path(os.path.realpath(link.parent / target))
    if Path(target).is_absolute() or not leads_to.is_relative_to(folder.resolve()):
        raise _leads_out(link.relative_to(folder).as_posix(), target)
    if ".git" in leads_to.relative_to(folder.resolve()).parts:
        raise SourceError(
            f"the symbolic link {link.relative_to(folder).as_posix()} leads to {target}, and what is in .git is never "
            "sent.",
            "commit the file itself (of git-annex: `git annex unannex`), or list the link in the folder's "
            ".dockerignore.",
        )
    return target


def _leads_out(name: str, target: str) -> SourceError:
    return SourceError(
        f"the symbolic link {name} leads out of the source folder, to {target}.",
        "put what it leads to into the folder, or list the link in the folder's .dockerignore.",
    )


def _add(archive: tarfile.TarFile, folder: Path, member: tarfile.TarInfo) -> None:
    try:
        if not member.isreg():
            archive.addfile(member)
            return
        with (folder / member.name).open("rb") as file:
            archive.addfile(member, file)
    except OSError as error:
        raise SourceError(
            f"{folder / member.name} cannot be packed: {error.strerror or error}.",
            "make it readable and leave it unchanged meanwhile, or list it in the folder's .dockerignore.",
        ) from error
