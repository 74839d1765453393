"""The files that manifests stand for: listed, and swept when nothing refers to them. All of it may run in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from google.cloud import artifactregistry_v1

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.manifests import parse_manifest
from infra.emulator.artifacts.references import Reference

File = artifactregistry_v1.File.pb()


def files_of(blobs: Blobs, references: Iterable[Reference]) -> list[Any]:
    """Every file of these manifests once, themselves included; the first of several owners is named."""
    found: dict[str, Any] = {}
    for reference in references:
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            manifest = parse_manifest(blobs.read(reference.digest))
            for digest in (reference.digest, *manifest.blobs):
                if digest not in found:
                    found[digest] = _file(blobs, reference, digest)
    return list(found.values())


def _file(blobs: Blobs, reference: Reference, digest: str) -> Any:
    status = blobs.path(digest).stat()
    value = bytes.fromhex(digest.removeprefix("sha256:"))
    file = File(name=f"{reference.repository}/files/{digest}", size_bytes=status.st_size, owner=reference.version)
    file.hashes.add(type_=artifactregistry_v1.Hash.HashType.SHA256, value=value)
    file.create_time.FromSeconds(int(status.st_mtime))
    file.update_time.FromSeconds(int(status.st_mtime))
    return file


def sweep(blobs: Blobs, manifests: Iterable[str]) -> int:
    """Removes the files of blobs that none of the `manifests` (digests) refers to; answers how many."""
    referenced = set()
    for digest in manifests:
        referenced.add(digest.removeprefix("sha256:"))
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            manifest = parse_manifest(blobs.read(digest))
            referenced.update(blob.removeprefix("sha256:") for blob in manifest.blobs)
    return blobs.sweep(referenced)
