"""Which version a run ships, and which version belongs in which environment."""

from __future__ import annotations

from pathlib import Path

from prefect.logging import get_run_logger

from tasks.failures.errors import VersionError
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.model import Request, Version, VersionKind
from tasks.orchestration.artifacts import name_run
from tasks.orchestration.shown import introduce
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.source.described import read_manifest
from tasks.source.source import Source, open_source
from tasks.source.version import kind_of, read_version, semver_of


@stage("version")
@step("name the version", attempts=2)
async def name_version(request: Request, doing: str = "") -> Version:
    """doing: what the run does, where that is not to ship the version."""
    version = await read_version(request.folder)
    refuse_unaccepted(request, version)
    await name_run(request, version, doing)
    return version


@step("choose the environment", attempts=3)
async def choose_environment(source: Source, folder: Path) -> tuple[str, Source]:
    """The environment that the source's tag is for, and the very commit, in case a branch or tag moves meanwhile."""
    checkout = await open_source(source, folder / "checkout")
    version, manifest = await read_version(checkout), await read_manifest(checkout)
    environment = environment_for(manifest, version)
    await introduce(manifest.app, environment, f"ship {manifest.app} {version.version} -> {environment}")
    get_run_logger().info("%s is a %s version: it goes to %s", version.version, version.kind, environment)
    return environment, source if version.dirty else source.model_copy(update={"ref": version.commit})


def environment_for(manifest: Manifest, version: Version) -> str:
    """The first environment that is for such a version: a release is for production, anything else is not.

    Raises VersionError when there is none.
    """
    is_release = version.kind is VersionKind.RELEASE
    for name, settings in manifest.environments.items():
        if settings.production == is_release and version.kind in settings.accepts:
            return name
    raise VersionError(
        f"No environment of {MANIFEST_NAME} is for {version.version}, a {version.kind} version.",
        "declare one (production: true for releases), or start the deploy flow for the environment that you mean.",
    )


def version_for(request: Request, version: Version) -> str | None:
    """What a commit holds for the environment: its version, or where that is not accepted the tag it descends from.

    None when the environment accepts neither.
    """
    accepts, base = request.settings.accepts, version.base and semver_of(version.base)
    if version.kind in accepts and not (version.dirty and request.settings.production):
        return version.version
    return version.base if base and kind_of(base) in accepts else None


def refuse_unaccepted(request: Request, version: Version) -> None:
    """A tag's type decides where a version may go. Raises VersionError."""
    settings = request.settings
    if version.dirty and settings.production:
        raise VersionError(
            f"The work tree differs from commit {version.commit[:12]}; "
            f"{request.environment} takes only what is committed.",
            "commit or stash the changes, or start the run with source.ref set to a tag.",
        )
    if version.kind not in settings.accepts:
        raise VersionError(
            f"{version.version} is a {version.kind} version; "
            f"{request.environment} accepts {', '.join(settings.accepts)}.",
            "tag the commit (git tag vX.Y.Z && git push --tags), ship it to another environment, or extend "
            f"environments.{request.environment}.accepts in slipway.yaml.",
        )
