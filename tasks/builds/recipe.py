"""What Cloud Build is asked to do, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tasks.manifest.settings import BuildSettings
from tasks.names.naming import config_digest
from tasks.names.references import ImageReference, Package

DOCKER = "gcr.io/cloud-builders/docker"
PACK = "gcr.io/k8s-skaffold/pack"
BUILDPACKS = "gcr.io/buildpacks/builder:google-22"
CONTENT_TAG_DIGITS = 32
QUEUE_LIMIT_S = 600
UNDER_WAY = 'status="PENDING" OR status="QUEUED" OR status="WORKING"'


class BuildResult(Protocol):
    """What the Cloud Build API says of a build; `infra.gcp.builds.Build` is one."""

    @property
    def digests(self) -> Mapping[str, str]: ...  # image:tag -> sha256:…


@dataclass(frozen=True, slots=True)
class Recipe:
    """One build: the same recipe always means the same image."""

    app: str
    service: str
    package: Package
    tag: str  # the version's
    bucket: str
    source_object: str
    source_sha256: str  # of the object
    dockerfile: str | None  # None: buildpacks
    settings: BuildSettings
    run_id: str
    also: tuple[Package, ...] = ()  # what else the image is called: other services are built the same way
    account: str = ""  # what the build runs as; '' for Google's choice
    cache_from: str = ""  # an earlier image of the service, by digest
    commit: str = ""  # that the source is; '' where it is none
    content_sha256: str = ""  # of what is packed in it

    @property
    def uri(self) -> str:
        return self.package.uri

    @property
    def source(self) -> str:
        """What goes into the build, as its provenance will say it."""
        return f"gs://{self.bucket}/{self.source_object}"

    @property
    def packages(self) -> tuple[Package, ...]:
        """One for each service that the image is for, and called like it."""
        return (self.package, *self.also)

    def only(self, packages: Sequence[Package]) -> Recipe:
        """The same for some of the services."""
        return replace(self, service=packages[0].name, package=packages[0], also=tuple(packages[1:]))

    @property
    def content_tag(self) -> str:
        """An image tag that tells what went in: source, Dockerfile, target, build arguments and names of secrets."""
        return self._tag(self.content_sha256 or self.source_sha256)

    @property
    def former_tag(self) -> str:
        """What earlier Slipways called the same, if the same zlib had packed it."""
        return self._tag(self.source_sha256)

    def _tag(self, source: str) -> str:
        more = {
            "target": self.settings.target,
            "secrets": {key: str(ref) for key, ref in self.settings.secrets.items()},
        }
        inputs = {
            **{key: value for key, value in more.items() if value},  # without these the tag is as it always was
            "source": source,
            "dockerfile": self.dockerfile or "",
            "args": dict(self.settings.args),
            "builder": BUILDPACKS if self.dockerfile is None else "docker",
        }
        return f"src-{config_digest(inputs)[:CONTENT_TAG_DIGITS]}"


def build_body(recipe: Recipe, generation: int) -> dict[str, Any]:
    """The Build resource in JSON form: https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds"""
    settings = recipe.settings
    images = [f"{package.uri}:{tag}" for package in recipe.packages for tag in (recipe.tag, recipe.content_tag)]
    commit, options = _commit(recipe)
    if settings.machine_type:
        options["machineType"] = settings.machine_type
    if settings.worker_pool:
        options["pool"] = {"name": _pool(settings.worker_pool, recipe.package)}
    secrets = {"availableSecrets": {"secretManager": _secrets(recipe)}} if settings.secrets else {}
    # A build of an account that one chooses needs a place of one's own for its log, which logsBucket is:
    # https://cloud.google.com/build/docs/securing/configure-user-specified-service-accounts
    account = {"serviceAccount": account_name(recipe.account, recipe.package.project)} if recipe.account else {}
    return (
        account
        | commit
        | secrets
        | {
            "source": {
                "storageSource": {
                    "bucket": recipe.bucket,
                    "object": recipe.source_object,
                    "generation": str(generation),
                }
            },
            "steps": [_verbatim(_docker(recipe, images) if recipe.dockerfile else _buildpacks(recipe, images))],
            "images": images,
            "timeout": f"{settings.timeout_s:g}s",
            "queueTtl": f"{QUEUE_LIMIT_S}s",
            "logsBucket": f"gs://{recipe.bucket}/logs",
            "options": options,
            "tags": build_tags(recipe),
        }
    )


def _commit(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """The commit for the provenance, which tells substitutions; loose, since no step needs it. And all other options.

    https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values#using_default_substitutions
    """
    options: dict[str, Any] = {"logging": "GCS_ONLY"}
    if not recipe.commit:
        return {}, options
    return {"substitutions": {"COMMIT_SHA": recipe.commit}}, options | {"substitutionOption": "ALLOW_LOOSE"}


def _pool(name: str, package: Package) -> str:
    """A private pool's full name: builds in it are asked for in its own region, which is the environment's first."""
    if "/" in name:
        return name
    return f"projects/{package.project}/locations/{package.location}/workerPools/{name}"


def _variables(recipe: Recipe) -> dict[str, str]:
    """The variable of the step that holds each secret, by its id: https://cloud.google.com/build/docs/securing-builds/use-secrets"""
    return {key: f"BUILD_SECRET_{number}" for number, key in enumerate(sorted(recipe.settings.secrets), 1)}


def _secrets(recipe: Recipe) -> list[dict[str, str]]:
    found = []
    for key, variable in _variables(recipe).items():
        reference = recipe.settings.secrets[key]
        project, name = reference.place(recipe.package.project)
        version = f"projects/{project}/secrets/{name}/versions/{reference.version or 'latest'}"
        found.append({"versionName": version, "env": variable})
    return found


def _verbatim(step: dict[str, Any]) -> dict[str, Any]:
    """The step with its arguments as they are: Cloud Build replaces `$NAME` in them, and reads `$$` as one `$`.

    https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values
    """
    return step | {"args": [argument.replace("$", "$$") for argument in step["args"]]}


def account_name(email: str, project: str) -> str:
    """Its full name. An account that people have made tells its own project; Google's own are taken for `project`'s."""
    home, suffix, _ = email.partition("@")[2].partition(".iam.gserviceaccount.com")
    return f"projects/{home if suffix else project}/serviceAccounts/{email}"


def build_tags(recipe: Recipe) -> list[str]:
    """How a build is found again: by us to adopt it, by people in the console."""
    services = [f"service-{package.name}" for package in recipe.packages]
    return ["slipway", f"app-{recipe.app}", *services, f"run-{recipe.run_id}", recipe.content_tag]


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
    images = " AND ".join(f'images="{package.uri}:{recipe.tag}"' for package in recipe.packages)
    return f'({UNDER_WAY}) AND tags="{recipe.content_tag}" AND {images}'


def _docker(recipe: Recipe, images: list[str]) -> dict[str, Any]:
    args = ["build", "--file", recipe.dockerfile or "Dockerfile"]
    for image in images:
        args += ["--tag", image]
    for key, value in sorted(recipe.settings.args.items()):
        args += ["--build-arg", f"{key}={value}"]
    if recipe.settings.target:
        args += ["--target", recipe.settings.target]
    variables = _variables(recipe)
    for key, variable in variables.items():
        args += ["--secret", f"id={key},env={variable}"]
    # The image says how its layers were made, so that the next build can take them over: BuildKit reads that from the
    # registry, without a pull. https://docs.docker.com/build/cache/backends/inline/
    args += ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]
    if recipe.cache_from:
        args += ["--cache-from", recipe.cache_from]
    secret = {"secretEnv": list(variables.values())} if variables else {}
    return secret | {
        "id": f"build {recipe.service}",
        "name": DOCKER,
        "args": [*args, "."],
        "env": ["DOCKER_BUILDKIT=1"],
        "timeout": f"{recipe.settings.step_timeout_s:g}s",
    }


def _buildpacks(recipe: Recipe, images: list[str]) -> dict[str, Any]:
    args = ["build", images[0]]
    for image in images[1:]:
        args += ["--tag", image]
    args += ["--builder", BUILDPACKS, "--network", "cloudbuild"]
    for key, value in sorted(recipe.settings.args.items()):
        args += ["--env", f"{key}={value}"]
    return {
        "id": f"build {recipe.service}",
        "name": PACK,
        "entrypoint": "pack",
        "args": args,
        "timeout": f"{recipe.settings.step_timeout_s:g}s",
    }
