"""The checks of preflight. Each asks Google one thing and leaves the decision to a pure function beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass

from infra.gcp import project, secrets
from infra.gcp.artifacts import repositories
from infra.gcp.artifacts.repositories import Repository
from infra.gcp.calls.errors import GoogleError
from infra.gcp.project import Project
from infra.gcp.run import regions, services
from infra.gcp.run.services import RunService
from infra.gcp.storage import buckets
from infra.gcp.storage.buckets import Bucket
from tasks.backup.databases import instances
from tasks.failures.cause import Cause
from tasks.failures.roles import BUILD, CREDENTIALS, DATABASES, MONITORING, REQUIRED_APIS, SCANS
from tasks.failures.spelling import hint
from tasks.manifest.values import SecretRef
from tasks.model import Gap, Missing, Readiness, Request
from tasks.names import resources
from tasks.names.labels import label_value
from tasks.preflight.accounts import check_accounts, check_invokers, check_prober, check_readers
from tasks.preflight.beside import check_beside
from tasks.preflight.dependencies import DEPENDENCIES, check_dependencies
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.images import CHECK as IMAGES
from tasks.preflight.images import check_images
from tasks.preflight.permissions import GONE, check_permissions
from tasks.preflight.policies import check_policies
from tasks.preflight.reach import check_reach
from tasks.preflight.sources import CHECK, check_sources
from tasks.preflight.template import check_templates

SERVICE_LIMIT = 1000  # per project and region, unless somebody had it raised: https://cloud.google.com/run/quotas


@dataclass(frozen=True, slots=True)
class Check:
    """`optional`: few deployers may ask this, so not being answered is a note, not a problem."""

    name: str
    run: Callable[[Request], Awaitable[Readiness]]
    optional: bool = False
    limit_s: float = 45.0


async def check_apis(request: Request) -> Readiness:
    required = required_apis(request)
    enabled = await project.enabled_apis(request.project, required)
    return judge_apis(request.project, required - enabled, create=request.settings.create_apis)


def required_apis(request: Request) -> set[str]:
    more = {MONITORING: bool(request.settings.steps), CREDENTIALS: bool(request.settings.prober)}
    more |= dict.fromkeys(SCANS, request.settings.scan is not None)
    more[DATABASES] = bool(request.settings.backup and instances(request, request.settings.backup))
    needless = {BUILD} if request.builds and not request.built else set()
    return {*REQUIRED_APIS, *(api for api, wanted in more.items() if wanted)} - needless


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
    if request.builds and not request.built:  # all images are built elsewhere
        return Readiness()
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


async def check_regions(request: Request) -> Readiness:
    return judge_regions(request, await regions.list_regions(request.project))


def judge_regions(request: Request, known: Collection[str]) -> Readiness:
    where = f"environments.{request.environment}.regions"
    return merge(
        refuse(
            "region",
            Cause.INVALID_CONFIG,
            f"There is no Cloud Run region {region}{hint(region, known)}.",
            f"correct {where} in slipway.yaml; gcloud run regions list --project={request.project} shows them all",
        )
        for region in request.settings.regions
        if known and region not in known
    )


async def check_services(request: Request) -> Readiness:
    """Which services are there, and whether there is room for the others."""
    regions = request.settings.regions
    try:
        by_region = await asyncio.gather(*(services.list_services(request.project, region) for region in regions))
    except GoogleError as error:
        if error.status not in GONE or error.reason == "SERVICE_DISABLED":
            raise
        return await _services_one_by_one(request)
    names = [{service.id for service in found} for found in by_region]
    judged = [judge_services(request, region, have) for region, have in zip(regions, names, strict=True)]
    return merge([*judged, *(Readiness(notes=former_names(request, found)) for found in by_region)])


def former_names(request: Request, found: Iterable[RunService]) -> tuple[str, ...]:
    """What there is to say of services that a release has made under a name which is theirs no more."""
    current = {request.run_service(place): place for place in request.places}
    by_label = {label_value(name): name for name in request.services}
    old = [
        (service, by_label[service.labels["slipway-service"]])
        for service in found
        if service.name not in current
        and request.labels.items() <= service.labels.items()
        and service.labels.get("slipway-service") in by_label
    ]
    return tuple(
        f"The Cloud Run service {service.id} in {service.region} is what {name} was before it got another name: it "
        f"stays, with its traffic and its URL. Once nobody calls it: gcloud run services delete {service.id} "
        f"--region={service.region} --project={request.project}"
        for service, name in old
    )


async def _services_one_by_one(request: Request) -> Readiness:
    """For those who may see these services alone; how many others there are, they cannot know."""
    wanted = [request.run_service(place) for place in request.places]
    found = await asyncio.gather(*(services.get_service(name) for name in wanted))
    absent = [name for name, service in zip(wanted, found, strict=True) if service is None]
    return Readiness(gaps=tuple(Gap(Missing.SERVICE, name) for name in absent))


def judge_services(request: Request, region: str, have: set[str]) -> Readiness:
    wanted = [request.run_service(request.place(name, region)) for name in request.services]
    absent = [name for name in wanted if name.rsplit("/", 1)[1] not in have]
    full = bool(absent) and len(have) + len(absent) > SERVICE_LIMIT
    note = (
        f"Region {region} has {len(have)} Cloud Run services, and {len(absent)} more are to come: unless its quota of "
        f"{SERVICE_LIMIT} was raised, Google refuses them. {CONSOLE}/iam-admin/quotas?project={request.project}"
        "&service=run.googleapis.com"
    )
    gaps = tuple(Gap(Missing.SERVICE, name) for name in absent)
    return Readiness(gaps=gaps, notes=(note,) if full else ())


async def check_secrets(request: Request) -> Readiness:
    wanted = {ref for part in request.parts for ref in part.secret_refs}
    wanted |= {ref for name in request.built for ref in request.part(name).build_secrets}
    return merge(judge_secret(request.project, ref) for ref in await missing_secrets(request.project, wanted))


async def missing_secrets(project_id: str, wanted: Iterable[SecretRef]) -> list[SecretRef]:
    references = sorted(wanted, key=str)
    found = await asyncio.gather(*(secrets.enabled_version(project_id, ref.name, ref.version) for ref in references))
    return [ref for ref, number in zip(references, found, strict=True) if number is None]


def judge_secret(project_id: str, reference: SecretRef) -> Readiness:
    (project_id, name), version = reference.place(project_id), reference.version
    return refuse(
        "secrets",
        Cause.NOT_FOUND,
        f"Secret {name} in project {project_id} is missing or has no enabled version {version or ''}".rstrip() + ".",
        f"gcloud secrets create {name} --project={project_id} --data-file=FILE  "
        f"# or: gcloud secrets versions add {name} --project={project_id} --data-file=FILE",
        f"{CONSOLE}/security/secret-manager?project={project_id}",
    )


# In the order in which their problems are to be removed: an API is not enabled without billing.
CHECKS = (
    Check("region", check_regions, optional=True),
    Check("billing", check_billing, optional=True),
    Check("apis", check_apis),
    Check("permissions", check_permissions),
    Check("service accounts", check_accounts),
    Check("invokers", check_invokers),
    Check("prober", check_prober),
    Check("repository", check_repository),
    Check("bucket", check_bucket),
    Check("services", check_services),
    Check("reach", check_reach),
    Check(DEPENDENCIES, check_dependencies, optional=True),
    Check("settings", check_templates),
    Check("settings", check_beside),
    Check("secrets", check_secrets),
    Check("secrets", check_readers),
    Check("organisation policy", check_policies, optional=True),
    Check(IMAGES, check_images),
    Check(CHECK, check_sources, limit_s=100.0),
)
