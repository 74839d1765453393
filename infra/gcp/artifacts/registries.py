"""What a tag names, asked as a registry's own clients ask it: of Google's registries, and of Docker Hub.

Artifact Registry's API knows nothing of what its remote and virtual repositories have not fetched yet.
https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#pulling-manifests
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from infra.gcp.artifacts.images import MANIFESTS
from infra.gcp.calls.attempts import READ, attempted
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.rest import get_json, head

DOCKER_HUB = "docker.io"
GOOGLES = ("-docker.pkg.dev", "gcr.io")  # ours are the credentials of nobody else's registry
_HUB, _HUB_TOKENS = "https://registry-1.docker.io", "https://auth.docker.io/token"  # https://docs.docker.com/registry/
_MANIFEST = "artifactregistry.docker.manifests.get"
_DIGEST = "Docker-Content-Digest"


async def find_digest(host: str, path: str, selector: str) -> str | None:
    """The digest of the image `path` of a registry that `selector`, a tag or a digest, names; None if there is none.

    A HEAD request: it is no pull, of which Docker Hub allows only so many. Raises GoogleError.
    """
    try:
        if host == DOCKER_HUB:
            headers = await _ask_docker_hub(path if "/" in path else f"library/{path}", selector)
        else:
            headers = await head(_MANIFEST, f"https://{host}/v2/{path}/manifests/{selector}", MANIFESTS)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return None
        raise
    return headers[_DIGEST]


async def as_scanned(reference: str) -> str:
    """The reference by whose digest Artifact Analysis knows an image: of an index that of its first linux/amd64 image.

    reference: HOST/PATH@sha256:…; of other registries than Google's it is answered as it is. Raises GoogleError.
    https://cloud.google.com/artifact-analysis/docs/container-scanning-overview#manifest-lists
    """
    name, _, digest = reference.partition("@")
    host, _, path = name.partition("/")
    if not host.endswith(GOOGLES):
        return reference
    found = await get_json(_MANIFEST, f"https://{host}/v2/{path}/manifests/{digest}", MANIFESTS)
    return f"{name}@{_runs_of(found) or digest}"


def _runs_of(manifest: Mapping[str, Any]) -> str:
    """The digest of what Cloud Run runs of an index; '' for what is none, and where nothing fits."""
    wanted = {"os": "linux", "architecture": "amd64"}.items()
    fitting = (each for each in manifest.get("manifests") or () if wanted <= (each.get("platform") or {}).items())
    return next((str(each["digest"]) for each in fitting), "")


async def _ask_docker_hub(path: str, selector: str) -> Mapping[str, str]:
    """As anybody: nobody else's images can Cloud Run take from there."""

    async def ask() -> Mapping[str, str]:
        scope = {"service": "registry.docker.io", "scope": f"repository:{path}:pull"}
        async with httpx.AsyncClient(timeout=READ.timeout_s) as client:
            token = (await client.get(_HUB_TOKENS, params=scope)).raise_for_status().json()["token"]
            headers = {"Accept": MANIFESTS, "Authorization": f"Bearer {token}"}
            answer = await client.head(f"{_HUB}/v2/{path}/manifests/{selector}", headers=headers)
            return answer.raise_for_status().headers

    return await attempted("docker.manifests.get", ask, READ)
