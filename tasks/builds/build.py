"""Builds every image once: what is built already is found, what is being built is adopted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from prefect.logging import get_run_logger

from infra.gcp import builds
from infra.gcp.artifacts import repositories
from infra.gcp.builds import Build
from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.builds.archive import pack
from tasks.builds.earlier import Seen, known_digests, look, look_again
from tasks.builds.elsewhere import look_up
from tasks.builds.ignore import own_file
from tasks.builds.log import LogCursor
from tasks.builds.recipe import UNDER_WAY, Recipe, build_body
from tasks.failures.build_log import diagnose
from tasks.failures.catalogue.blanks import Known
from tasks.failures.errors import BuildFailed
from tasks.failures.explain import explain
from tasks.failures.redact import redact
from tasks.model import Image, Request, Version
from tasks.names import resources
from tasks.names.references import Package
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]
POLL_S = 0.5  # Cloud Build appends to its log about once a second; nothing goes on before its end is seen
STOP_LIMIT_S = 20.0  # a cancelled run is killed after 30 s
GRACE_S = 120.0  # beyond the build's own time-out and its time in the queue


@dataclass(frozen=True, slots=True)
class Beginning:
    """generation: of the uploaded source. looks: what was seen meanwhile, until a build takes it."""

    generation: int
    looks: list[Seen]


@stage("build")
async def build(request: Request, version: Version) -> tuple[Image, ...]:
    """All images in parallel under one version; no build starts before every tag is known to be free or ours.

    Images that are built elsewhere are looked up before.
    """
    others = [name for name in request.image_names if name not in request.built]
    found = await all_of([look_up(request, name) for name in others])
    if not request.built:
        return found
    prepared = await all_of([prepare_source(request, version, *names) for names in built_alike(request)])
    ready = await check_tags(request, [recipe for recipe, _ in prepared])
    try:
        built = await all_of([build_services(request, *each, ready) for each in prepared], stop_on_failure=True)
        return (*found, *(image for images in built for image in images))
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
        get_run_logger().error("builds of run %s may go on: %s", run_id or request.run_id, explain(error).said)
        return 0
    for build in left:
        get_run_logger().warning("cancelled build %s", build.id)
    return len(left)


def built_alike(request: Request) -> list[tuple[str, ...]]:
    """The images to build, together where one build makes all of them: the same source, built the same way."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name in request.built:
        settings = request.part(name)
        alike = (str(settings.source), settings.dockerfile, settings.build.model_dump_json())
        groups.setdefault(alike, []).append(name)
    return [tuple(names) for names in groups.values()]


@step("pack and upload the source", run_name="upload {name}", attempts=3, state="No build was started.")
async def prepare_source(request: Request, version: Version, name: str, *others: str) -> tuple[Recipe, Beginning]:
    """others: what is built like it."""
    settings = request.part(name)
    source = request.folder / str(settings.source)
    out = request.scratch / f"{name}.tar.gz"
    archive = await asyncio.to_thread(
        pack, source, out, settings.dockerfile, own_file(request.folder, source, settings.dockerfile)
    )
    where = (request.project, request.build_region, request.settings.repository)
    recipe = Recipe(
        app=request.app,
        service=name,
        package=Package(*where, name),
        also=tuple(Package(*where, other) for other in others),
        tag=version.image_tag,
        bucket=request.settings.bucket,
        source_object=f"sources/{request.app}/{name}/{archive.sha256}.tar.gz",
        source_sha256=archive.sha256,
        content_sha256=archive.content_sha256,
        dockerfile=settings.dockerfile if (source / settings.dockerfile).is_file() else None,
        settings=settings.build,
        run_id=request.run_id,
        account=request.settings.build_service_account or "",
        commit="" if version.dirty else version.commit,
    )
    (generation, sent), seen = await asyncio.gather(
        objects.upload_once(recipe.bucket, recipe.source_object, archive.path), look(request, recipe)
    )
    names, how = ", ".join((name, *others)), "uploaded" if sent else "uploaded before"
    get_run_logger().info("%s: %d files, %d bytes, %s", names, archive.files, archive.size_bytes, how)
    return recipe, Beginning(generation, [seen])


@step("check the version's tags", attempts=3, state="No build was started.")
async def check_tags(request: Request, recipes: Sequence[Recipe]) -> dict[str, str]:
    """The digest of each service that needs no build. Raises TagTaken if a version names other content."""
    found = await asyncio.gather(*map(known_digests, recipes))
    return {service: digest for digests in found for service, digest in digests.items()}


@step("build", run_name="build {recipe.service}", attempts=3, timeout_s=24 * 3600, state="Nothing was deployed.")
async def build_services(
    request: Request, recipe: Recipe, beginning: Beginning, ready: Mapping[str, str]
) -> tuple[Image, ...]:
    """The image of each service of the recipe: reused, adopted from a build under way, or built, once for all."""
    left = [package for package in recipe.packages if package.name not in ready]
    if not left:
        return await _reused(recipe, ready)
    seen, built = await _seen(request, recipe, left, beginning)
    left = [package for package in left if package.name not in built]
    images = await _reused(recipe, {**ready, **built})
    if not left:
        return images
    missing = recipe.only(left)
    if seen.under_way:
        get_run_logger().info("%s: adopting build %s, which is under way", recipe.service, seen.under_way.id)
    build = seen.under_way or await _start(request, replace(missing, cache_from=seen.cache), beginning.generation)
    finished = await _follow(build, missing, get_run_logger())
    return (*images, *(_image(finished, missing, package) for package in missing.packages))


async def _seen(
    request: Request, recipe: Recipe, left: Sequence[Package], beginning: Beginning
) -> tuple[Seen, dict[str, str]]:
    """An earlier attempt may have begun a build, and it may have ended: each but the first looks anew."""
    if beginning.looks and len(left) == len(recipe.packages):
        return beginning.looks.pop(), {}
    return await look_again(request, recipe.only(left))


async def _reused(recipe: Recipe, ready: Mapping[str, str]) -> tuple[Image, ...]:
    return await all_of([_reuse(recipe, p, ready[p.name]) for p in recipe.packages if p.name in ready])


async def _reuse(recipe: Recipe, package: Package, digest: str) -> Image:
    await repositories.create_tag(package.repository, package.name, recipe.tag, digest)
    get_run_logger().info("%s is built already: %s", package.name, digest)
    return Image(package.name, package.uri, digest, recipe.tag, built=False, source=recipe.source)


async def _start(request: Request, recipe: Recipe, generation: int) -> Build:
    return await builds.create_build(request.project, request.build_region, build_body(recipe, generation))


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


def _image(build: Build, recipe: Recipe, package: Package) -> Image:
    digest = build.digests.get(f"{package.uri}:{recipe.tag}")
    if not digest:
        raise BuildFailed(
            f"Build {build.id} of {package.name} succeeded but reports no image {package.uri}:{recipe.tag}.",
            f"look at {build.log_url} and start the run again.",
            state="Nothing was deployed.",
        )
    return Image(package.name, package.uri, digest, recipe.tag, built=True, build_id=build.id, source=recipe.source)


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
