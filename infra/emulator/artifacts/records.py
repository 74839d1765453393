"""What the API tells about a manifest, read from the manifest and its blobs."""

from __future__ import annotations

import json
from typing import Any

from google.cloud import artifactregistry_v1
from google.protobuf import json_format, timestamp_pb2

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.manifests import Manifest
from infra.emulator.artifacts.references import Reference

DockerImage = artifactregistry_v1.DockerImage.pb()
ImageManifest = artifactregistry_v1.ImageManifest.pb()


def describe(
    blobs: Blobs, reference: Reference, manifest: Manifest, manifest_bytes: int, now: timestamp_pb2.Timestamp
) -> Any:
    """The DockerImage of a manifest whose blobs are there. The size of an index is that of its manifest."""
    return DockerImage(
        name=reference.docker_image,
        uri=reference.uri,
        media_type=manifest.media_type,
        artifact_type=manifest.artifact_type or (manifest.media_type if manifest.subject else ""),
        upload_time=now,
        update_time=now,
        image_size_bytes=sum(blobs.size(digest) for digest in manifest.blobs) or manifest_bytes,
        build_time=_build_time(blobs, manifest),
        image_manifests=[_child(child) for child in manifest.children],
    )


def _build_time(blobs: Blobs, manifest: Manifest) -> timestamp_pb2.Timestamp | None:
    if not manifest.config or manifest.artifact_type:
        return None
    try:
        created = json.loads(blobs.read(manifest.config["digest"])).get("created")
        return json_format.Parse(json.dumps(created), timestamp_pb2.Timestamp()) if created else None
    except (ValueError, AttributeError, json_format.ParseError):
        return None  # what the configuration says is its author's business


def _child(child: dict[str, Any]) -> Any:
    platform = child.get("platform") or {}
    return ImageManifest(
        digest=child["digest"],
        media_type=child.get("mediaType", ""),
        architecture=platform.get("architecture", ""),
        os=platform.get("os", ""),
        os_version=platform.get("os.version", ""),
        os_features=platform.get("os.features", ()),
        variant=platform.get("variant", ""),
    )
