"""Where the repository has its slipway.yaml."""

from __future__ import annotations

import asyncio
from pathlib import Path, PurePosixPath

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.manifest.loading import load_manifest
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.manifest.variables import with_env_files
from tasks.source.git import attempt


async def read_manifest(checkout: Path) -> Manifest:
    """The manifest of an opened source; ManifestError that says what is wrong with it, or where there is one."""
    manifest = load_manifest(await found_manifest(checkout))
    return await asyncio.to_thread(with_env_files, manifest, checkout)


async def found_manifest(checkout: Path) -> Path:
    """The file, in a folder that is to have one; ManifestError that says where there is one, if it has none.

    A file that is not there and has no like in the repository is for the reader to miss.
    """
    path = checkout / MANIFEST_NAME
    if await _leads_out(checkout):
        raise ManifestError(f"{MANIFEST_NAME} is a link that leads out of the repository.", "commit the file itself.")
    if path.is_file() or not await manifests(checkout):
        return path
    raise ManifestError(
        f"There is no {MANIFEST_NAME} where the source says.",
        f"name its folder in `folder` of the source (--folder); {await where_described(checkout)}",
        Cause.NOT_FOUND,
    )


async def where_described(checkout: Path) -> str:
    """A sentence that names the slipway.yaml files of the repository, up to five."""
    found = await manifests(checkout)
    if not found:
        return f"the repository has no {MANIFEST_NAME}."
    return f"the repository has {', '.join(found[:5])}{' and more' if len(found) > 5 else ''}."


async def manifests(checkout: Path) -> list[str]:
    """Paths in the repository, those nearest to its root first; none where there is no repository."""
    listed = await attempt(checkout, "ls-files", "-z", "--full-name", "--", f":(top,glob)**/{MANIFEST_NAME}")
    return sorted(filter(None, listed.output.split("\0")), key=lambda name: (len(PurePosixPath(name).parts), name))


async def _leads_out(checkout: Path) -> bool:
    told = await attempt(checkout, "rev-parse", "--show-toplevel")
    root = told.output.strip() or str(checkout)
    return await asyncio.to_thread(
        lambda: not (checkout / MANIFEST_NAME).resolve().is_relative_to(Path(root).resolve())
    )
