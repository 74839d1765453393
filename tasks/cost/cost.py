"""Asks Google for prices, for what is live and for what it served, and tells what the release changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp import billing, monitoring
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs, services, worker_pools
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.services import RunService
from tasks.analysis.sequential import histogram
from tasks.cost.estimate import Priced, Traffic, ceiling, floors, million, pool_floor, task_hour
from tasks.cost.limit import Estimate, change, refuse_costly, rows, warnings
from tasks.cost.prices import PriceList, price_list
from tasks.cost.shape import Shape, scaling_of, shape_of, size_of
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import CloudError, SlipwayError, TooExpensive
from tasks.manifest.settings import JobSettings, PoolSettings
from tasks.manifest.values import SecretRef
from tasks.model import Image, Override, Place, Request
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.orchestration.artifacts import table
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step
from tasks.rollout.base import base_of
from tasks.rollout.job import job_template
from tasks.rollout.pool import pool_template, pool_whole
from tasks.rollout.said import Where
from tasks.rollout.service import NEW, template_body, whole_body

TAG_LABEL = "slipway-tag"
SEEN = timedelta(hours=24)  # the traffic that an estimate goes by


async def priced(request: Request, override: Override | None = None) -> Estimate | None:
    """What the release costs, told in the run; None where the environment does not ask, or nobody can tell.

    Raises TooExpensive beyond the environment's limit, unless somebody overrides it.
    """
    settings = request.settings.cost
    if settings is None:
        return None
    try:
        estimate = await estimated(request, settings.currency)
    except SlipwayError as error:
        tell_unknown(request, error, override)
        return None
    except TimeoutError:  # of the task
        late = CloudError("Google did not tell in time.", cause=Cause.TIMEOUT, transient=Transient.YES)
        tell_unknown(request, late, override)
        return None
    await show(request, estimate)
    try:
        refuse_costly(request.environment, estimate, settings.max_floor)
    except TooExpensive as costly:
        if override is None:
            raise
        get_run_logger().warning("%s Overridden by %s", costly.problem, override)
    return estimate


def tell_unknown(request: Request, error: SlipwayError, override: Override | None) -> None:
    """A limit that nobody can hold the release to is not kept."""
    settings, logger = request.settings.cost, get_run_logger()
    if settings and settings.max_floor is not None and override is None:
        raise TooExpensive(
            f"What {request.environment} costs cannot be told: {error.problem}",
            f"{error.remedy} Or fill in `override` with your name and reason.",
            error.cause,
            error.link,
            transient=error.transient,
        ) from error
    logger.warning("what the release costs cannot be told: %s", error.problem)


async def show(request: Request, estimate: Estimate) -> None:
    logger = get_run_logger()
    now = change(estimate.floor, estimate.was, estimate.currency)
    logger.info("cost of a month without any request, before free tiers and discounts: %s", now)
    for warning in warnings(estimate):
        logger.warning("%s", warning)
    await table(request, "cost", rows(estimate), f"What {request.app} in {request.environment} costs")


@step("estimate the cost", attempts=2, timeout_s=90)
async def estimated(request: Request, currency: str) -> Estimate:
    """All of the environment: what is not released along counts as it is."""
    prices = price_list(await billing.list_skus(billing.RUN, currency), currency)
    places = [request.place(name, region) for region in request.settings.regions for name in request.manifest.services]
    pools, tasks = map(request.pool, request.manifest.worker_pools), map(request.job, request.manifest.jobs)
    parts = await all_of(
        [
            *(_service(request, place, prices) for place in places),
            *(_pool(request, each, prices) for each in pools),
            *(_job(request, each, prices) for each in tasks),
        ]
    )
    return Estimate(currency, tuple(parts))


async def _service(request: Request, place: Place, prices: PriceList) -> Priced:
    name, region = request.run_service(place), place.region
    live = await services.get_service(name)
    kept: tuple[list[Shape], list[Shape]] = ([], []) if live is None else await _kept(name, live)
    before, stay = kept
    scaling = scaling_of({} if live is None else live.whole)
    shapes, then = before, scaling
    if place.service in request.services:
        template, whole = _asked(request, place, live)
        shapes, then = [shape_of(template), *stay], scaling_of(whole)
    now, was = floors(shapes, then, prices, region), floors(before, scaling, prices, region)
    traffic = None if live is None else await _traffic(name)
    first = shapes[0] if shapes else None
    return Priced(
        f"service {place}",
        f"services.{place.service}",
        None if now is None else sum(now),
        None if was is None else sum(was),
        ceiling(first, then, prices, region) if first else None,
        million(first, traffic, prices, region) if first else None,
        traffic,
        gpu=any(shape.size.gpu for shape in shapes),
        former=sum((now or [])[1:]),
    )


async def _kept(name: str, live: RunService) -> tuple[list[Shape], list[Shape]]:
    """The revisions whose minimum of instances is kept running, the one that serves most first; and those of them that
    a release leaves so: what serves before it, which keeps a tag, and what others have put a tag on.
    """
    found = {revision.name: revision for revision in await list_revisions(name)}
    ours = {revision.labels.get(TAG_LABEL, "") for revision in found.values()}
    named = [(target.revision or live.latest_ready, target.tag) for target in live.traffic]
    shapes = {each: shape_of(found[each].configuration) for each, _ in [(live.mostly, ""), *named] if each in found}
    theirs = {each for each, tag in named if tag and tag not in ours}
    return list(shapes.values()), [shape for each, shape in shapes.items() if each in theirs | {live.mostly}]


def _asked(request: Request, place: Place, live: RunService | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The template and the whole of the service that the release will ask for, but for what is not known yet."""
    settings = request.service(place.service)
    urls = dict.fromkeys(settings.upstreams, "")
    versions = _versions(settings.secret_refs)
    base = NEW if live is None else base_of(live)
    image, where = Image(place.service, PLACEHOLDER_IMAGE, "", ""), Where(request.project, place.region)
    return template_body(settings, image, urls, versions, where, base), whole_body(settings, base)


async def _traffic(name: str) -> Traffic | None:
    """What the service served of late, in all its revisions; None where nothing, or nobody may know."""
    until = datetime.now(UTC)
    try:
        served = await monitoring.served(name, "", until - SEEN, until)
    except GoogleError as error:
        get_run_logger().info("%s: what it served of late cannot be asked for: %s", name, error)
        return None
    took = histogram(served.bounds_ms, served.buckets)
    if not served.requests or not took.total:
        return None
    mean = sum(ms * count for ms, count in zip(took.ms, took.counts, strict=True)) / took.total
    return Traffic(served.requests / SEEN.total_seconds(), mean, took.quantile(0.5), took.quantile(0.95))


async def _pool(request: Request, settings: PoolSettings, prices: PriceList) -> Priced:
    region = settings.region or request.build_region
    live = await worker_pools.get_pool(request.run_pool(settings.name))
    was = 0.0 if live is None else pool_floor(size_of(live.template), live.instances, prices, region)
    if settings.name not in request.pools:
        size, now = size_of({} if live is None else live.template), was
    else:
        image, where = Image(settings.name, PLACEHOLDER_IMAGE, "", ""), Where(request.project, region)
        size = size_of(pool_template(settings, image, _versions(settings.secret_refs), where, live))
        scaling = pool_whole(settings, live).get("scaling") or {}
        now = pool_floor(size, int(scaling.get("manualInstanceCount", 1)), prices, region)
    what = f"worker pool {settings.name} in {region}"
    return Priced(what, f"worker_pools.{settings.name}", now, was, now, gpu=size.gpu)


async def _job(request: Request, settings: JobSettings, prices: PriceList) -> Priced:
    """Nothing is paid while no task runs."""
    region = settings.region or request.build_region
    live = await jobs.get_job(request.run_job(settings.name))
    image, where = Image(settings.name, PLACEHOLDER_IMAGE, "", ""), Where(request.project, region)
    template = job_template(settings, image, _versions(settings.secret_refs), where, live)
    size = size_of(template["template"])
    hour = task_hour(size, prices, region)
    return Priced(f"job {settings.name} in {region}", f"jobs.{settings.name}", 0.0, 0.0, hour=hour, gpu=size.gpu)


def _versions(references: Iterable[SecretRef]) -> dict[SecretRef, int]:
    """The number behind each secret; any will do."""
    return {reference: reference.version or 1 for reference in references}
