"""Where the source comes from: a folder as it is, or a clone of a repository."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

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


async def open_source(source: Source, workdir: Path) -> Path:
    """Where the source is on this machine; its version is that of the HEAD and the work tree there.

    A folder is used where it is; with a ref, and from a URL, the source is cloned into a new folder in `workdir`.

    The clone has all tags, the whole history and the ref's commit checked out. SourceError when there is no such
    repository or ref, it may not be read or takes too long; VersionError for a shallow clone that cannot be completed.
    """
    folder = None if source.is_remote else await asyncio.to_thread(_existing, source.repository)
    if folder and source.ref is None:
        return folder
    target = _new_folder(workdir)
    try:
        if folder:
            return await clone_folder(folder, source.ref or "HEAD", target)
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
