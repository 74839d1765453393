"""Looks that have had their answers already, and what such answers consist of."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.cloud import run_v2

from infra.gcp.run.revisions import Revision
from infra.gcp.run.services import RunService
from infra.gcp.run.templates import Template, Workload
from infra.gcp.run.traffic import TrafficTarget
from infra.gcp.run.worker_pools import WithRevisions, _pool
from tasks.cleanup.engine.model import Item, Listing, Use
from tasks.cleanup.inventory import Names
from tasks.cleanup.kinds.adapter import Found, History, Look
from tasks.cleanup.kinds.cloud_run import (
    Survey,
    all_executions,
    all_instances,
    all_jobs,
    all_revisions,
    all_services,
    all_worker_pools,
)
from tasks.cleanup.kinds.registry import CONSUMERS, KINDS
from tasks.cleanup.memory import Memory
from tasks.history.record import ReleaseRecord
from tasks.model import Request
from tests.tasks.builders import NOW


def a_template(*images: str, account: str = "", buckets: tuple[str, ...] = ()) -> Template:
    return Template(images, account, buckets)


def a_service(
    name: str,
    serving: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    template: Template | None = None,
    created: datetime = NOW,
    etag: str = "",
) -> RunService:
    """Which sends its traffic to these revisions, by short name."""
    live = tuple(TrafficTarget(revision, 100 // len(serving)) for revision in serving)
    return RunService(
        name=name, etag=etag, generation=1, uri="", latest_ready="", latest_created="", traffic=live, live=live,
        settled=True, ready=True, message="", reason="", labels=labels or {}, created=created,
        template=template or Template(), body={},
    )  # fmt: skip


def a_revision(
    full_name: str,
    labels: Mapping[str, str] | None = None,
    template: Template | None = None,
    created: datetime = NOW,
    etag: str = "",
) -> Revision:
    _, _, _, region, _, service, _, name = full_name.split("/")
    return Revision(
        name=name, service=service, region=region, image="", ready=True, message="", reason="", created=created,
        labels=labels or {}, full_name=full_name, etag=etag, template=template or Template(),
    )  # fmt: skip


def a_pool(
    name: str,
    template: Template | None = None,
    labels: Mapping[str, str] | None = None,
    splits: Mapping[str, int] | None = None,
    revisions: Sequence[Revision] = (),
) -> WithRevisions:
    """Whose instances are of these revisions, by short name; without any, of the newest that is ready."""
    needs, given = template or Template(), splits or {}
    message = run_v2.WorkerPool.pb()(name=name, labels=labels or {})
    message.template.containers.extend([run_v2.Container.pb()(image=image) for image in needs.images])
    message.template.service_account = needs.account
    message.instance_splits.extend(
        [run_v2.InstanceSplit.pb()(revision=revision, percent=percent) for revision, percent in given.items()]
    )
    return WithRevisions(_pool(message), tuple(revisions))


def a_look(
    requests: tuple[Request, ...],
    services: Sequence[RunService] = (),
    revisions: Sequence[Revision] = (),
    jobs: Sequence[Workload] = (),
    pools: Sequence[WithRevisions] = (),
    executions: Sequence[Workload] = (),
    instances: Sequence[Workload] = (),
    histories: Mapping[str, Sequence[ReleaseRecord]] | None = None,
) -> Look:
    """Which has asked Cloud Run already. To be called where an event loop runs."""
    records = {request.environment: (histories or {}).get(request.environment, ()) for request in requests}
    known = {
        name: History(each, Listing(f"release history of {name}", NOW, len(each))) for name, each in records.items()
    }
    look = Look(requests, known, Memory(), lambda: NOW)
    there: Mapping[object, Iterable[Any]] = {
        all_services: [(each.name, each) for each in services],
        all_revisions: [(each.full_name, each) for each in revisions],
        all_jobs: [(each.name, each) for each in jobs],
        all_worker_pools: [(each.name, each) for each in pools],
        all_executions: [(each.name, each) for each in executions],
        all_instances: [(each.name, each) for each in instances],
    }
    for ask, found in there.items():
        places: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for name, each in found:
            places[name.split("/")[1], name.split("/")[3]].append(each)
        look.asked[ask] = asyncio.get_running_loop().create_future()
        look.asked[ask].set_result(Survey(places, ()))
    return look


def names_of(look: Look, listed: Iterable[Item]) -> Names:
    """Where these items are listed."""
    items = tuple(listed)
    return Names({each.kind: each.keys(look, [item for item in items if item.kind == each.kind]) for each in KINDS})


async def live(look: Look, listed: Iterable[Item]) -> tuple[tuple[Item, ...], tuple[Use, ...]]:
    """The items and uses of all that lives, where these other items are listed."""
    found = Found.merged([await each.list(look) for each in CONSUMERS if each.live])
    names = names_of(look, (*listed, *found.items))
    return names.items(found), names.uses(found)
