"""Preflight of provisioning: Terraform, the bucket of its state, permissions, and the services behind the gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Collection

from prefect.logging import get_run_logger

from infra.gcp import project
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import identity
from infra.gcp.run import services
from infra.gcp.run.services import RunService
from infra.gcp.storage import buckets
from infra.terraform.bundle import Bundle, BundleFailed, find_bundle, terraform_platform
from tasks.failures.catalogue.blanks import Known
from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.failures.explain import explain
from tasks.manifest.openapi import filled, read_openapi, services_in
from tasks.manifest.provision import Provision
from tasks.model import Gap, Missing, Problem, Readiness, Request
from tasks.orchestration.step import step
from tasks.preflight.checks import check_bucket
from tasks.preflight.create import create
from tasks.preflight.findings import merge, refuse
from tasks.preflight.permissions import GONE, judge_permissions
from tasks.preflight.preflight import failure
from tasks.provision.guard import check_fresh
from tasks.provision.needs import STATE, needed
from tasks.provision.site import Site, work_of
from tasks.provision.wanted import Wanted

VERSIONS_KEPT_DAYS = 7  # of the state: as long as what is deleted can be restored by default


@step("preflight", timeout_s=120)
async def get_ready(
    request: Request, *, makes: bool = True, only_plans: bool = False, fresh: Collection[str] = ()
) -> Site:
    """Raises ManifestError, ParameterError or PreflightFailed with every problem found.

    makes: whether anything is to be made, which needs the gateway's file, the services behind it, and a bucket for the
    state, which is made if there is none; not by a run that only plans. fresh: what is to be made anew.
    """
    provision = said(request)
    check_fresh(provision, fresh)
    text = read_openapi(request.folder, provision.gateway.openapi) if provision.gateway and makes else ""
    wanted = Wanted(request.app, request.environment, request.settings, provision)
    found = await asyncio.gather(
        _terraform(),
        _guarded(request, "permissions", _permissions(wanted, removes=not makes)),
        _guarded(request, "bucket", check_bucket(request)),
    )
    readiness = merge(found)
    urls, unknown = await _urls(request, services_in(text, request.manifest.services))
    if put_off := tuple(each.problem for each in unknown) if provision.before_deploy else ():
        get_run_logger().warning("without the gateway for now, which the next run makes: %s", " ".join(put_off))
        provision, text, unknown = provision.model_copy(update={"gateway": None}), "", ()
    problems = (*readiness.problems, *unknown)
    if problems:
        raise failure(request, problems)
    is_new = await _has_no_bucket(request, readiness, makes=makes and not only_plans)
    openapi = filled(text, urls) if text else b""
    filled_in = Wanted(request.app, request.environment, request.settings, provision, openapi)
    work = await work_of(request, provision.timeouts, _bundle())
    return Site(request, filled_in, work, is_new=is_new, put_off=bool(put_off))


async def site_of(request: Request) -> Site:
    """Without a look at anything: enough to find what was made."""
    provision = said(request)
    wanted = Wanted(request.app, request.environment, request.settings, provision)
    return Site(request, wanted, await work_of(request, provision.timeouts, _bundle()))


def said(request: Request) -> Provision:
    """Raises ManifestError where the environment says nothing of it."""
    if request.settings.provision is None:
        raise ManifestError(
            f"environments.{request.environment} has no provision: there is nothing to make with Terraform.",
            "say in slipway.yaml what is to be made; `provision` in its reference tells what can be.",
        )
    return request.settings.provision


async def _terraform() -> Readiness:
    """Whether it is installed, new enough, and finds its providers."""
    try:
        await asyncio.to_thread(terraform_platform, os.environ)
        _bundle()
    except BundleFailed as error:
        return refuse("terraform", Cause.NOT_FOUND, str(error), error.remedy)
    return Readiness()


def _bundle() -> Bundle:
    return find_bundle(os.environ)


async def _permissions(wanted: Wanted, *, removes: bool) -> Readiness:
    needs = needed(wanted, removes=removes)
    held, member = await asyncio.gather(
        project.test_permissions(wanted.project, {need.permission for need in needs}), identity.member()
    )
    missing = [need for need in needs if need.permission not in held]
    own = {need.permission for need in missing if need in STATE}
    held = await _on_the_bucket(wanted.settings.bucket, own) if own else set()
    return judge_permissions(wanted.project, [need for need in missing if need.permission not in held], member)


async def _on_the_bucket(bucket: str, permissions: set[str]) -> set[str]:
    """Whoever may write the state's bucket alone needs no role in the project for that."""
    try:
        return await buckets.test_permissions(bucket, permissions)
    except GoogleError as error:
        if error.status in GONE:
            return set()
        raise


async def _guarded(request: Request, check: str, work: Awaitable[Readiness]) -> Readiness:
    try:
        return await work
    except (GoogleError, TimeoutError) as error:
        said_of_it = explain(error, Known(project=request.project))
        text = f"Could not be checked: {said_of_it.problem}"
        return refuse(check, said_of_it.cause, text, said_of_it.remedy, said_of_it.link)


async def _urls(request: Request, wanted: dict[str, str]) -> tuple[dict[str, str], tuple[Problem, ...]]:
    """By variable: the URL of each service behind the gateway, in the environment's first region."""
    places = {blank: request.place(name, request.build_region) for blank, name in wanted.items()}
    found = await asyncio.gather(*(_service(request.run_service(place)) for place in places.values()))
    urls = {blank: service.uri for blank, service in zip(places, found, strict=True) if service is not None}
    missing = merge(
        refuse(
            "gateway",
            Cause.NOT_FOUND,
            f"The gateway is to call service {place.service}, which is not in {place.region} yet.",
            f"slipway deploy --environment {request.environment}  # and provision afterwards",
        )
        for blank, place in places.items()
        if blank not in urls
    )
    return urls, missing.problems


async def _service(name: str) -> RunService | None:
    """None also where Cloud Run is not enabled yet, which a deploy sees to."""
    try:
        return await services.get_service(name)
    except GoogleError as error:
        if error.reason == "SERVICE_DISABLED":
            return None
        raise


async def _has_no_bucket(request: Request, readiness: Readiness, *, makes: bool) -> bool:
    """Whether there is none for the state, which may be made, and is to keep earlier versions then."""
    lacks, bucket = bool(readiness.gaps), request.settings.bucket
    if makes:
        if lacks:
            await create(request, Gap(Missing.BUCKET, bucket))
        await buckets.keep_versions(bucket, VERSIONS_KEPT_DAYS)
        lacks = False
    where = "is empty: there is no bucket for it yet" if lacks else f"is in gs://{bucket}"
    get_run_logger().info("preflight: ready; the state %s", where)
    return lacks
