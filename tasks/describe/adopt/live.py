"""Reads Cloud Run itself: what serves or works, and not only what was last asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access, jobs, services, worker_pools
from infra.gcp.run.members import EVERYONE
from infra.gcp.run.revisions import UNTOLD, get_revision
from infra.gcp.run.services import RunService
from infra.gcp.run.worker_pools import RunPool
from tasks.describe.adopt.seen import Kind, Seen
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError
from tasks.failures.spelling import hint
from tasks.manifest.members import is_member
from tasks.names import resources
from tasks.names.labels import MANAGED_BY

Tell = Callable[[str], None]
AT_ONCE = 10
SHOWN = 20  # names in an error
_FUNCTIONS = "goog-managed-by"  # https://cloud.google.com/run/docs/functions/comparison: of Cloud Functions, not ours


async def read_live(project: str, regions: Sequence[str], names: Sequence[str], tell: Tell) -> list[Seen]:
    """Services, jobs and worker pools of these names; or all, where no name is given. As `read_services` does it."""
    beside = [each for region in regions for each in await _beside(project, region, names)]
    others = {each.name for each in beside}
    rest = [name for name in names if name not in others]
    services = await read_services(project, regions, rest, tell, alone=not beside) if rest or not names else []
    for each in beside:
        tell(f"{each.name} in {each.region}")
    return [*services, *beside]


async def _beside(project: str, region: str, names: Sequence[str]) -> list[Seen]:
    there = await asyncio.gather(jobs.list_run_jobs(project, region), worker_pools.list_pools(project, region))
    seen = [
        Seen(job.id, region, job.body, project, notes=tuple(_owner(job.labels, job.body)), kind=Kind.JOB)
        for job in sorted(there[0], key=lambda each: each.id)
        if not names or job.id in names
    ]
    pools = [pool for pool in sorted(there[1], key=lambda each: each.id) if not names or pool.id in names]
    return [*seen, *[await _pool(project, region, pool) for pool in pools]]


async def _pool(project: str, region: str, pool: RunPool) -> Seen:
    """With the template of the revision that has most of its instances."""
    body, notes = dict(pool.body), [*_owner(pool.labels, pool.body)]
    mostly = max(pool.asked, key=lambda revision: pool.asked[revision], default="")
    if len(pool.asked) > 1:
        shares = ", ".join(f"{revision} {percent} %" for revision, percent in pool.asked.items())
        notes.append(f"Its instances are split ({shares}); this is what {mostly} has.")
    revision = await get_revision(pool.name, mostly) if mostly and mostly != pool.latest_created else None
    if revision:
        body["template"] = worker_pools.template_from(revision)
        notes.append(f"This is what works, {mostly}; the newest is {pool.latest_created}, which does not.")
    return Seen(pool.id, region, body, project, notes=tuple(notes), kind=Kind.POOL)


async def read_services(
    project: str, regions: Sequence[str], names: Sequence[str], tell: Tell, *, alone: bool = True
) -> list[Seen]:
    """By region and name; those of these names, or all where none is given. Raises GoogleError, and ParameterError
    where there is nothing to read. alone: there is nothing beside them.
    """
    turn = asyncio.Semaphore(AT_ONCE)

    async def looked_at(service: RunService) -> Seen:
        async with turn:
            seen = await _seen(project, service)
        tell(f"{seen.name} in {seen.region}")
        return seen

    found = [service for region in regions for service in await _found(project, region, names)]
    found = [each for each in found if names or _FUNCTIONS not in each.labels]
    there = {each.id for each in found}
    if missing := [name for name in names if name not in there]:
        raise await _not_there(project, regions, missing)
    if not found and alone:
        raise ParameterError(
            f"There is no Cloud Run service in {project}, {', '.join(regions)}.",
            f"name other regions with --region: gcloud run services list --project {project}",
            Cause.NOT_FOUND,
        )
    return list(await asyncio.gather(*map(looked_at, found)))


async def _found(project: str, region: str, names: Sequence[str]) -> list[RunService]:
    if not names:
        return sorted(await services.list_services(project, region), key=lambda each: each.id)
    asked = (services.get_service(resources.service(project, region, name)) for name in names)
    return [service for service in await asyncio.gather(*asked) if service]


async def _not_there(project: str, regions: Sequence[str], missing: Sequence[str]) -> ParameterError:
    listed = await asyncio.gather(*(services.list_services(project, region) for region in regions))
    known = sorted({service.id for each in listed for service in each})
    named = ", ".join(f"{name}{hint(name, known)}" for name in missing)
    return ParameterError(
        f"There is no Cloud Run service {named} in {project}, {', '.join(regions)}.",
        f"there are {', '.join(known[:SHOWN])}{', …' * (len(known) > SHOWN)}." if known else "name other regions.",
        Cause.NOT_FOUND,
    )


async def _seen(project: str, service: RunService) -> Seen:
    (body, told), (public, invokers, others) = await asyncio.gather(_serving(service), _callers(service))
    return Seen(
        service.id,
        service.region,
        body,
        project,
        public,
        invokers=invokers,
        notes=(*told, *others, *_tags(service), *_owner(service.labels, service.body)),
    )


async def _serving(service: RunService) -> tuple[dict[str, Any], list[str]]:
    """The service with the template of the revision that most requests go to, and what else there is to its traffic."""
    body, mostly, notes = dict(service.body), service.mostly, []
    if len(service.routed) > 1:
        shares = ", ".join(f"{revision} {percent} %" for revision, percent in service.routed.items())
        notes.append(f"Its traffic is split ({shares}); this is what {mostly} has.")
    if mostly and mostly != service.latest_created:
        revision = await get_revision(service.name, mostly)
        if revision:
            told = {key: value for key, value in body["template"].items() if key in UNTOLD}
            body["template"] = told | revision.configuration
            notes.append(f"This is what serves, {mostly}; the newest is {service.latest_created}, which does not.")
    return body, notes


async def _callers(service: RunService) -> tuple[bool | None, tuple[str, ...], list[str]]:
    """Whether everybody may call it, who else, and a sentence about those whom slipway.yaml cannot name."""
    try:
        members = await access.invokers(service.name)
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        return None, (), ["Who may call it could not be read (run.services.getIamPolicy); that stays as it is."]
    named = tuple(sorted(member for member in members if is_member(member)))
    others = sorted(members - {EVERYONE, *named})
    note = f"It may be called by {', '.join(others)}; that stays, and is not made anew where the service is."
    return EVERYONE in members, named, [note] if others else []


def _tags(service: RunService) -> list[str]:
    tags = [f"{each.tag} ({each.revision or 'the newest'})" for each in service.traffic if each.tag]
    ours = [tag for tag in tags if service.labels.get("managed-by") != MANAGED_BY]
    return [f"Tags of its traffic stay: {', '.join(ours)}."] if ours else []


def _owner(own: Mapping[str, str], body: Mapping[str, Any]) -> list[str]:
    """Who else changes it, as far as it tells. own: its labels."""
    labels = {**body.get("template", {}).get("labels", {}), **own}
    owner = labels.get("managed-by", "")
    if labels.get("goog-terraform-provisioned") or "terraform" in str(body.get("client", "")).lower():
        return ["Terraform made it: have it ignore the image, the revision and the traffic from now on."]
    if owner == MANAGED_BY:
        return [f"Slipway ships it already, as {labels.get('slipway-app')} in {labels.get('slipway-environment')}."]
    return [f"It says that {owner} manages it: only one should."] if owner else []
