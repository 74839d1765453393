"""The source of a build: an archive in Cloud Storage, a git repository, or none."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.emulator.builds.processes import Processes
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.storage.objects import Objects

FETCHING = "error fetching storage source: generic::unknown: fetching gcs source"  # as real logs put it


class FetchError(Exception):
    """The source could not be had; `str()` says why."""


def resolve(cloud: Cloud, build: BuildPb, account: str) -> None:
    """Pins the source's generation into the build's provenance, as Cloud Build does when a build is created.

    Raises INVALID_ARGUMENT if the object is not there or not readable by the build's account.
    """
    if not build.source.HasField("storage_source"):
        return
    source = build.source.storage_source
    try:
        project = cloud.get(Objects).buckets.project_of(source.bucket)
        resource = f"projects/{project}/buckets/{source.bucket}"
        if not cloud.get(Policies).allowed(account, "storage.objects.get", resource):
            raise invalid(
                f"could not resolve source: googleapi: Error 403: {account} does not have storage.objects.get access "
                "to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may "
                "not exist)., forbidden"
            )
        found = cloud.get(Objects).stat(source.bucket, source.object_, source.generation or None)
    except RpcError as error:
        if error.http_status != 404:
            raise
        raise invalid(f"could not resolve source: googleapi: Error 404: {error.status.message}, notFound") from error
    resolved = build.source_provenance.resolved_storage_source
    resolved.bucket, resolved.object_, resolved.generation = source.bucket, source.object_, int(found["generation"])


async def fetch(
    cloud: Cloud, build: BuildPb, folder: Path, processes: Processes, output: Callable[[str], None]
) -> None:
    """Brings the source into `folder`, which exists. Raises FetchError."""
    if build.source.HasField("storage_source"):
        await _fetch_object(cloud, build, folder, output)
    elif build.source.HasField("git_source"):
        await _fetch_repository(build.source.git_source, folder, processes, output)
    elif build.source.WhichOneof("source"):
        raise FetchError(f"{build.source.WhichOneof('source')} is not emulated: use storageSource or gitSource")


async def _fetch_object(cloud: Cloud, build: BuildPb, folder: Path, output: Callable[[str], None]) -> None:
    source = build.source_provenance.resolved_storage_source
    address = f"gs://{source.bucket}/{source.object_}#{source.generation}"
    output(f"Fetching storage object: {address}")
    try:
        archive = await asyncio.to_thread(cloud.get(Objects).read, source.bucket, source.object_, source.generation)
        output(f"Copying {address}...")
        await asyncio.to_thread(extract, archive, folder)
    except RpcError as error:
        raise FetchError(f"{FETCHING}: {error.status.message}") from error
    except (ValueError, OSError, EOFError) as error:
        raise FetchError(f"{FETCHING}: unpacking source from gcs: {error}") from error
    size = human_size(len(archive))
    output(f"/ [1 files][{size:>10}/{size:>10}]\nOperation completed over 1 objects/{size}.")


async def _fetch_repository(git: Any, folder: Path, processes: Processes, output: Callable[[str], None]) -> None:
    """A clone at `revision`: a branch, tag or commit; without one, the default branch."""
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    for command in (["clone", "--quiet", git.url, "."], ["checkout", "--quiet", git.revision or "HEAD"]):
        if await processes.run(["git", *command], cwd=folder, env=env, output=output):
            raise FetchError(f"error fetching git source: {git.url}: git {command[0]} failed")


def folder_of_steps(build: BuildPb) -> str:
    """Where in the source steps start, relative to its root; '' for the root itself."""
    return str(build.source.git_source.dir_)


def extract(archive: bytes, folder: Path) -> None:
    """Unpacks a tar (of any compression) or zip archive; raises ValueError if it is neither or leads outside.

    May take long: run it in a thread.
    """
    file = io.BytesIO(archive)
    if zipfile.is_zipfile(file):
        _extract_zip(file, folder)
        return
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as tar:
            tar.extractall(folder, filter="tar")
    except tarfile.TarError as error:
        raise ValueError(f"could not unpack the source archive: {error}") from error


def _extract_zip(file: io.BytesIO, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            path = Path(archive.extract(member, folder))
            mode = member.external_attr >> 16 & 0o777
            if mode and path.is_file():
                os.chmod(path, mode)  # noqa: PTH101 - the path was made by the line above


def human_size(count: int) -> str:
    """As gsutil writes it: 4.3 KiB"""
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
