"""Whether Google takes the jobs and worker pools as slipway.yaml describes them: asked before anything is built."""

from __future__ import annotations

import asyncio
from typing import Any

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs, worker_pools
from infra.gcp.run.jobs import RunJob
from infra.gcp.run.worker_pools import RunPool
from tasks.failures.catalogue.blanks import Known
from tasks.manifest.settings import JobSettings, PoolSettings, called, place_of
from tasks.model import Image, Readiness, Request
from tasks.names.references import PLACEHOLDER_IMAGE
from tasks.preflight.findings import merge
from tasks.preflight.template import REFUSED, judge_refusal
from tasks.rollout.job import job_template
from tasks.rollout.pool import pool_template, pool_whole
from tasks.rollout.said import Where


async def check_beside(request: Request) -> Readiness:
    return merge(await asyncio.gather(*(_check(request, part) for part in request.beside)))


async def _check(request: Request, part: JobSettings | PoolSettings) -> Readiness:
    try:
        await (_ask_pool(request, part) if isinstance(part, PoolSettings) else _ask_job(request, part))
    except GoogleError as error:
        if error.status in REFUSED:
            known = Known(project=request.project, region=part.region or request.build_region)
            return judge_refusal(request, error, known, f"the {called(part)}", ".".join(place_of(part)))
        return Readiness(notes=(f"Google could not be asked whether it takes the {called(part)}: {error.status}.",))
    return Readiness()


async def _ask_job(request: Request, job: JobSettings) -> None:
    full = request.run_job(job.name)
    live = await jobs.get_job(full)
    await jobs.validate_job(full, asked_for(request, job.name, live), request.labels, live)


async def _ask_pool(request: Request, pool: PoolSettings) -> None:
    full = request.run_pool(pool.name)
    live = await worker_pools.get_pool(full)
    await worker_pools.validate_pool(full, pool_asked_for(request, pool, live), live)


def pool_asked_for(request: Request, pool: PoolSettings, live: RunPool | None) -> dict[str, Any]:
    """The same of a worker pool."""
    where = Where(request.project, pool.region or request.build_region)
    versions = {reference: reference.version or 1 for reference in pool.secret_refs}
    image = Image(pool.name, PLACEHOLDER_IMAGE, "", "")
    template = pool_template(pool, image, versions, where, live)
    whole = pool_whole(pool, live)
    return {
        "template": _with_placeholder(template, image),
        **whole,
        "labels": {**whole.get("labels", {}), **request.labels},
    }


def _with_placeholder(task: dict[str, Any], image: Image) -> dict[str, Any]:
    containers = [
        {**each, "image": PLACEHOLDER_IMAGE} if each.get("image") == image.reference else each
        for each in task["containers"]
    ]
    return {**task, "containers": containers}


def asked_for(request: Request, name: str, live: RunJob | None) -> dict[str, Any]:
    """What a release writes over what is there, with an image that exists and what is not known yet made up."""
    settings = request.job(name)
    versions = {reference: reference.version or 1 for reference in settings.secret_refs}
    where = Where(request.project, settings.region or request.build_region)
    image = Image(name, PLACEHOLDER_IMAGE, "", "")
    template = job_template(settings, image, versions, where, live)
    return {**template, "template": _with_placeholder(template["template"], image)}
