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
from tasks.history.record import ReleaseRecord, State, TargetRecord, good
from tasks.history.store import OPEN_AMONG, read_history
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import label_value, owner_of


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
    """The newest `keep` good releases, and all that may still be under way; `history` is newest first."""
    return [*good(history)[:keep], *(record for record in history[:OPEN_AMONG] if record.state is State.STARTED)]


def claims_of(request: Request, history: Sequence[ReleaseRecord], keep: int) -> Iterable[Claim]:
    """One per protected release: its revisions and images; of one under way also what it would go back to."""
    for record in protected_releases(history, keep):
        under_way = record.state is State.STARTED
        revisions = (
            _revision(request, target, name)
            for target in record.targets
            for name in (target.revision, target.serving if under_way else "")
            if name
        )
        images = {*record.images.values(), *(target.image for target in record.targets)} - {""}
        doing = "not ended" if under_way else "a rollback may go back to it"
        yield Claim(
            f"release {record.version} in {record.environment}: {doing}",
            (*dict.fromkeys(revisions), *(Reference(IMAGE, image) for image in sorted(images))),
        )


def rollback_needs(request: Request, history: Sequence[ReleaseRecord], keep: int) -> Iterable[Reference]:
    """What going back to each of the protected releases needs."""
    for record in protected_releases(history, keep):
        for target in record.targets:
            if target.revision:
                yield _revision(request, target, target.revision)
            if target.image:
                yield Reference(IMAGE, target.image)


def _revision(request: Request, target: TargetRecord, name: str) -> Reference:
    return Reference(REVISION, resources.revision(request.run_service(target.place), name))


def _source(request: Request) -> str:
    return f"release history of {request.environment}"
