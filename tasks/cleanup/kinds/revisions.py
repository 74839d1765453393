"""Cloud Run revisions, of the app's own services and worker pools: those to which no traffic, no instances, no tag and
no rollback lead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from infra.gcp.run import revisions
from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from infra.gcp.run.worker_pools import RunPool, WithRevisions
from tasks.cleanup.engine.model import Item, Kind
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Found, Keys, Look, Reference, ResourceKind, refuse_another
from tasks.cleanup.kinds.cloud_run import (
    REVISIONS,
    all_revisions,
    all_services,
    all_worker_pools,
    held_by,
    images_of,
    in_words,
    runs,
    sources,
)
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import label_value, owner_of

REVISION = Kind("revision")


class Revisions(ResourceKind):
    kind = REVISION
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return sources(REVISIONS, requests)

    async def list(self, look: Look) -> Found:
        """Revisions of others' services are none of ours to judge; like ours, they need what they run."""
        survey, services = await look.once(all_revisions), (await look.once(all_services)).everything
        own = {service.name: service for service in services if owner_of(service.labels, look.app) == look.app}
        pools = [
            each
            for each in (await look.once(all_worker_pools)).everything
            if owner_of(each.pool.labels, look.app) == look.app
        ]
        ours = [each for each in survey.everything if service_of(each) in own]
        ours += [each for pool in pools for each in pool.revisions]
        others = (each for each in survey.everything if service_of(each) not in own)
        environments = {
            (request.project, region): request.environment
            for request in look.requests
            for region in request.settings.regions
        }
        claims = (
            *(traffic(service, ours) for service in own.values()),
            *(instances(pool) for pool in pools),
            *(runs(each.full_name, each.template) for each in others),
            *(Claim(in_words(each.full_name), held_by(each.template)) for each in ours),
            *_undefined([*own.values(), *(each.pool for each in pools)], ours, look.requests),
        )
        return Found(
            tuple(revision_item(each, look.app, environments) for each in ours),
            claims,
            survey.listings,
            {each.full_name: images_of(each.template) for each in ours},
        )

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """Always by full name: one that is needed and not listed stops everything."""
        return lambda name: (name,)

    async def is_gone(self, key: str, names: Collection[str], holders: Collection[Item]) -> bool:
        return await _get(key) is None

    async def again(self, before: Item) -> Item | None:
        found = await _get(before.name)
        return None if found is None else replace(before, labels=found.labels, uploaded=found.created)

    async def delete(self, item: Item) -> bool:
        found = await _get(item.name)
        if found is None:
            return False
        refuse_another(item, found.created)
        return await revisions.delete_revision(*_split(item.name), found.etag, TIMEOUT_S)


def service_of(revision: Revision) -> str:
    """The full name of its service, or worker pool."""
    return _split(revision.full_name)[0]


def revision_item(found: Revision, app: str, environments: Mapping[tuple[str, str], str]) -> Item:
    """Without its etag, which its status changes, too: what it is made of never does, so its time and labels do.

    environments: by project and region.
    """
    project = resources.parts(found.full_name)["projects"]
    environment = environments.get((project, found.region), project)
    return Item(
        REVISION,
        found.full_name,
        group=f"{'worker pool ' * is_of_pool(found)}{found.service}/{environment} in {found.region}",
        owner=owner_of(found.labels, app),
        uploaded=found.created,
        labels=found.labels,
    )


def is_of_pool(revision: Revision) -> bool:
    return "workerPools" in resources.parts(revision.full_name)


def instances(there: WithRevisions) -> Claim:
    """Where a worker pool's instances are, or are to be; its newest revision, and the one that its template is of."""
    pool, routes = there.pool, dict[str, str]()
    for name in (pool.latest_created, pool.latest_ready, str(pool.template.get("revision", ""))):
        routes |= {name: "its latest revision"} if name else {}
    for split in (*pool.splits, *pool.live):
        if name := split.revision or pool.latest_ready:
            routes[name] = f"{split.percent} % of its instances"
    names = {resources.revision(pool.name, name): what for name, what in routes.items()}
    where = f"the worker pool {in_words(pool.name)}"
    if not pool.asked:  # nobody knows where they are
        return Claim(
            f"{where}, whose instances are not known", _references([each.full_name for each in there.revisions])
        )
    return Claim(f"{where}: {', '.join(dict.fromkeys(names.values()))}", _references(names), live=True)


def traffic(service: RunService, revisions: Iterable[Revision]) -> Claim:
    """Where traffic, tags and the newest revision lead. Of a service that routes nothing all revisions are in use."""
    where, routes = f"{service.id} in {service.region}", _routes(service)
    if service.routed:
        what = ", ".join(dict.fromkeys(routes.values()))
        return Claim(f"{where}: {what}", _references(routes), live=True)
    names = (each.full_name for each in revisions if service_of(each) == service.name)
    return Claim(f"{where}, whose traffic is not known", _references((*routes, *names)))


def _routes(service: RunService) -> dict[str, str]:
    """By full name of a revision, what leads to it: the most telling."""
    routes = {
        revision: "its latest revision" for revision in (service.latest_created, service.latest_ready) if revision
    }
    for target in sorted((*service.traffic, *service.live), key=lambda each: (each.percent, bool(each.tag))):
        revision = target.revision or service.latest_ready
        if revision:
            routes[revision] = f"{target.percent} % of its traffic" if target.percent else f"its tag {target.tag}"
    return {resources.revision(service.name, revision): what for revision, what in routes.items()}


def _undefined(
    own: Iterable[RunService | RunPool], revisions: Collection[Revision], requests: Sequence[Request]
) -> Iterable[Claim]:
    """The app's services in environments that this slipway.yaml lacks: nobody knows what they can go back to."""
    known = {label_value(request.environment) for request in requests}
    for service in own:
        environment = service.labels.get("slipway-environment", "")
        if environment and environment not in known:
            by = f"{in_words(service.name)}, of environment {environment}, which slipway.yaml does not define"
            yield Claim(by, _references(each.full_name for each in revisions if service_of(each) == service.name))


def _references(names: Iterable[str]) -> tuple[Reference, ...]:
    return tuple(Reference(REVISION, name) for name in names)


async def _get(name: str) -> Revision | None:
    return await revisions.get_revision(*_split(name))


def _split(name: str) -> tuple[str, str]:
    """(full name of the service or pool, short name of the revision)"""
    service, _, revision = name.partition("/revisions/")
    return service, revision
