"""The small types that slipway.yaml says of images and builds in, see `tasks.manifest.values`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from tasks.manifest.values import Matching
from tasks.names.references import ImageReference

# https://github.com/distribution/reference/blob/main/reference.go
_COMPONENT = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    "(?:@sha256:[0-9a-f]{64})?"
)
_IMAGE_HOSTS = r"([a-z0-9-]+[.])?gcr[.]io|[a-z0-9-]+-docker[.]pkg[.]dev|docker[.]io"


def _runnable(image: str) -> str:
    """https://cloud.google.com/run/docs/deploying#images"""
    if not re.fullmatch(_IMAGE, image, re.ASCII):
        raise ValueError("must be an image, like europe-west1-docker.pkg.dev/acme/images/api:v3 or one with @sha256:…")
    host = ImageReference.parse(image).host
    if not re.fullmatch(_IMAGE_HOSTS, host):
        raise ValueError(
            f"is in the registry {host}, of which Cloud Run takes none: only docker.pkg.dev, gcr.io and docker.io; a "
            "remote repository of Artifact Registry can stand before it"
        )
    return image


BuiltImage = Annotated[str, AfterValidator(_runnable), WithJsonSchema({"type": "string", "pattern": f"^{_IMAGE}$"})]
# https://docs.docker.com/reference/dockerfile/#from, https://docs.docker.com/build/building/secrets/
BuildTarget = Annotated[str, Matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", "the name of a stage, or its number from 0")]
SecretId = Annotated[str, Matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "the id of a secret, as the Dockerfile says it")]
WorkerPool = Annotated[
    str,
    Matching(
        r"(projects/[a-z0-9-]+/locations/[a-z0-9-]+/workerPools/)?[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
        "a private pool: its name, or projects/PROJECT/locations/REGION/workerPools/NAME",
    ),
]
