"""The checks of preflight. Each asks Google one thing and leaves the decision to a pure function beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from infra.gcp import project, secrets
from infra.gcp.artifacts import repositories
from infra.gcp.artifacts.repositories import Repository
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import accounts, identity
from infra.gcp.project import Project
from infra.gcp.run import services
from infra.gcp.storage import buckets
from infra.gcp.storage.buckets import Bucket
from tasks.failures.errors import Cause
from tasks.failures.roles import ACT_AS, ENABLE, NEEDS, REQUIRED_APIS, Need
from tasks.manifest.values import SecretRef
from tasks.model import Gap, Missing, Place, Readiness, Request
from tasks.names import resources
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.policies import check_policies

SERVICE_LIMIT = 1000  # per project and region: https://cloud.google.com/run/quotas


@dataclass(frozen=True, slots=True)
class Check:
    """`optional`: few deployers may ask this, so not being answered is a note, not a problem."""

    name: str
    run: Callable[[Request], Awaitable[Readiness]]
    optional: bool = False


async def check_apis(request: Request) -> Readiness:
    enabled = await project.enabled_apis(request.project, REQUIRED_APIS)
    return judge_apis(request.project, set(REQUIRED_APIS) - enabled, create=request.settings.create_apis)


def judge_apis(project_id: str, missing: set[str], *, create: bool) -> Readiness:
    if create:
        return Readiness(gaps=tuple(Gap(Missing.API, api) for api in sorted(missing)))
    return merge(
        refuse(
            "apis",
            Cause.API_DISABLED,
            f"The API {api} is not enabled in project {project_id}.",
            f"gcloud services enable {api} --project={project_id}",
            f"{CONSOLE}/apis/library/{api}?project={project_id}",
        )
        for api in sorted(missing)
    )


async def check_permissions(request: Request) -> Readiness:
    needs = (*NEEDS, *((ENABLE,) if request.settings.create_apis else ()))
    wanted = {need.permission for need in (*needs, ACT_AS)}
    held, member = await asyncio.gather(project.test_permissions(request.project, wanted), _member())
    missing = [need for need in needs if need.permission not in held]
    report = judge_permissions(request.project, missing, member)
    if ACT_AS.permission in held:
        return report
    try:
        return merge([report, await _check_act_as(request, member)])
    except GoogleError:
        if report.problems:  # without these permissions the accounts cannot even be asked about
            return report
        raise


def judge_permissions(project_id: str, missing: list[Need], member: str) -> Readiness:
    """One problem per role that would bring what is missing."""
    roles: dict[str, list[Need]] = {}
    for need in missing:
        roles.setdefault(need.role, []).append(need)
    return merge(
        refuse(
            "permissions",
            Cause.PERMISSION,
            f"Missing on project {project_id}: " + ", ".join(f"{need.permission} ({need.why})" for need in needs) + ".",
            f"gcloud projects add-iam-policy-binding {project_id} --member={member} --role={role}",
            f"{CONSOLE}/iam-admin/iam?project={project_id}",
        )
        for role, needs in sorted(roles.items())
    )


async def _member() -> str:
    email = await asyncio.to_thread(identity.whoami)
    return f"serviceAccount:{email}" if email else "user:YOU"


async def _check_act_as(request: Request, member: str) -> Readiness:
    named = {request.service(name).service_account for name in request.services}
    number = (await project.get_project(request.project)).number
    emails = sorted({account or identity.compute_account(number) for account in named})
    held = await asyncio.gather(*(accounts.test_permissions(email, [ACT_AS.permission]) for email in emails))
    return merge(
        refuse(
            "permissions",
            Cause.PERMISSION,
            f"Missing on service account {email}: {ACT_AS.permission} ({ACT_AS.why}).",
            f"gcloud iam service-accounts add-iam-policy-binding {email} --project={request.project}"
            f" --member={member} --role={ACT_AS.role}",
            f"{CONSOLE}/iam-admin/serviceaccounts?project={request.project}",
        )
        for email, granted in zip(emails, held, strict=True)
        if not granted
    )


async def check_billing(request: Request) -> Readiness:
    return judge_billing(request.project, enabled=await project.billing_enabled(request.project))


def judge_billing(project_id: str, *, enabled: bool) -> Readiness:
    if enabled:
        return Readiness()
    return refuse(
        "billing",
        Cause.BILLING,
        f"Billing is not enabled for project {project_id}.",
        f"gcloud billing projects link {project_id} --billing-account=ACCOUNT_ID",
        f"{CONSOLE}/billing/linkedaccount?project={project_id}",
    )


async def check_repository(request: Request) -> Readiness:
    name = resources.repository(request.project, request.build_region, request.settings.repository)
    return judge_repository(name, await repositories.get_repository(name))


def judge_repository(name: str, found: Repository | None) -> Readiness:
    ids = resources.parts(name)
    project_id, location, short = ids["projects"], ids["locations"], ids["repositories"]
    link = f"{CONSOLE}/artifacts?project={project_id}"
    if found is None:
        return Readiness(gaps=(Gap(Missing.REPOSITORY, name),))
    if found.format != "DOCKER":
        fix = "set `repository` of the environment in slipway.yaml to the name of a Docker repository"
        return refuse("repository", Cause.INVALID_CONFIG, f"Repository {short} holds {found.format}.", fix, link)
    if not found.immutable_tags:
        where = f"--location={location} --project={project_id}"
        fix = f"gcloud artifacts repositories update {short} {where} --immutable-tags"
        problem = f"Repository {short} lets tags be moved, so a version could come to name another image."
        return refuse("repository", Cause.INVALID_CONFIG, problem, fix, link)
    return Readiness()


async def check_bucket(request: Request) -> Readiness:
    """Name squatting guard: bucket names are global, so the bucket must be shown to be this project's."""
    name = request.settings.bucket
    try:
        found, owner = await asyncio.gather(buckets.get_bucket(name), project.get_project(request.project))
    except GoogleError as error:
        if error.method.startswith("storage.") and error.status == "PERMISSION_DENIED":
            return _foreign_bucket(request, name, "it belongs to somebody else, or you may not read it")
        raise
    return judge_bucket(request, name, found, owner)


def judge_bucket(request: Request, name: str, found: Bucket | None, owner: Project) -> Readiness:
    if found is None:
        return Readiness(gaps=(Gap(Missing.BUCKET, name),))
    if found.project_number != owner.number:
        return _foreign_bucket(request, name, f"it belongs to project number {found.project_number}")
    return Readiness()


def _foreign_bucket(request: Request, name: str, why: str) -> Readiness:
    other = f"{request.project}-{request.app}-{request.run_id[:8]}"
    return refuse(
        "bucket",
        Cause.PERMISSION,
        f"The bucket gs://{name} is not project {request.project}'s: {why}. Sources and records must not go there.",
        f"set environments.{request.environment}.bucket in slipway.yaml to a free name, such as {other}; or, if it is "
        f"yours: gcloud storage buckets add-iam-policy-binding gs://{name} --member=… --role=roles/storage.admin",
        f"{CONSOLE}/storage/browser?project={request.project}",
    )


async def check_services(request: Request) -> Readiness:
    """Which services are there, and whether there is room for the others."""
    by_region = await asyncio.gather(*(services.list_services(request.project, r) for r in request.settings.regions))
    names = [{service.id for service in found} for found in by_region]
    return merge(
        judge_services(request, region, have) for region, have in zip(request.settings.regions, names, strict=True)
    )


def judge_services(request: Request, region: str, have: set[str]) -> Readiness:
    wanted = [request.run_service(Place(name, region)) for name in request.services]
    absent = [name for name in wanted if name.rsplit("/", 1)[1] not in have]
    if absent and len(have) + len(absent) > SERVICE_LIMIT:
        return refuse(
            "quota",
            Cause.QUOTA,
            f"Region {region} has {len(have)} of {SERVICE_LIMIT} Cloud Run services; {len(absent)} more do not fit.",
            f"gcloud run services list --region={region} --project={request.project}  # and delete unused ones",
            f"{CONSOLE}/iam-admin/quotas?project={request.project}&service=run.googleapis.com",
        )
    return Readiness(gaps=tuple(Gap(Missing.SERVICE, name) for name in absent))


async def check_secrets(request: Request) -> Readiness:
    wanted = {ref for name in request.services for ref in request.service(name).secrets.values()}
    return merge(judge_secret(request.project, ref) for ref in await missing_secrets(request.project, wanted))


async def missing_secrets(project_id: str, wanted: Iterable[SecretRef]) -> list[SecretRef]:
    references = sorted(wanted, key=str)
    found = await asyncio.gather(*(secrets.enabled_version(project_id, ref.name, ref.version) for ref in references))
    return [ref for ref, number in zip(references, found, strict=True) if number is None]


def judge_secret(project_id: str, reference: SecretRef) -> Readiness:
    name, version = reference.name, reference.version
    return refuse(
        "secrets",
        Cause.NOT_FOUND,
        f"Secret {name} in project {project_id} is missing or has no enabled version {version or ''}".rstrip() + ".",
        f"gcloud secrets create {name} --project={project_id} --data-file=FILE  "
        f"# or: gcloud secrets versions add {name} --project={project_id} --data-file=FILE",
        f"{CONSOLE}/security/secret-manager?project={project_id}",
    )


async def check_sources(request: Request) -> Readiness:
    return merge(judge_source(request, name, request.folder) for name in request.services)


def judge_source(request: Request, name: str, folder: Path) -> Readiness:
    service = request.service(name)
    source = folder / service.source
    if not source.is_dir():
        problem = f"The source folder {service.source} of service {name} is not in the repository."
        return refuse("build config", Cause.INVALID_CONFIG, problem, f"correct services.{name}.source in slipway.yaml")
    if not source.resolve().is_relative_to(folder.resolve()):
        problem = f"The source folder {service.source} of service {name} is a link that leads out of the repository."
        return refuse("build config", Cause.INVALID_CONFIG, problem, f"correct services.{name}.source in slipway.yaml")
    if not any(source.iterdir()):
        problem = f"The source folder {service.source} of service {name} is empty."
        return refuse("build config", Cause.INVALID_CONFIG, problem, f"commit the service's files to {service.source}")
    return Readiness()


# In the order in which their problems are to be removed: an API is not enabled without billing.
CHECKS = (
    Check("billing", check_billing, optional=True),
    Check("apis", check_apis),
    Check("permissions", check_permissions),
    Check("repository", check_repository),
    Check("bucket", check_bucket),
    Check("services", check_services),
    Check("secrets", check_secrets),
    Check("organisation policy", check_policies, optional=True),
    Check("build config", check_sources),
)
