"""OCI and Docker manifests: what they refer to, and how to make one.

https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.references import DIGEST
from infra.emulator.kernel.errors import invalid

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
INDEXES = (OCI_INDEX, DOCKER_INDEX)
IMAGES = (OCI_MANIFEST, DOCKER_MANIFEST)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A parsed manifest; descriptors are dicts with mediaType, digest, size and for children platform."""

    media_type: str
    config: dict[str, Any] = field(default_factory=dict)  # empty for an index
    layers: tuple[dict[str, Any], ...] = ()
    children: tuple[dict[str, Any], ...] = ()  # of an index
    subject: str = ""  # digest of the manifest that this one is about
    artifact_type: str = ""
    annotations: dict[str, str] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def blobs(self) -> list[str]:
        """Digests of the configuration and of all layers that the registry itself must hold."""
        return [d["digest"] for d in (self.config, *self.layers) if d and not d.get("urls")]


def parse_manifest(data: bytes, media_type: str = "") -> Manifest:
    """Raises RpcError (INVALID_ARGUMENT) for what is no manifest of an image or an index."""
    try:
        document = json.loads(data)
        media_type = document.get("mediaType") or media_type.partition(";")[0].strip() or _guess(document)
        if media_type not in (*IMAGES, *INDEXES):
            raise invalid(f"Unsupported manifest media type: {media_type or 'none'}.")
        is_image = media_type in IMAGES
        return Manifest(
            media_type,
            _descriptor(document["config"]) if is_image else {},
            tuple(map(_descriptor, document["layers"])) if is_image else (),
            () if is_image else tuple(map(_descriptor, document["manifests"])),
            _descriptor(document["subject"])["digest"] if document.get("subject") else "",
            _artifact_type(document, media_type),
            document.get("annotations") or {},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise invalid(f"Failed to parse manifest: {type(error).__name__}: {error}.") from error


def _descriptor(value: dict[str, Any]) -> dict[str, Any]:
    """Digests become file names, so nothing else may pass for one."""
    if not DIGEST.fullmatch(value["digest"]):
        raise ValueError(f"invalid digest {value['digest']}")
    return value


def _guess(document: dict[str, Any]) -> str:
    """OCI lets a manifest leave its media type to the header, and not everyone sends the header."""
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST if "config" in document else ""


def _artifact_type(document: dict[str, Any], media_type: str) -> str:
    declared = document.get("artifactType")
    if declared or media_type in INDEXES:
        return declared or ""
    config_type = str(document["config"].get("mediaType", ""))
    return "" if config_type in (OCI_CONFIG, DOCKER_CONFIG) else config_type


def compose(blobs: Blobs, config: dict[str, Any], layers: Sequence[str]) -> bytes:
    """The manifest of an image of gzipped layers (digests of blobs that are there); stores its configuration."""
    data = json.dumps(config, sort_keys=True).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": blobs.add(data), "size": len(data)},
        "layers": [{"mediaType": OCI_LAYER, "digest": digest, "size": blobs.size(digest)} for digest in layers],
    }
    return json.dumps(manifest, sort_keys=True).encode()
