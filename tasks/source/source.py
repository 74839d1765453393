"""Where the source comes from: a clone of a folder as it is, or of a repository."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tasks.failures.cause import Cause
from tasks.failures.errors import SourceError
from tasks.manifest.values import RelativePath
from tasks.source.clone import clone_folder, clone_url
from tasks.source.credentials import lent
from tasks.source.described import where_described
from tasks.source.git import hide_credentials, lend
from tasks.source.version import is_versioned

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

    folder: RelativePath | None = Field(
        default=None,
        title="Folder",
        description="Where slipway.yaml is in the repository. Empty: at its root, or in the folder named above.",
        examples=["apps/shop"],
    )

    credentials: str | None = Field(
        default=None,
        pattern=r"^([a-z0-9-]+/)?[a-z0-9-]+$",
        title="Credentials",
        description="A block in Prefect with a token that may read a private repository over https: the name of a "
        "Secret, or type/name of another kind. Empty: the git credentials of the machine that does the work.",
        examples=["git-token", "github-credentials/acme"],
    )

    @field_validator("ref", "folder", "credentials", mode="before")
    @classmethod
    def _empty_means_none(cls, text: object) -> object:
        return None if isinstance(text, str) and not text.strip() else text

    @property
    def is_remote(self) -> bool:
        return bool(_REMOTE.fullmatch(self.repository))

    @property
    def place(self) -> str:
        """Where slipway.yaml is, whatever the ref: one repository may hold several apps."""
        return f"{self.repository}#{self.folder}" if self.folder else self.repository

    @property
    def called(self) -> str:
        """What people call it: the last part of its folder, or of its repository."""
        place = (self.folder or hide_credentials(self.repository)).rstrip("/")
        return re.split(r"[/:\\]", place)[-1].removesuffix(".git") or place

    def __repr_args__(self) -> Iterable[tuple[str, str | None]]:
        return [("repository", hide_credentials(self.repository)), ("ref", self.ref), ("folder", self.folder)]


async def open_source(source: Source, workdir: Path) -> Path:
    """Where the source is on this machine; its version is that of the HEAD and the work tree there.

    It is cloned into a new folder in `workdir`, so that a folder and a URL give the same files: those that git
    has, or of a folder without a ref would have if all was committed. A folder in no repository is used as it is.

    The clone has all tags, the whole history and the ref's commit checked out. SourceError when there is no such
    repository, ref or folder, it may not be read or takes too long; VersionError for a shallow clone that cannot be
    completed.
    """
    opened = await _opened(source, workdir)
    if source.folder is None:
        return opened
    inside = (opened / source.folder).resolve()
    if not inside.is_dir() or not inside.is_relative_to(opened.resolve()):
        raise SourceError(
            f"the folder {source.folder} is not in {hide_credentials(source.repository)}.",
            f"correct `folder` of the source; {await where_described(opened)}",
            Cause.NOT_FOUND,
        )
    return inside


async def _opened(source: Source, workdir: Path) -> Path:
    folder = None if source.is_remote else await asyncio.to_thread(_existing, source.repository)
    if folder and source.ref is None and not await is_versioned(folder):
        return folder
    target = _new_folder(workdir)
    try:
        if folder:
            return await clone_folder(folder, source.ref, target)
        if source.credentials:
            lend(target, await lent(source.credentials, source.repository))
        return await clone_url(source.repository, source.ref, target)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
        raise


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
