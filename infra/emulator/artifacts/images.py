"""The images of all repositories, by reference: shared by the registry, builds and Cloud Run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.emulator.artifacts.catalogue import Catalogue
from infra.emulator.artifacts.files import sweep
from infra.emulator.artifacts.manifests import Manifest
from infra.emulator.artifacts.references import parse_reference
from infra.emulator.artifacts.unpack import unpack
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.store import Store


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    uri: str  # LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE@sha256:…
    digest: str
    media_type: str


class Images:
    """`data` is the emulator's folder. Not for use from threads, except for `add_blob`."""

    def __init__(self, store: Store, data: Path) -> None:
        self.catalogue = Catalogue(store, data)
        self.blobs = self.catalogue.blobs

    def resolve(self, reference: str) -> ResolvedImage:
        """The image that `reference` stands for now. Raises RpcError: NOT_FOUND, INVALID_ARGUMENT."""
        found = self.catalogue.find(parse_reference(reference))
        return ResolvedImage(found.uri, found.digest, self.catalogue.image(found).media_type)

    def config(self, reference: str) -> dict[str, Any]:
        """The OCI configuration of the linux/amd64 image, found through an index if need be."""
        return dict(json.loads(self.blobs.read(self._platform_manifest(reference).config["digest"])))

    def layers(self, reference: str) -> list[Path]:
        """The (compressed) layers' files of the linux/amd64 image, lowest first."""
        return [self.blobs.path(layer["digest"]) for layer in self._platform_manifest(reference).layers]

    async def unpack(self, reference: str, folder: Path) -> dict[str, Any]:
        """Extracts the image's root file system into `folder` and answers its OCI configuration."""
        config, layers = self.config(reference), self.layers(reference)
        await asyncio.to_thread(unpack, layers, folder)
        return config

    def add_blob(self, data: bytes) -> str:
        """Stores a layer or configuration for a manifest to come; answers its digest. Safe in a thread."""
        return self.blobs.add(data)

    def push(self, reference: str, manifest: bytes, media_type: str = "") -> str:
        """Stores a manifest under the reference's tag and answers its digest; its blobs must be there.

        Raises RpcError: NOT_FOUND without the repository, FAILED_PRECONDITION for an immutable tag,
        INVALID_ARGUMENT for a bad manifest.
        """
        return self.catalogue.put(parse_reference(reference), manifest, media_type)

    async def sweep(self) -> int:
        """Removes the files of old blobs that no manifest refers to any more; answers how many."""
        digests = {name.rpartition("@")[2] for name in self.catalogue.manifests.names()}
        return await asyncio.to_thread(sweep, self.blobs, digests)

    def _platform_manifest(self, reference: str) -> Manifest:
        found = self.catalogue.find(parse_reference(reference))
        manifest = self.catalogue.manifest(found)
        if not manifest.is_index:
            return manifest
        wanted = {"os": "linux", "architecture": "amd64"}
        for child in manifest.children:
            if wanted.items() <= (child.get("platform") or {}).items():
                return self.catalogue.manifest(found.at(child["digest"]))
        raise invalid(f"Container manifest type '{manifest.media_type}' must support amd64/linux.")
