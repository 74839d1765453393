"""The local mirror of base images: an OCI layout in the emulator's folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.manifests import parse_manifest
from infra.emulator.builds.bases import canonical

NAME = "org.opencontainers.image.ref.name"  # https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md
ORIGIN = "dev.slipway.made-of"


class Mirror:
    """Images by their full name (docker.io/library/python:3.12-slim). Another process may add some meanwhile."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "mirror"
        self._index = self.folder / "index.json"

    @property
    def blobs(self) -> Blobs:
        return Blobs(self.folder / "blobs")

    def names(self) -> list[str]:
        return [entry["annotations"][NAME] for entry in self._entries()]

    def find(self, reference: str) -> bytes | None:
        """The manifest of the image that `reference` stands for, or None."""
        for entry in self._entries():
            if entry["annotations"][NAME] == canonical(reference):
                return self.blobs.read(entry["digest"])
        return None

    def made_by(self, origin: str) -> bytes | None:
        """The manifest of an image that was added with this origin, or None."""
        for entry in self._entries():
            if entry["annotations"].get(ORIGIN) == origin:
                return self.blobs.read(entry["digest"])
        return None

    def lend(self, manifest: bytes, blobs: Blobs) -> None:
        """Puts an image's blobs into another store as well; links where the file system can."""
        parsed = parse_manifest(manifest)
        for digest in [parsed.config["digest"], *(layer["digest"] for layer in parsed.layers)]:
            if digest in blobs:
                blobs.touch(digest)
            else:
                _link(self.blobs.path(digest), blobs.path(digest))

    def add(self, reference: str, manifest: bytes, origin: str = "") -> None:
        """Names an image whose blobs are in `blobs`; an older image of that name is forgotten.

        `origin` says what it was made of.
        """
        digest = self.blobs.add(manifest)
        entry = {
            "mediaType": parse_manifest(manifest).media_type,
            "digest": digest,
            "size": len(manifest),
            "annotations": {NAME: canonical(reference), ORIGIN: origin},
        }
        others = [old for old in self._entries() if old["annotations"][NAME] != canonical(reference)]
        draft = self._index.with_suffix(".new")
        draft.write_text(json.dumps({"schemaVersion": 2, "manifests": [*others, entry]}, indent=2))
        draft.replace(self._index)

    def _entries(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            return list(json.loads(self._index.read_text())["manifests"])
        return []


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:  # another file system, or one without links
        draft = target.with_suffix(".copy")
        shutil.copyfile(source, draft)
        draft.replace(target)
