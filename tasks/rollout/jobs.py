"""Deploys the jobs of a release with its services, and gives one back when that does not come about.

A job has neither revisions nor traffic: from when it is written every new execution runs the new version, while those
under way go on as they began. So it is written before the hooks, which may run it, and is given back like traffic is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import jobs
from infra.gcp.run.jobs import RunJob
from infra.gcp.run.services import FENCE
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import NOT_MOVED, CandidateFailed, TrafficConflict
from tasks.failures.explain import explain
from tasks.history.job_record import JobRecord
from tasks.history.ledger import Ledger
from tasks.model import Image, Outcome, Request, Version
from tasks.names.labels import MANAGED_BY, label_value
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step
from tasks.rollout.dark import pinned_versions
from tasks.rollout.job import desired_job, job_labels, marks_of, recorded_job, restored_job, same_job
from tasks.rollout.owed import settled

WRITE_TIMEOUT_S = 300.0
GIVE_BACK_LIMIT_S = 15.0


@stage("deploy")
async def deploy_jobs(request: Request, version: Version, images: Sequence[Image], ledger: Ledger) -> None:
    """All at once; what each was is recorded before the first of them is written."""
    image_of = images_of_jobs(request, images)
    live = await all_of([read_job(request, name) for name in request.jobs])
    known = [planned(request, name, image_of[name], job) for name, job in zip(request.jobs, live, strict=True)]
    await ledger.beside(*known)
    work = [deploy_job(request, version, image_of[each.job], each) for each in known]
    await ledger.beside(*await all_of(work))


def images_of_jobs(request: Request, images: Sequence[Image]) -> dict[str, Image]:
    """By job. CandidateFailed where a release that is shipped again has been built before the job was there."""
    by_name = {image.service: image for image in images}
    whose = {name: request.manifest.image_of(request.job(name)) for name in request.jobs}
    missing = [name for name, image in whose.items() if image not in by_name]
    if missing:
        raise CandidateFailed(
            f"This release has no image of the job {', '.join(missing)}: it was built before the job was there.",
            "ship the version with the deploy flow, which builds it.",
            Cause.NOT_FOUND,
            state=NOT_MOVED,
        )
    return {name: by_name[image] for name, image in whose.items()}


@step("look at the job", run_name="look at the job {name}", attempts=3, state=NOT_MOVED)
async def read_job(request: Request, name: str) -> RunJob | None:
    job = await jobs.get_job(request.run_job(name))
    if job is not None:
        _refuse_others(request, job)
    return job


def planned(request: Request, name: str, image: Image, live: RunJob | None) -> JobRecord:
    return JobRecord(
        job=name,
        name=request.run_job(name),
        image=image.reference,
        before=None if live is None else recorded_job(live.template),
        before_labels=dict(live.labels) if live else {},
    )


@step("deploy the job", run_name="deploy the job {known.job}", attempts=3, timeout_s=1200, state=NOT_MOVED)
async def deploy_job(request: Request, version: Version, image: Image, known: JobRecord) -> JobRecord:
    """The job with this image and configuration, ready to be run; nothing runs yet."""
    name = known.job
    live = await jobs.get_job(known.name)
    versions = await pinned_versions(request, name, request.job(name).secret_refs)
    template = desired_job(request, version, image, name, versions, live)
    labels = job_labels(request, name, template, live)
    written = await write(known.name, template, labels, live)
    get_run_logger().info("the job %s runs %s from now on", name, image.reference)
    return known.model_copy(
        update={"template": recorded_job(written.template), "labels": labels, "outcome": Outcome.LIVE}
    )


async def write(name: str, template: Mapping[str, Any], labels: Mapping[str, str], live: RunJob | None) -> RunJob:
    try:
        return await jobs.write_job(name, template, labels, live, WRITE_TIMEOUT_S)
    except GoogleError as error:
        if error.status in ("ABORTED", "ALREADY_EXISTS"):
            raise changed_meanwhile(name) from error
        raise


async def fence(live: RunJob) -> None:
    """Changes nothing but its etag, so that a write of ours that is still under way comes too late."""
    await write(live.name, live.template, {**live.labels, FENCE: secrets.token_hex(4)}, live)


def changed_meanwhile(name: str) -> TrafficConflict:
    return TrafficConflict(
        f"Somebody else changed {name} while this run was working on it.",
        "look at who changed it (gcloud run jobs describe shows the last modifier), then start the run again.",
        state="Their change was not overwritten.",
        transient=Transient.MAYBE,
    )


def _refuse_others(request: Request, job: RunJob) -> None:
    theirs = {name: job.labels.get(name, "") for name in request.labels}
    if theirs["managed-by"] == MANAGED_BY and theirs != request.labels:
        raise TrafficConflict(
            f"The Cloud Run job {job.name} is {theirs['slipway-app']}'s in {theirs['slipway-environment']}, not "
            f"{request.app}'s in {request.environment}.",
            "give the job another name in slipway.yaml, or each environment a project or a region of its own.",
            state=NOT_MOVED,
        )


async def give_job_back(known: JobRecord, run_id: str) -> JobRecord:
    """As it was before the release, unless somebody else has changed it since; how that went is in the record."""
    return await settled(known, partial(_before, known, run_id), GIVE_BACK_LIMIT_S)


async def owed_job(wanted: JobRecord) -> JobRecord:
    """What a rollback is to make of a job, and what it is now."""
    try:
        async with asyncio.timeout(GIVE_BACK_LIMIT_S):
            return from_then(wanted, await jobs.get_job(wanted.name))
    except (GoogleError, TimeoutError) as error:
        get_run_logger().warning("what %s is now cannot be read: %s", wanted, explain(error).said)
        return from_then(wanted, None).model_copy(update={"unread": True})


def from_then(wanted: JobRecord, live: RunJob | None) -> JobRecord:
    return JobRecord(
        job=wanted.job,
        name=wanted.name,
        image=wanted.image,
        before=None if live is None else recorded_job(live.template),
        before_labels=dict(live.labels) if live else {},
        template=wanted.template,
        labels=wanted.labels,
        outcome=Outcome.GIVING_BACK,
    )


async def bring_job(known: JobRecord) -> JobRecord:
    """To the template that its record wants, as a rollback does."""
    return await settled(known, partial(_wanted, known), GIVE_BACK_LIMIT_S)


async def _before(known: JobRecord, run_id: str) -> tuple[Outcome, str]:
    live = await jobs.get_job(known.name)
    if live is None:
        return Outcome.UNTOUCHED, "it is not there"
    if known.before is None and known.unread:
        if same_job(live.template, known.template):
            return Outcome.LEFT, "nobody knows what it was before: it could not be read then"
        return Outcome.UNTOUCHED, "it was not written"
    if known.before is None:
        return Outcome.LEFT, "there was none before, so it stays as the release made it; it can be deleted"
    if same_job(live.template, known.before):
        await fence(live)
        return Outcome.UNTOUCHED, "it is as it was"
    marked = live.template.get("labels", {}).get("slipway-run") == label_value(run_id)
    if not (same_job(live.template, known.template) if known.template else marked):
        return Outcome.LEFT, "somebody else has changed it since"
    return await _restore(live, known.before, known.before_labels, Outcome.TAKEN_BACK, "it is as it was before")


async def _wanted(known: JobRecord) -> tuple[Outcome, str]:
    live = await jobs.get_job(known.name)
    if live is None:
        return Outcome.LEFT, "it is gone; ship a version with the deploy flow to have it again"
    if same_job(live.template, known.template):
        return Outcome.LIVE, "it is of this release already"
    if known.before is not None and not same_job(live.template, known.before):
        return Outcome.LEFT, "somebody else, or a later release, has changed it since"
    labels = {**live.labels, **marks_of(known.template)}
    return await _restore(live, known.template, labels, Outcome.LIVE, "it is of this release again")


async def _restore(
    live: RunJob, recorded: Mapping[str, Any], labels: Mapping[str, str], done: Outcome, said: str
) -> tuple[Outcome, str]:
    template, unknown = restored_job(recorded, live.template)
    if unknown:
        return Outcome.LEFT, f"nobody knows what {', '.join(unknown)} was: ship the version again to have it so"
    await write(live.name, template, labels, live)
    return done, said
