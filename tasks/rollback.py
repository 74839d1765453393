"""Goes back to a release that was seen healthy: its revisions still exist, so nothing is built or deployed."""

from __future__ import annotations

from collections.abc import Sequence

from infra.gcp import registry
from tasks import traffic_plan
from tasks.errors import Cause, SlipwayError
from tasks.gates import Override
from tasks.history import ReleaseRecord, State, TargetRecord, good, read_history
from tasks.model import Candidate, Image, Request, Version, VersionKind
from tasks.naming import image_tag, traffic_tag
from tasks.progress import stage
from tasks.rollout import live_traffic, own_tags, read_service, snapshot
from tasks.steps import step
from tasks.together import all_of
from tasks.traffic import write_split

NOTHING_MOVED = "Live traffic was not moved."


class RollbackRefused(SlipwayError):
    """There is no release to go back to, or going back to it would do harm."""


@stage("version")
@step("choose the release to go back to", attempts=3, state=NOTHING_MOVED)
async def choose_release(
    request: Request, to: str | None, override: Override | None
) -> tuple[ReleaseRecord, ReleaseRecord]:
    """What to go back to, and what serves now. Raises RollbackRefused when there is none, or it must not be used."""
    history = await read_history(request.settings.bucket, request.app, request.environment)
    return choose(history, to, override)


def choose(
    history: Sequence[ReleaseRecord], to: str | None, override: Override | None
) -> tuple[ReleaseRecord, ReleaseRecord]:
    """What to go back to, and what serves now; `history` is newest first.

    To the release called `to`, or without it to the good one before what serves now.
    """
    released = good(history)
    serving = next((record for record in history if record.state is State.RELEASED), None)
    if serving is None:
        raise RollbackRefused(
            "Nothing was ever released here.", "ship a version with the deploy flow.", Cause.NOT_FOUND
        )
    chosen = _named(history, released, to) if to else _previous(released, serving)
    if chosen.version == serving.version:
        raise RollbackRefused(
            f"{serving.version} is what serves now.", "name another version with `to`.", Cause.CONFLICT
        )
    barrier = _irreversible_since(history, chosen)
    if barrier and override is None:
        raise RollbackRefused(
            f"{barrier.version} declares a migration that {chosen.version} cannot live with.",
            "correct forward with a new version; or, if you know that it is safe, fill in `override`.",
            Cause.CONFLICT,
        )
    return chosen, serving


def _named(history: Sequence[ReleaseRecord], released: Sequence[ReleaseRecord], to: str) -> ReleaseRecord:
    found = next((record for record in released if record.version == to), None)
    if found:
        return found
    tried = next((record for record in history if record.version == to), None)
    versions = ", ".join(record.version for record in released) or "none"
    if tried and tried.state is State.RELEASED:
        raise RollbackRefused(
            f"{to} is what a rollback has left.",
            f"ship it again with the deploy flow (source.ref: {to}), or choose one of: {versions}.",
            Cause.CONFLICT,
        )
    if tried:
        raise RollbackRefused(
            f"{to} is marked {tried.state}: {tried.reason or 'it was never seen healthy'}.",
            f"choose one that was: {versions}.",
            Cause.CONFLICT,
        )
    raise RollbackRefused(f"{to} was never released here.", f"choose one of: {versions}.", Cause.NOT_FOUND)


def _previous(released: Sequence[ReleaseRecord], serving: ReleaseRecord) -> ReleaseRecord:
    """The newest good release that is older than what serves now, and was not itself left behind by a rollback."""
    first_served = min(record.started for record in released if record.version == serving.version)
    older = [record for record in released if record.version != serving.version and record.started < first_served]
    if not older and serving.action == "rollback":
        older = [r for r in released if r.version not in (serving.version, serving.left)]
    if not older:
        raise RollbackRefused(
            f"Before {serving.version} nothing was released here, so there is nothing to go back to.",
            "correct forward with a new version.",
            Cause.NOT_FOUND,
        )
    return older[0]


def _irreversible_since(history: Sequence[ReleaseRecord], chosen: ReleaseRecord) -> ReleaseRecord | None:
    newer = (r for r in history if r.started > chosen.started and r.version != chosen.version)
    return next((record for record in newer if record.irreversible and record.state is State.RELEASED), None)


@stage("deploy")
async def revive(request: Request, release: ReleaseRecord) -> tuple[Candidate, ...]:
    """The release's revisions as candidates: they exist, their images too, and each has a URL of its own."""
    return await all_of([revive_one(request, release.version, target) for target in release.targets])


@step(
    "find the revision", run_name="find {target.service} {version} in {target.region}", attempts=3, state=NOTHING_MOVED
)
async def revive_one(request: Request, version: str, target: TargetRecord) -> Candidate:
    name = request.run_service(target.service, target.region)
    service, revisions = await read_service(name)
    revision = next((each for each in revisions if each.name == target.revision), None)
    if revision is None or not revision.ready:
        what = "no longer exists" if revision is None else f"is not ready: {revision.message}"
        raise RollbackRefused(
            f"Revision {target.revision} of {target.service} in {target.region} {what}.",
            f"ship {version} again with the deploy flow (source.ref: {version}).",
            Cause.NOT_FOUND,
        )
    await _refuse_without_image(request, target)
    tag = traffic_tag(f"{request.app}-{target.service}", version)
    live = live_traffic(service, revisions)
    before = snapshot(target.service, target.region, service, live, revisions)
    split = traffic_plan.dark(live, target.revision, tag, own_tags(revisions)).targets
    await write_split(service, split)
    service, _ = await read_service(name)
    url = next((t.uri for t in service.live if t.tag == tag), service.uri)
    return Candidate(
        target.service, target.region, target.revision, tag, url, service.uri, before, split, created=False,
        template=target.template,
    )  # fmt: skip


async def _refuse_without_image(request: Request, target: TargetRecord) -> None:
    """Cloud Run keeps a copy only of images that serve: an instance of this revision could not start without it."""
    image = image_of(target.image)
    if image and not await registry.image_exists(*image):
        raise RollbackRefused(
            f"The image of {target.service} ({image[2][:19]}) is gone from the registry.",
            "ship the version again with the deploy flow, which builds it anew.",
            Cause.IMAGE_MISSING,
        )


def image_of(reference: str) -> tuple[str, str, str] | None:
    """Repository, image and digest of an image reference; None when it is none of Artifact Registry with a digest."""
    uri, _, digest = reference.partition("@")
    parts = uri.split("/")
    if len(parts) < 4 or not digest:
        return None
    location = parts[0].removesuffix("-docker.pkg.dev")
    return registry.repository_name(parts[1], location, parts[2]), "/".join(parts[3:]), digest


def version_of(record: ReleaseRecord) -> Version:
    return Version(
        record.version, VersionKind(record.kind), record.commit, record.version, image_tag=image_tag(record.version)
    )


def images_of(record: ReleaseRecord, version: Version) -> tuple[Image, ...]:
    """The recorded images, to be used again as they are."""
    references = {service: reference.partition("@") for service, reference in record.images.items()}
    return tuple(
        Image(service, uri, digest, version.image_tag, built=False) for service, (uri, _, digest) in references.items()
    )
