"""Records of the first versions of Slipway, in the shape of today's. Pure."""

from __future__ import annotations

from typing import Any


def of_today(kept: Any) -> Any:
    """A target kept its image's digest alone: the whole reference is what the release says of the service.

    Without it a rollback would record no image, and clean-up take the one that it went back to for unused.
    """
    if not isinstance(kept, dict) or not any("digest" in each for each in _targets(kept)):
        return kept
    images = kept.get("images") or {}
    targets = [
        {**each, "image": each.get("image") or _reference(images.get(each.get("service"), ""), each.get("digest"))}
        for each in _targets(kept)
    ]
    return {**kept, "targets": targets}


def _targets(kept: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in kept.get("targets") or () if isinstance(each, dict)]


def _reference(image: str, digest: Any) -> str:
    """The service's image, if it is the one of the digest."""
    return image if digest and image.endswith(f"@{digest}") else ""
