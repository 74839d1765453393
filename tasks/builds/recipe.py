"""What Cloud Build is asked to do, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.manifest.settings import BuildSettings
from tasks.names.naming import config_digest
from tasks.names.references import ImageReference, Package

DOCKER = "gcr.io/cloud-builders/docker"
PACK = "gcr.io/k8s-skaffold/pack"
BUILDPACKS = "gcr.io/buildpacks/builder:google-22"
CONTENT_TAG_DIGITS = 32
QUEUE_LIMIT_S = 600
UNDER_WAY = 'status="QUEUED" OR status="WORKING"'


class BuildResult(Protocol):
    """What the Cloud Build API says of a build; `infra.gcp.builds.Build` is one."""

    @property
    def digests(self) -> Mapping[str, str]: ...  # image:tag -> sha256:…


@dataclass(frozen=True, slots=True)
class Recipe:
    """One service's build: the same recipe always means the same image."""

    app: str
    service: str
    package: Package
    tag: str  # the version's
    bucket: str
    source_object: str
    source_sha256: str
    dockerfile: str | None  # None: buildpacks
    settings: BuildSettings
    run_id: str
    cache_from: str = ""  # an earlier image of the service, by digest

    @property
    def uri(self) -> str:
        return self.package.uri

    @property
    def content_tag(self) -> str:
        """An image tag that tells what went in: source, Dockerfile and build arguments."""
        inputs = {
            "source": self.source_sha256,
            "dockerfile": self.dockerfile or "",
            "args": dict(self.settings.args),
            "builder": BUILDPACKS if self.dockerfile is None else "docker",
        }
        return f"src-{config_digest(inputs)[:CONTENT_TAG_DIGITS]}"


def build_body(recipe: Recipe, generation: int) -> dict[str, Any]:
    """The Build resource in JSON form: https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds"""
    settings = recipe.settings
    images = [f"{recipe.uri}:{recipe.tag}", f"{recipe.uri}:{recipe.content_tag}"]
    options: dict[str, Any] = {"logging": "GCS_ONLY"}
    if settings.machine_type:
        options["machineType"] = settings.machine_type
    return {
        "source": {
            "storageSource": {"bucket": recipe.bucket, "object": recipe.source_object, "generation": str(generation)}
        },
        "steps": [_docker(recipe, images) if recipe.dockerfile else _buildpacks(recipe, images)],
        "images": images,
        "timeout": f"{settings.timeout_s:g}s",
        "queueTtl": f"{QUEUE_LIMIT_S}s",
        "logsBucket": f"gs://{recipe.bucket}/logs",
        "options": options,
        "tags": build_tags(recipe),
    }


def build_tags(recipe: Recipe) -> list[str]:
    """How a build is found again: by us to adopt it, by people in the console."""
    return ["slipway", f"app-{recipe.app}", f"service-{recipe.service}", f"run-{recipe.run_id}", recipe.content_tag]


def earlier_builds(recipe: Recipe) -> str:
    """Cloud Build's filter for what has been built of the service before."""
    return f'status="SUCCESS" AND tags="app-{recipe.app}" AND tags="service-{recipe.service}"'


def earlier_images(recipe: Recipe, builds: Sequence[BuildResult]) -> list[ImageReference]:
    """What these builds have left of the recipe's package, each image once, in the order of the builds."""
    found: dict[str, ImageReference] = {}
    for build in builds:
        for name, digest in build.digests.items():
            image = ImageReference.parse(name)
            if image.uri == recipe.uri:
                found.setdefault(digest, image)
    return list(found.values())


def adoptable(recipe: Recipe) -> str:
    """Cloud Build's filter for a build of the same content under the same version that is still going on."""
    image = f"{recipe.uri}:{recipe.tag}"
    return f'({UNDER_WAY}) AND tags="{recipe.content_tag}" AND images="{image}"'


def _docker(recipe: Recipe, images: list[str]) -> dict[str, Any]:
    args = ["build", "--file", recipe.dockerfile or "Dockerfile"]
    for image in images:
        args += ["--tag", image]
    for key, value in sorted(recipe.settings.args.items()):
        args += ["--build-arg", f"{key}={value}"]
    # The image says how its layers were made, so that the next build can take them over: BuildKit reads that from the
    # registry, without a pull. https://docs.docker.com/build/cache/backends/inline/
    args += ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    if recipe.cache_from:
        args += ["--cache-from", recipe.cache_from]
    return {
        "id": f"build {recipe.service}",
        "name": DOCKER,
        "args": [*args, "."],
        "env": ["DOCKER_BUILDKIT=1"],
        "timeout": f"{recipe.settings.step_timeout_s:g}s",
    }


def _buildpacks(recipe: Recipe, images: list[str]) -> dict[str, Any]:
    args = ["build", images[0], "--tag", images[1], "--builder", BUILDPACKS, "--network", "cloudbuild"]
    for key, value in sorted(recipe.settings.args.items()):
        args += ["--env", f"{key}={value}"]
    return {
        "id": f"build {recipe.service}",
        "name": PACK,
        "entrypoint": "pack",
        "args": args,
        "timeout": f"{recipe.settings.step_timeout_s:g}s",
    }
