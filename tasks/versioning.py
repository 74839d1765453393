"""Names the run by its version, and refuses versions that do not belong in the environment."""

from __future__ import annotations

from tasks.errors import VersionError
from tasks.model import Request, Version, VersionKind
from tasks.progress import stage
from tasks.report import name_run
from tasks.steps import step
from tasks.version import read_version, semver_of


@stage("version")
@step("name the version", attempts=2)
async def name_version(request: Request) -> Version:
    version = await read_version(request.folder)
    refuse_unaccepted(request, version)
    await name_run(request, version)
    return version


def version_for(request: Request, version: Version) -> str | None:
    """What a commit holds for the environment: its version, or where that is not accepted the tag it descends from.

    None when the environment accepts neither.
    """
    accepts, base = request.settings.accepts, version.base and semver_of(version.base)
    if version.kind in accepts and not (version.dirty and request.settings.production):
        return version.version
    kind = VersionKind.PRERELEASE if base and base.prerelease else VersionKind.RELEASE
    return version.base if base and kind in accepts else None


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
