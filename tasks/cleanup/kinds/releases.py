"""The release history, which needs what one can go back to, and what a release under way is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from tasks.cleanup.kinds.adapter import Claim, Consumer, Found, History, Look, Reference, listed
from tasks.cleanup.kinds.cloud_run import all_services
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.revisions import REVISION
from tasks.history.record import ReleaseRecord, TargetRecord, good
from tasks.history.store import OPEN_AMONG, read_history
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import label_value, owner_of
from tasks.release.target import jobs_as_they_were, pools_as_they_were, served_with


async def read_histories(requests: Sequence[Request], clock: Callable[[], datetime]) -> Mapping[str, History]:
    """By environment. One that cannot be read is said in its listing."""
    answers = await asyncio.gather(
        *(
            listed(clock, _source(each), read_history, each.settings.bucket, each.app, each.environment)
            for each in requests
        )
    )
    return {request.environment: History(*answer) for request, answer in zip(requests, answers, strict=True)}


class Releases(Consumer):
    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (_source(request) for request in requests)

    async def list(self, look: Look) -> Found:
        """An environment that has services of ours has a history."""
        services = (await look.once(all_services)).everything
        ours = (each.labels for each in services if owner_of(each.labels, look.app) == look.app)
        released = {labels.get("slipway-environment") for labels in ours}
        listings = (
            replace(look.histories[each.environment].listing, floor=int(label_value(each.environment) in released))
            for each in look.requests
        )
        claims = (
            claim
            for request in look.requests
            for claim in claims_of(
                request, look.histories[request.environment].records, request.manifest.retention.keep
            )
        )
        return Found(claims=tuple(claims), listings=tuple(listings))


def protected_releases(history: Sequence[ReleaseRecord], keep: int) -> list[ReleaseRecord]:
    """The newest `keep` good releases, and all that are open still; `history` is newest first."""
    return [*good(history)[:keep], *(record for record in history[:OPEN_AMONG] if record.is_open)]


def claims_of(request: Request, history: Sequence[ReleaseRecord], keep: int) -> Iterable[Claim]:
    """One per protected release: its revisions and images; of an open one also all that it may go back to."""
    for record in protected_releases(history, keep):
        served = _targets(record, history)
        revisions = (
            *(_revision(request, target, target.revision) for target in served if target.revision),
            *(
                _revision(request, target, name)
                for target in record.targets
                for name in ((target.serving, *dict(target.before)) if record.is_open else ())
                if name
            ),
        )
        before = (
            Reference(REVISION, resources.revision(pool.name, name))
            for pool in record.pools
            for name in ((pool.stands_for, *dict(pool.before)) if record.is_open else ())
            if name
        )
        images = {
            *record.images.values(),
            *(target.image for target in served),
            *_of_beside(record),
            *(job.image for job in jobs_as_they_were(history, record)),
        } - {""}
        doing = "not ended" if record.is_open else "a rollback may go back to it"
        yield Claim(
            f"release {record.version} in {record.environment}: {doing}",
            (
                *dict.fromkeys((*revisions, *_of_pools(record, history), *before)),
                *(Reference(IMAGE, image) for image in sorted(images)),
            ),
        )


def rollback_needs(request: Request, history: Sequence[ReleaseRecord], keep: int) -> Iterable[Reference]:
    """What going back to each of the protected releases needs: nothing of services that slipway.yaml has no more."""
    for record in protected_releases(history, keep):
        for target in (each for each in _targets(record, history) if each.place in request.places):
            if target.revision:
                yield _revision(request, target, target.revision)
            if target.image:
                yield Reference(IMAGE, target.image)
        yield from _of_pools(record, history)
        yield from (Reference(IMAGE, image) for image in _of_beside(record))


def _targets(record: ReleaseRecord, history: Sequence[ReleaseRecord]) -> tuple[TargetRecord, ...]:
    """What it has brought, and what served then of the services that it has not: a rollback brings them, too."""
    own = {target.place for target in record.targets}
    others = (target for place, target in served_with(history, record).items() if place not in own)
    return (*record.targets, *others)


def _of_pools(record: ReleaseRecord, history: Sequence[ReleaseRecord]) -> Iterable[Reference]:
    """The revisions of its worker pools, and of those that it had not brought itself: a rollback brings them, too."""
    for pool in (*record.pools, *pools_as_they_were(history, record)):
        if pool.revision:
            yield Reference(REVISION, resources.revision(pool.name, pool.revision))


def _of_beside(record: ReleaseRecord) -> list[str]:
    """The images of its jobs and worker pools; while it is open also of what jobs were before."""
    found = [each.image for each in record.beside if each.image]
    before = [each.before or {} for each in record.jobs if record.is_open]
    containers = (container for task in before for container in task.get("template", {}).get("containers", ()))
    return list(dict.fromkeys([*found, *(each["image"] for each in containers if each.get("image"))]))


def _revision(request: Request, target: TargetRecord, name: str) -> Reference:
    return Reference(REVISION, resources.revision(request.run_service(target.place), name))


def _source(request: Request) -> str:
    return f"release history of {request.environment}"
