"""What runs on Cloud Run, and what that needs: everything in every region, as images are needed everywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from infra.gcp.run import instances, jobs, regions, revisions, services, worker_pools
from infra.gcp.run.revisions import Revision
from infra.gcp.run.templates import Template, Workload
from tasks.cleanup.engine.model import Listing
from tasks.cleanup.kinds.adapter import Claim, Consumer, Found, Look, Reference
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.failures.roles import Need
from tasks.history.record import State
from tasks.model import Outcome, Request
from tasks.names import resources
from tasks.names.labels import owner_of

T = TypeVar("T")
Where = tuple[str, str]  # project, region
SERVICES, REVISIONS = "Cloud Run services", "Cloud Run revisions"
JOBS, WORKER_POOLS = "Cloud Run jobs", "Cloud Run worker pools"
EXECUTIONS, INSTANCES = "Cloud Run executions", "Cloud Run instances"


@dataclass(frozen=True, slots=True)
class Survey(Generic[T]):
    """All of one sort."""

    found: Mapping[Where, Sequence[T]]
    listings: tuple[Listing, ...]

    @property
    def everything(self) -> tuple[T, ...]:
        return tuple(each for some in self.found.values() for each in some)


def sources(label: str, requests: Iterable[Request]) -> Iterable[str]:
    """Where the environments are, something must have been asked."""
    return (_source(label, where) for where in _required(requests))


def runs(name: str, template: Template) -> Claim:
    """What the workload of this full name needs."""
    return Claim(in_words(name), (*images_of(template), *held_by(template)))


def in_words(name: str) -> str:
    """Of a full name: "api in europe-west1"."""
    return f"{resources.last(name)} in {resources.parts(name)['locations']}"


def images_of(template: Template) -> tuple[Reference, ...]:
    return tuple(Reference(IMAGE, image) for image in template.images)


def held_by(template: Template) -> tuple[Reference, ...]:
    """The account that something runs as, and the buckets that it mounts."""
    accounts = (Reference(SERVICE_ACCOUNT, account) for account in (template.account,) if account)
    return (*accounts, *(Reference(BUCKET, bucket) for bucket in template.buckets))


async def all_services(look: Look) -> Survey[services.RunService]:
    """At least as many as the newest releases made live; later in a run, as many as that leaves."""
    before = await look.earlier.once(all_services) if look.earlier else None
    floors = staying(before, look.going) if before else _released(look)
    survey = await _survey(look, SERVICES, services.list_services, floors)
    return replace(survey, listings=(*(await look.once(_places))[1], *survey.listings))


async def all_revisions(look: Look) -> Survey[Revision]:
    """At least one for each service."""
    there = await look.once(all_services)
    return await _survey(look, REVISIONS, _list_revisions, {where: len(found) for where, found in there.found.items()})


async def all_jobs(look: Look) -> Survey[Workload]:
    before = await look.earlier.once(all_jobs) if look.earlier else None
    return await _survey(look, JOBS, jobs.list_jobs, not_suddenly_none(before))


async def all_worker_pools(look: Look) -> Survey[worker_pools.WithRevisions]:
    before = await look.earlier.once(all_worker_pools) if look.earlier else None
    return await _survey(look, WORKER_POOLS, worker_pools.list_worker_pools, not_suddenly_none(before))


async def all_executions(look: Look) -> Survey[Workload]:
    """They come and go: none where there was one is no surprise. Only jobs have any."""
    there = (await look.once(all_jobs)).found
    return await _survey(look, EXECUTIONS, jobs.list_executions, {}, [where for where, found in there.items() if found])


async def all_instances(look: Look) -> Survey[Workload]:
    return await _survey(look, INSTANCES, instances.list_instances, {})


def staying(before: Survey[services.RunService], going: Collection[str]) -> Mapping[Where, int]:
    """How many services must still be there when those in `going`, by name, are gone."""
    return {where: sum(each.name not in going for each in found) for where, found in before.found.items()}


def not_suddenly_none(before: Survey[T] | None) -> Mapping[Where, int]:
    """Where there was something earlier in this run there must be something still."""
    return {where: min(len(found), 1) for where, found in before.found.items()} if before else {}


class Jobs(Consumer):
    needs = (Need("run.jobs.list", "roles/run.admin", "see which images jobs need"),)
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(JOBS, requests)

    async def list(self, look: Look) -> Found:
        return _consuming(await look.once(all_jobs))


class WorkerPools(Consumer):
    needs = (Need("run.workerpools.list", "roles/run.admin", "see which images worker pools need"),)
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(WORKER_POOLS, requests)

    async def list(self, look: Look) -> Found:
        """What revisions of ours need is said where they are listed."""
        survey = await look.once(all_worker_pools)
        pools = (runs(each.name, each.needs) for each in survey.everything)
        others = (each for each in survey.everything if owner_of(each.pool.labels, look.app) != look.app)
        revisions = (runs(each.full_name, each.template) for pool in others for each in pool.revisions)
        return Found(claims=(*pools, *revisions), listings=survey.listings)


class Executions(Consumer):
    needs = (Need("run.executions.list", "roles/run.admin", "see which images running executions need"),)
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return ()

    async def list(self, look: Look) -> Found:
        return _consuming(await look.once(all_executions))


class Instances(Consumer):
    needs = (Need("run.instances.list", "roles/run.admin", "see which images instances need"),)
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(INSTANCES, requests)

    async def list(self, look: Look) -> Found:
        return _consuming(await look.once(all_instances))


def _consuming(survey: Survey[Workload]) -> Found:
    return Found(claims=tuple(runs(each.name, each.template) for each in survey.everything), listings=survey.listings)


async def _survey(
    look: Look,
    label: str,
    lister: Callable[[str, str], Awaitable[Sequence[T]]],
    floors: Mapping[Where, int],
    only: Sequence[Where] | None = None,
) -> Survey[T]:
    places = (await look.once(_places))[0] if only is None else only

    async def ask(where: Where) -> tuple[Sequence[T], Listing]:
        return await look.listed(_source(label, where), lister, *where, floor=floors.get(where, 0))

    answers = await asyncio.gather(*(ask(where) for where in places))
    found = {where: things for where, (things, _) in zip(places, answers, strict=True)}
    return Survey(found, tuple(listing for _, listing in answers))


async def _places(look: Look) -> tuple[tuple[Where, ...], tuple[Listing, ...]]:
    """Every region that Cloud Run has; later in a run the same: something may have come to an empty one."""
    if look.earlier:
        return (await look.earlier.once(_places))[0], ()
    required = _required(look.requests)
    answers = await asyncio.gather(
        *(look.listed(f"Cloud Run regions of {each}", regions.list_regions, each, floor=1) for each in look.projects)
    )
    everywhere = (
        (project, region) for project, (regions, _) in zip(look.projects, answers, strict=True) for region in regions
    )
    return tuple(dict.fromkeys((*required, *everywhere))), tuple(listing for _, listing in answers)


async def _list_revisions(project: str, region: str) -> Sequence[Revision]:
    return await revisions.list_revisions(f"projects/{project}/locations/{region}/services/-")


def _released(look: Look) -> Mapping[Where, int]:
    """How many services the newest release of each environment made live."""
    floors: Counter[Where] = Counter()
    for request in look.requests:
        records = look.histories[request.environment].records
        newest = next((each for each in records if each.state is State.RELEASED), None)
        if newest:
            live = (target for target in newest.targets if target.outcome is Outcome.LIVE)
            floors.update((request.project, target.region) for target in live)
    return floors


def _required(requests: Iterable[Request]) -> tuple[Where, ...]:
    return tuple(
        dict.fromkeys((request.project, region) for request in requests for region in request.settings.regions)
    )


def _source(label: str, where: Where) -> str:
    project, region = where
    return f"{label} in {project}, {region}"
