"""Which permissions are missing: asked on the project first, and then where else they may be held.

Whoever has a role on single services, the repository, the bucket and the secrets only is let through like one who has
it on the project, and nothing is demanded that this run does not need.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from infra.gcp import project, secrets
from infra.gcp.artifacts import repositories
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import identity
from infra.gcp.run import access, jobs, services, worker_pools
from infra.gcp.storage import buckets
from tasks.backup.databases import instances
from tasks.failures.cause import Cause
from tasks.failures.roles import ENABLE, KEEP, KEEP_DATABASES, LOOK_INTO, NEEDS, WATCH, Need, On, When
from tasks.manifest.scan import Scan
from tasks.manifest.settings import ServiceSettings
from tasks.model import Place, Readiness, Request
from tasks.names import resources
from tasks.preflight.findings import CONSOLE, merge, refuse

T = TypeVar("T")
UNSEEN = object()
GONE = ("PERMISSION_DENIED", "NOT_FOUND")


@dataclass(frozen=True, slots=True)
class Held:
    """What we may do on one thing. `there`: None where we may not even see that."""

    on: On
    name: str  # its full name
    permissions: frozenset[str]
    there: bool | None = True


async def check_permissions(request: Request) -> Readiness:
    needs = needed(request)
    asked = {need.permission for need in needs}
    try:
        held, member = await asyncio.gather(project.test_permissions(request.project, asked), identity.member())
    except GoogleError as error:
        if error.status in GONE and not error.reason.endswith("DISABLED"):
            return await no_project(request)
        raise
    missing = [need for need in needs if need.permission not in held]
    if all(need.when is When.HELPFUL for need in missing):
        return judge_permissions(request.project, missing, member)
    things = await asyncio.gather(*_things(request, missing))
    opening, asking = await _to_open_or_ask(request, {need.when for need in missing})
    idle = ({When.OPENING} if not opening else set()) | ({When.ASKING} if not asking else set())
    return judge_permissions(request.project, still_missing(missing, things, idle), member)


def needed(request: Request) -> tuple[Need, ...]:
    """What a run like this may need, as slipway.yaml tells."""
    settings, chosen = request.settings, [request.service(name) for name in request.services]
    left_out: set[When] = set()
    if not settings.steps:
        left_out.add(When.CANARY)
    if not any(service.public or service.invokers or said_whether_checked(service) for service in chosen):
        left_out.add(When.OPENING)
    if settings.prober:
        left_out.add(When.ASKING)  # it is the prober who must be let in
    idle = set() if any(part.secret_refs for part in request.parts) else {On.SECRET}
    idle |= set() if request.jobs else {On.JOB}
    idle |= set() if request.pools else {On.POOL}
    needs = [need for need in NEEDS if need.when not in left_out and need.on not in idle]
    if request.builds and not request.built:  # all images are built elsewhere
        needs = [
            each for each in needs if each.on is not On.REPOSITORY and not each.permission.startswith("cloudbuild.")
        ]
    if request.pools:  # without it nothing would tell how their instances fare
        needs = [*(each for each in needs if each.permission != WATCH.permission), WATCH]
    more = (*_to_look_into(settings.scan), *_to_keep(request))
    needs = [each for each in needs if each.permission not in {other.permission for other in more}]
    return (*needs, *more, *((ENABLE,) if settings.create_apis else ()))


def _to_look_into(rules: Scan | None) -> list[Need]:
    """The images: what slipway.yaml lets the run do without is helpful only."""
    if rules is None:
        return []
    must = rules.unknown == "refuse" or "require" in (rules.sbom, rules.provenance)
    return [LOOK_INTO if must else replace(LOOK_INTO, when=When.HELPFUL)]


def _to_keep(request: Request) -> list[Need]:
    """What is kept before a release."""
    rules = request.settings.backup
    if rules is None:
        return []
    own = any(name.split("/")[1] == request.project for name in instances(request, rules))
    return [*(KEEP if rules.configuration else ()), *(KEEP_DATABASES if own else ())]


def still_missing(missing: Iterable[Need], things: Sequence[Held], idle: Collection[When] = ()) -> list[Need]:
    """What is not held on the project either, where the run comes to need it.

    idle: what this run turns out not to have to do.
    """
    return [need for need in missing if need.when not in idle and not _held(need, things)]


def _held(need: Need, things: Sequence[Held]) -> bool:
    own = [thing for thing in things if thing.on is need.on]
    if need.when is When.ABSENT:  # whatever is not there yet is created in the project
        return bool(own) and all(thing.there for thing in own)
    return bool(own) and all(need.permission in thing.permissions for thing in own)


def judge_permissions(project_id: str, missing: Sequence[Need], member: str) -> Readiness:
    """One problem per role that would bring what is missing; what the run can do without is a note."""
    roles: dict[str, list[Need]] = {}
    for need in missing:
        if need.when is not When.HELPFUL:
            roles.setdefault(need.role, []).append(need)
    notes = [f"Without {need.permission} on project {project_id} the run does not {need.why}." for need in missing
             if need.when is When.HELPFUL]  # fmt: skip
    problems = [
        refuse(
            "permissions",
            Cause.PERMISSION,
            f"Missing on project {project_id}: " + ", ".join(f"{need.permission} ({need.why})" for need in needs) + ".",
            f"gcloud projects add-iam-policy-binding {project_id} --member={member} --role={role}",
            f"{CONSOLE}/iam-admin/iam?project={project_id}",
        )
        for role, needs in sorted(roles.items())
    ]
    return merge([*problems, Readiness(notes=tuple(notes))])


async def no_project(request: Request) -> Readiness:
    """Google says the same of a project that is not there and of one that is somebody else's."""
    member = await identity.member()
    return refuse(
        "project",
        Cause.NOT_FOUND,
        f"There is no project {request.project}, or {member} may not see it.",
        f"correct environments.{request.environment}.project in slipway.yaml; gcloud projects list shows yours",
        f"{CONSOLE}/home/dashboard?project={request.project}",
    )


def _things(request: Request, missing: Sequence[Need]) -> list[Awaitable[Held]]:
    """Each thing on which one of these permissions may be held."""
    wanted: Mapping[On, list[str]] = {on: [need.permission for need in missing if need.on is on] for on in On}
    found: list[Awaitable[Held]] = []
    if wanted[On.SERVICE]:
        for name in map(request.run_service, request.places):
            test = access.test_permissions(name, wanted[On.SERVICE])
            found.append(_look(On.SERVICE, name, test, services.get_service(name)))
    if wanted[On.JOB]:
        names = [request.run_job(name) for name in request.jobs]
        found += [_look(On.JOB, n, jobs.test_permissions(n, wanted[On.JOB]), jobs.get_job(n)) for n in names]
    if wanted[On.POOL]:
        names = [request.run_pool(name) for name in request.pools]
        tested = ((n, worker_pools.test_permissions(n, wanted[On.POOL])) for n in names)
        found += [_look(On.POOL, n, test, worker_pools.get_pool(n)) for n, test in tested]
    if wanted[On.REPOSITORY]:
        name = resources.repository(request.project, request.build_region, request.settings.repository)
        test = repositories.test_permissions(name, wanted[On.REPOSITORY])
        found.append(_look(On.REPOSITORY, name, test, repositories.get_repository(name)))
    if wanted[On.BUCKET]:
        name = request.settings.bucket
        found.append(
            _look(On.BUCKET, name, buckets.test_permissions(name, wanted[On.BUCKET]), buckets.get_bucket(name))
        )
    if wanted[On.SECRET]:
        for name in sorted({ref.name for part in request.parts for ref in part.secret_refs}):
            test = secrets.test_permissions(request.project, name, wanted[On.SECRET])
            found.append(_look(On.SECRET, name, test, secrets.enabled_version(request.project, name)))
    return found


async def _look(on: On, name: str, test: Awaitable[set[str]], read: Awaitable[object]) -> Held:
    permissions, found = await asyncio.gather(_unless_refused(test, set()), _unless_refused(read, UNSEEN))
    return Held(on, name, frozenset(permissions), None if found is UNSEEN else found is not None)


async def _unless_refused(asked: Awaitable[T], otherwise: T) -> T:
    """Nothing may be done on what is not there or not shown to us, or with an API that is off."""
    try:
        return await asked
    except GoogleError as error:
        if error.status in GONE:
            return otherwise
        raise


async def _to_open_or_ask(request: Request, missing: Collection[When]) -> tuple[bool, bool]:
    """Whether who may call is to change, and whether a service cannot be asked by everybody."""
    if not {When.OPENING, When.ASKING} & set(missing):
        return True, True
    places = request.places
    public = await asyncio.gather(*(is_open(request.run_service(place)) for place in places))
    closed = [place for place, yes in zip(places, public, strict=True) if not yes]
    own = bool(await identity.whoami())
    opens = any(request.service(place.service).public for place in closed)
    changing = (change(request, place) for place in places for change in (_lets_in, _checks_otherwise))
    lets_in = opens or any(await asyncio.gather(*changing))
    return lets_in, own and bool(closed)


async def _lets_in(request: Request, place: Place) -> bool:
    """Whether slipway.yaml lets somebody in by name whom the service's policy does not."""
    wanted = set(request.service(place.service).invokers)
    nobody: frozenset[str] = frozenset()
    return bool(wanted) and not wanted <= await _unless_refused(access.invokers(request.run_service(place)), nobody)


async def _checks_otherwise(request: Request, place: Place) -> bool:
    """Whether slipway.yaml has Cloud Run check the right of callers, or not, otherwise than it does by now.

    https://cloud.google.com/run/docs/authenticating/public#required_roles
    """
    service = request.service(place.service)
    if not said_whether_checked(service):
        return False
    found = await _unless_refused(services.get_service(request.run_service(place)), None)
    return service.invoker_iam_check == (found is not None and found.unchecked)


def said_whether_checked(service: ServiceSettings) -> bool:
    return "invoker_iam_check" in service.model_fields_set


async def is_open(service: str) -> bool:
    """Whether everybody may call it, by its policy or because it asks nobody who they are.

    No for one that is not there or that we may not ask about.
    """
    public, found = await asyncio.gather(
        _unless_refused(access.is_public(service), False), _unless_refused(services.get_service(service), None)
    )
    return public or (found is not None and found.unchecked)
