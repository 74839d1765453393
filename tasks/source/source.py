"""Where the source comes from, and how it is packed for a build."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.builds.ignore import source_files
from tasks.failures.errors import Cause, SourceError
from tasks.source.clone import clone_folder, clone_url
from tasks.source.git import hide_credentials

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://.+|[^/\s:]+@[^/\s:]+:.+", re.IGNORECASE)


class Source(BaseModel):
    """Which source to ship."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)

    repository: str = Field(
        pattern=r"^[^\x00-\x1f]+$",
        title="Repository",
        description="Folder on the machine that does the work, or the URL of a git repository. A private one is read "
        "with the git credentials of that machine; everybody who sees this run would see a password in the URL.",
        examples=["/srv/storefront", "https://github.com/acme/storefront.git", "git@github.com:acme/storefront.git"],
    )
    ref: str | None = Field(
        default=None,
        title="Ref",
        description="Branch, tag or commit to ship. Empty: of a folder what is in it now, of a URL its default branch.",
        examples=["v1.4.0", "main", "0613260"],
    )

    @field_validator("ref")
    @classmethod
    def _empty_means_none(cls, ref: str | None) -> str | None:
        return ref or None

    @property
    def is_remote(self) -> bool:
        return bool(_REMOTE.fullmatch(self.repository))

    def __repr_args__(self) -> Iterable[tuple[str, str | None]]:
        return [("repository", hide_credentials(self.repository)), ("ref", self.ref)]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A source on this machine; made by `open_source`. The version is that of its HEAD and work tree."""

    path: Path
    cloned: bool  # False: the user's own folder, to be left as it is


@dataclass(frozen=True, slots=True)
class Archive:
    """A packed source folder; made by `pack`."""

    path: Path
    sha256: str  # of the file: the same for the same content and zlib, wherever and whenever it is packed
    size_bytes: int
    files: int  # how many


async def open_source(source: Source, workdir: Path) -> Checkout:
    """A folder is used where it is; with a ref, and from a URL, the source is cloned into a new folder in `workdir`.

    The clone has all tags, the whole history and the ref's commit checked out. SourceError when there is no such
    repository or ref, it may not be read or takes too long; VersionError for a shallow clone that cannot be completed.
    """
    folder = None if source.is_remote else await asyncio.to_thread(_existing, source.repository)
    if folder and source.ref is None:
        return Checkout(folder, cloned=False)
    target = _new_folder(workdir)
    try:
        if folder:
            return Checkout(await clone_folder(folder, source.ref or "HEAD", target), cloned=True)
        return Checkout(await clone_url(source.repository, source.ref, target), cloned=True)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        raise


def pack(folder: Path, out: Path, dockerfile: str = "Dockerfile") -> Archive:
    """Pack what belongs to a service's source (see `tasks.ignore`) as a reproducible .tar.gz.

    Only names, contents, symbolic links and whether a file is executable count; owners, times and other modes do
    not. `dockerfile` (a path below the folder) is packed even where it is ignored. SourceError when there is nothing to
    pack, or a symbolic link leads out of the folder.
    """
    if not folder.is_dir():
        raise SourceError(
            f"the source folder {folder} does not exist.",
            "create it, or correct the service's `source` in slipway.yaml.",
            Cause.NOT_FOUND,
        )
    names = [name for name in source_files(folder, dockerfile) if folder.resolve() / name != out.resolve()]
    if not names:
        raise SourceError(
            f"the source folder {folder} is empty, or everything in it is ignored.",
            "correct the service's `source` in slipway.yaml, or the folder's .gcloudignore or .dockerignore.",
        )
    members = [_member(folder, name) for name in names]
    with (
        out.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member in members:
            _add(archive, folder, member)
    with out.open("rb") as packed:
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
    return Archive(out, digest, out.stat().st_size, len(members))


def _existing(path: str) -> Path:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise SourceError(
            f"the source {folder} is not a folder on this machine.",
            "give the path of the app's repository, or a URL that starts with https:// or ssh://.",
            Cause.NOT_FOUND,
        )
    return folder.resolve()


def _new_folder(workdir: Path) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="source-", dir=workdir))


def _member(folder: Path, name: str) -> tarfile.TarInfo:
    path, member = folder / name, tarfile.TarInfo(name)
    status = path.lstat()
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
        raise SourceError(
            f"the symbolic link {link} leads out of the source folder, to {target}.",
            "put what it leads to into the folder, or list the link in the folder's .dockerignore.",
        )
    return target


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
