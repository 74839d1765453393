"""The images that a build has at hand, and the OCI layouts in which they are handed to other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.emulator.artifacts.blobs import digest_of
from infra.emulator.artifacts.manifests import Manifest, parse_manifest
from infra.emulator.builds.bases import Base

LAYOUT = '{"imageLayoutVersion": "1.0.0"}'


@dataclass(frozen=True, slots=True)
class Stored:
    """An image whose blobs are all in the emulator's blob store."""

    manifest: bytes
    origin: str = ""  # for the build's log: where it came from

    @property
    def id(self) -> str:
        return digest_of(self.manifest)


@dataclass(frozen=True, slots=True)
class InBuildah:
    """An image that buildah has built and keeps."""

    id: str


LocalImage = Stored | InBuildah


def as_base(image: Stored, read: Callable[[str], bytes]) -> Base:
    """What a stage of the built-in builder starts from; `read` gives the bytes of a blob."""
    manifest = platform_manifest(image.manifest, read)
    layers = tuple(layer["digest"] for layer in manifest.layers)
    return Base(json.loads(read(manifest.config["digest"])), layers, image.origin)


def platform_manifest(data: bytes, read: Callable[[str], bytes]) -> Manifest:
    """The manifest of the linux/amd64 image, found through an index if need be."""
    manifest = parse_manifest(data)
    wanted = {"os": "linux", "architecture": "amd64"}
    for child in manifest.children:
        if wanted.items() <= (child.get("platform") or {}).items():
            return parse_manifest(read(child["digest"]))
    return manifest


def write_layout(image: Stored, blobs: Path, folder: Path) -> None:
    """An OCI image layout of one image over the blob store's own folder (the parent of sha256): nothing is copied."""
    folder.mkdir(parents=True)
    (folder / "oci-layout").write_text(LAYOUT)
    (folder / "blobs").symlink_to(blobs.absolute())
    descriptor = {
        "mediaType": parse_manifest(image.manifest).media_type,
        "digest": image.id,
        "size": len(image.manifest),
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
