"""Builds every service once: what is built already is found, what is being built is adopted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from prefect.logging import get_run_logger

from infra.gcp import builds
from infra.gcp.artifacts import repositories
from infra.gcp.builds import Build
from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.builds.archive import pack
from tasks.builds.log import LogCursor
from tasks.builds.recipe import UNDER_WAY, Recipe, adoptable, build_body, earlier_builds, earlier_images
from tasks.failures.build_log import diagnose
from tasks.failures.catalogue.blanks import Known
from tasks.failures.errors import BuildFailed, Cause, TagTaken
from tasks.failures.explain import explain
from tasks.failures.redact import redact
from tasks.model import Image, Request, Version
from tasks.names import resources
from tasks.names.references import ImageReference, Package
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]
POLL_S = 1.0  # Cloud Build appends to its log about once a second
STOP_LIMIT_S = 20.0  # a cancelled run is killed after 30 s
GRACE_S = 120.0  # beyond the build's own time-out and its time in the queue


@stage("build")
async def build(request: Request, version: Version) -> tuple[Image, ...]:
    """All services in parallel under one version; no build starts before every tag is known to be free or ours."""
    recipes = await all_of([prepare_source(request, version, name) for name in request.services])
    ready = await check_tags(request, recipes)
    try:
        return await all_of([build_service(request, r, ready.get(r.service)) for r in recipes], stop_on_failure=True)
    except BaseException:
        with closed_circuits():
            await asyncio.shield(asyncio.ensure_future(stop_builds(request)))
        raise


async def stop_builds(request: Request, run_id: str = "") -> int:
    """Cancels what a run's builds, this one's by default, have left going; answers how many there were.

    That includes a build that Google started although its answer to us was lost. What cannot be stopped ends by its
    own time-out.
    """
    query = f'({UNDER_WAY}) AND tags="run-{run_id or request.run_id}"'
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            left = await builds.find_builds(request.project, request.build_region, query)
            await all_of([builds.cancel_build(build.name) for build in left])
    except (GoogleError, TimeoutError) as error:
        get_run_logger().error("builds of run %s may go on: %s", run_id or request.run_id, explain(error).problem)
        return 0
    for build in left:
        get_run_logger().warning("cancelled build %s", build.id)
    return len(left)


@step("pack and upload the source", run_name="upload {name}", attempts=3, state="No build was started.")
async def prepare_source(request: Request, version: Version, name: str) -> Recipe:
    settings = request.service(name)
    source = request.folder / settings.source
    out = request.scratch / f"{name}.tar.gz"
    archive = await asyncio.to_thread(pack, source, out, settings.dockerfile)
    bucket, source_object = request.settings.bucket, f"sources/{request.app}/{name}/{archive.sha256}.tar.gz"
    _, sent = await objects.upload_once(bucket, source_object, archive.path)
    get_run_logger().info(
        "%s: %d files, %d bytes, %s", name, archive.files, archive.size_bytes, "uploaded" if sent else "uploaded before"
    )
    return Recipe(
        app=request.app,
        service=name,
        package=Package(request.project, request.build_region, request.settings.repository, name),
        tag=version.image_tag,
        bucket=bucket,
        source_object=source_object,
        source_sha256=archive.sha256,
        dockerfile=settings.dockerfile if (source / settings.dockerfile).is_file() else None,
        settings=settings.build,
        run_id=request.run_id,
    )


@step("check the version's tags", attempts=3, state="No build was started.")
async def check_tags(request: Request, recipes: Sequence[Recipe]) -> dict[str, str]:
    """The digest of each service that needs no build. Raises TagTaken if a version names other content."""
    return dict(found for found in await asyncio.gather(*(_known_digest(recipe) for recipe in recipes)) if found[1])


async def _known_digest(recipe: Recipe) -> tuple[str, str]:
    repository, image = recipe.package.repository, recipe.package.name
    by_version, by_content = await asyncio.gather(
        repositories.digest_of(repository, image, recipe.tag),
        repositories.digest_of(repository, image, recipe.content_tag),
    )
    return recipe.service, reusable_digest(recipe, by_version, by_content)


def reusable_digest(recipe: Recipe, by_version: str | None, by_content: str | None) -> str:
    """The digest to reuse, '' to build. A version tag that names anything but this very content is refused."""
    if by_version is None:
        return by_content or ""
    if by_version == by_content:
        return by_version
    raise TagTaken(
        f"{recipe.uri}:{recipe.tag} already exists with digest {by_version}, which was not built from this source.",
        "release this commit under a new version: git tag vX.Y.Z && git push --tags; a version is never overwritten.",
        Cause.ALREADY_EXISTS,
        state="No build was started and nothing was deployed.",
    )


@step("build", run_name="build {recipe.service}", attempts=3, timeout_s=24 * 3600, state="Nothing was deployed.")
async def build_service(request: Request, recipe: Recipe, digest: str | None) -> Image:
    """The image of one service: reused, adopted from a build under way, or built."""
    logger = get_run_logger()
    under_way = [] if digest else await builds.find_builds(request.project, request.build_region, adoptable(recipe))
    if not under_way and not digest:  # an earlier attempt may have built it meanwhile
        _, digest = await _known_digest(recipe)
    if digest:
        await repositories.create_tag(recipe.package.repository, recipe.package.name, recipe.tag, digest)
        logger.info("%s is built already: %s", recipe.service, digest)
        return Image(recipe.service, recipe.uri, digest, recipe.tag, built=False)
    if under_way:
        logger.info("%s: adopting build %s, which is under way", recipe.service, under_way[0].id)
        started = under_way[0]
    else:
        started = await _start(request, recipe)
    finished = await _follow(started, recipe, logger)
    return _image(finished, recipe)


async def _start(request: Request, recipe: Recipe) -> Build:
    source = await objects.find_object(recipe.bucket, recipe.source_object)
    if source is None:
        raise BuildFailed(
            f"The source gs://{recipe.bucket}/{recipe.source_object} is gone.",
            "start the run again; it uploads the source anew.",
        )
    recipe = replace(recipe, cache_from=await _cache(request, recipe))
    return await builds.create_build(request.project, request.build_region, build_body(recipe, source.generation))


async def _cache(request: Request, recipe: Recipe) -> str:
    """The newest earlier image of the service that still exists, by digest: every build starts on an empty machine.

    '' when there is none, when none can be looked for, and for buildpacks, which take over nothing from images.
    """
    if recipe.dockerfile is None:
        return ""
    package = recipe.package
    try:
        found = await builds.find_builds(request.project, request.build_region, earlier_builds(recipe))
        for image in earlier_images(recipe, found):
            if digest := await repositories.digest_of(package.repository, package.name, image.tag):
                return str(ImageReference(package.uri, digest=digest))
    except GoogleError as error:
        get_run_logger().warning("%s is built without a cache: %s", recipe.service, explain(error).problem)
    return ""


async def _follow(build: Build, recipe: Recipe, logger: RunLogger) -> Build:
    """Shows the build's log line by line while it runs. A run that is stopped stops its build."""
    log = LogCursor(build.log_bucket, build.log_object)
    tail: list[str] = []
    logger.info("%s: build %s, %s", recipe.service, build.id, build.log_url)
    try:
        async with asyncio.timeout(recipe.settings.timeout_s + GRACE_S):
            while not build.finished:
                await asyncio.sleep(POLL_S)
                build, lines = await asyncio.gather(builds.get_build(build.name), log.new_lines())
                tail = _show(lines, tail, recipe, logger)
    except (asyncio.CancelledError, TimeoutError):
        await builds.cancel_build(build.name)
        raise
    tail = _show(await log.new_lines(last=True), tail, recipe, logger)
    if build.status != "SUCCESS":
        raise _failure(build, recipe, "\n".join(tail))
    return build


def _show(lines: list[str], tail: list[str], recipe: Recipe, logger: RunLogger) -> list[str]:
    for line in lines:
        logger.info("%s | %s", recipe.service, redact(line))
    return (tail + lines)[-200:]


def _image(build: Build, recipe: Recipe) -> Image:
    digest = build.digests.get(f"{recipe.uri}:{recipe.tag}")
    if not digest:
        raise BuildFailed(
            f"Build {build.id} of {recipe.service} succeeded but reports no image {recipe.uri}:{recipe.tag}.",
            f"look at {build.log_url} and start the run again.",
            state="Nothing was deployed.",
        )
    return Image(recipe.service, recipe.uri, digest, recipe.tag, built=True, build_id=build.id)


def _failure(build: Build, recipe: Recipe, log: str) -> BuildFailed:
    """Names the step, its last lines and what to do."""
    where = resources.parts(build.name)
    known = Known(project=where["projects"], region=where["locations"], build=build.id)
    diagnosis = diagnose(log or build.failure or build.detail, build.steps, known)
    lines = "\n".join(f"  {line}" for line in diagnosis.last_lines)
    return BuildFailed(
        f"The build of {recipe.service} ended {build.status} in step {diagnosis.step or '?'}: "
        f"{diagnosis.headline or build.failure or build.detail}\n{lines}",
        diagnosis.remedy or f"read the log at {build.log_url}, correct the source and start the run again.",
        diagnosis.cause,
        build.log_url,
        "Nothing was deployed; live traffic is as it was.",
        diagnosis.transient,
    )
