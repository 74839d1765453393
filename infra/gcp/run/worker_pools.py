"""Cloud Run v2: worker pools, and how their instances are shared out among revisions."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.api_core.operation_async import AsyncOperation as Operation
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2
from google.protobuf import field_mask_pb2, json_format

from infra.gcp.calls.attempts import PASSING
from infra.gcp.calls.clients import OPERATIONS, READ, call, client, delete, finish, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.run.revisions import Revision, condition_reason, list_revisions
from infra.gcp.run.settling import once_settled, written_all_the_same
from infra.gcp.run.templates import Template, template_of
from infra.gcp.run.unknown import keep_unknown

LATEST = "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"
REVISION = "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION"
# What is said of a pool as a whole, beside its template and splits; each may be written by itself.
# https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.workerPools
WHOLE = {"description": "description", "labels": "labels", "scaling": "scaling"}
FIELDS = {"template": "template", "instanceSplits": "instance_splits", **WHOLE}
_TEMPLATE = frozenset(field.json_name for field in run_v2.WorkerPoolRevisionTemplate.pb().DESCRIPTOR.fields)


@dataclass(frozen=True, slots=True)
class Split:
    """`percent` of a pool's instances are of `revision`."""

    revision: str | None  # short name; None is LATEST: whichever became ready last
    percent: int


@dataclass(frozen=True, slots=True)
class RunPool:
    """A worker pool as Cloud Run reports it. `body` is the whole resource in its JSON form."""

    name: str  # projects/{project}/locations/{region}/workerPools/{id}
    etag: str
    latest_ready: str  # short revision name, '' if none
    latest_created: str
    splits: tuple[Split, ...]  # as asked for; empty is all to the newest that is ready
    live: tuple[Split, ...]  # as it is now
    settled: bool  # nothing is reconciling
    ready: bool  # settled, and the last change succeeded
    message: str  # why not
    reason: str
    labels: Mapping[str, str]
    body: Mapping[str, Any] = field(repr=False, compare=False)
    resource: Any = field(repr=False, compare=False)  # in protobuf, with fields of a newer API than this client

    @property
    def id(self) -> str:
        return self.name.rsplit("/", 1)[1]

    @property
    def instances(self) -> int:
        """How many it is to have, over all its revisions; Google makes one where nobody says."""
        return int((self.body.get("scaling") or {}).get("manualInstanceCount", 1))

    @property
    def template(self) -> Mapping[str, Any]:
        return self.body.get("template") or {}

    @property
    def asked(self) -> dict[str, int]:
        """Percent by revision as it is to be, LATEST's at the revision it stands for."""
        shares: dict[str, int] = {}
        for split in self.splits or (Split(None, 100),):
            revision = split.revision or self.latest_ready
            if split.percent and revision:
                shares[revision] = shares.get(revision, 0) + split.percent
        return shares


@dataclass(frozen=True, slots=True)
class WithRevisions:
    """A worker pool and all its revisions, the newest first."""

    pool: RunPool
    revisions: tuple[Revision, ...] = ()

    @property
    def name(self) -> str:
        return self.pool.name

    @property
    def needs(self) -> Template:
        """What its present template needs."""
        return template_of(self.pool.resource.template)


async def get_pool(name: str) -> RunPool | None:
    found = await read("run.workerPools.get", client(run_v2.WorkerPoolsAsyncClient).get_worker_pool, {"name": name})
    return None if found is None else _pool(run_v2.WorkerPool.pb(found))


async def list_pools(project: str, region: str) -> list[RunPool]:
    method = client(run_v2.WorkerPoolsAsyncClient).list_worker_pools
    request = {"parent": f"projects/{project}/locations/{region}"}
    return [_pool(found) async for found in each("run.workerPools.list", method, request, "worker_pools")]


async def write_pool(
    name: str, body: Mapping[str, Any], over: RunPool | None, timeout_s: float, made_of: Revision | None = None
) -> RunPool:
    """Creates the pool, or changes what `body` says of the one it is `over`, whose etag guards it. Waits until it is
    ready. Raises GoogleError.

    made_of: the revision that the template was made from, if not the pool's own; what this client does not know of it
    is kept. When Google's answer is lost, the pool itself is asked whether the change was made; it is never written
    twice.
    """
    message, deadline = _message(name, body, over, made_of), time.monotonic() + timeout_s
    method = "run.workerPools.create" if over is None else "run.workerPools.update"
    try:
        operation = await _send(method, message, body, update=over is not None)
        return _pool(run_v2.WorkerPool.pb(await finish(method, operation, timeout_s)))
    except GoogleError as error:
        if error.status not in PASSING and error.method != OPERATIONS:
            raise
        return await _unless_written(message, body, error, deadline - time.monotonic())


async def validate_pool(name: str, body: Mapping[str, Any], over: RunPool | None) -> None:
    """Has Google look at what would be written, be the pool there or not, and writes nothing. Raises GoogleError."""
    request = run_v2.UpdateWorkerPoolRequest(
        worker_pool=run_v2.WorkerPool.wrap(_message(name, body, over, None)),
        update_mask=_mask(body) if over else None,
        validate_only=True,
        allow_missing=True,
    )
    method = client(run_v2.WorkerPoolsAsyncClient).update_worker_pool
    await call("run.workerPools.update", method, request, retry=READ)


async def test_permissions(pool: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the pool, whether it is there or not."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=pool, permissions=sorted(permissions))
    method = client(run_v2.WorkerPoolsAsyncClient).test_iam_permissions
    return set((await call("run.workerPools.testIamPermissions", method, request, retry=READ)).permissions)


async def delete_pool(name: str, etag: str, timeout_s: float) -> bool:
    """With all its revisions; False if it was gone already. Raises GoogleError ABORTED if it is not as `etag` says."""
    method = client(run_v2.WorkerPoolsAsyncClient).delete_worker_pool
    return await delete("run.workerPools.delete", method, {"name": name, "etag": etag}, timeout_s)


def split_body(split: Split) -> dict[str, Any]:
    if split.revision is None:
        return {"type": LATEST, "percent": split.percent}
    return {"type": REVISION, "revision": split.revision, "percent": split.percent}


def template_from(revision: Revision) -> dict[str, Any]:
    """The template that makes this revision, under its name: nothing new comes of it."""
    known = {key: value for key, value in revision.configuration.items() if key in _TEMPLATE}
    return {**known, "revision": revision.name}


async def until_settled(pool: RunPool, timeout_s: float) -> RunPool:
    """The pool once nothing is reconciling any more. Raises GoogleError DEADLINE_EXCEEDED or NOT_FOUND."""
    return await once_settled(pool, get_pool, "run.workerPools.get", timeout_s)


async def _send(method: str, message: Any, body: Mapping[str, Any], *, update: bool) -> Operation:
    pools, pool = client(run_v2.WorkerPoolsAsyncClient), run_v2.WorkerPool.wrap(message)
    if update:
        request = run_v2.UpdateWorkerPoolRequest(worker_pool=pool, update_mask=_mask(body))
        updated: Operation = await call(method, pools.update_worker_pool, request)
        return updated
    parent, _, pool_id = message.name.rpartition("/workerPools/")
    message.ClearField("name")
    made = run_v2.CreateWorkerPoolRequest(parent=parent, worker_pool=pool, worker_pool_id=pool_id)
    message.name = f"{parent}/workerPools/{pool_id}"
    created: Operation = await call(method, pools.create_worker_pool, made)
    return created


def _mask(body: Mapping[str, Any]) -> field_mask_pb2.FieldMask:
    return field_mask_pb2.FieldMask(paths=sorted(FIELDS[key] for key in body))


async def _unless_written(message: Any, body: Mapping[str, Any], error: GoogleError, timeout_s: float) -> RunPool:
    """The pool, settled, if the change that ended with `error` was made all the same; else raises `error`."""
    found = await get_pool(message.name)
    as_asked = found is not None and _as_asked(found, body)
    return await written_all_the_same(
        found, as_asked, message.etag, error, lambda there: until_settled(there, timeout_s)
    )


def _as_asked(found: RunPool, body: Mapping[str, Any]) -> bool:
    if "template" in body:  # names of revisions are given once, so the same name is the same template
        name = body["template"].get("revision")
        if not name or name != found.template.get("revision"):
            return False
    if "instanceSplits" in body and [split_body(each) for each in found.splits] != list(body["instanceSplits"]):
        return False
    return all(_within(body[key], found.body.get(key)) for key in WHOLE if key in body)


def _within(asked: object, there: object) -> bool:
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        return all(key in there and _within(value, there[key]) for key, value in asked.items() if value)
    return asked == there if asked else not there


def _message(name: str, body: Mapping[str, Any], over: RunPool | None, made_of: Revision | None) -> Any:
    message = run_v2.WorkerPool.pb()()
    if over is not None:
        message.CopyFrom(over.resource)
        message.etag = over.etag
    for key, path in FIELDS.items():
        if key in body and key != "scaling":
            message.ClearField(path)
    json_format.ParseDict(dict(body), message)  # of scaling the rest stays
    message.name = name
    if over is not None and "template" in body:
        former = over.resource.template if made_of is None else run_v2.Revision.pb().FromString(made_of.wire)
        keep_unknown(message.template, former)
    return message


def _pool(message: Any) -> RunPool:
    condition = run_v2.Condition.wrap(message.terminal_condition)
    settled = not message.reconciling and message.generation == message.observed_generation
    return RunPool(
        name=message.name,
        etag=message.etag,
        latest_ready=_short(message.latest_ready_revision),
        latest_created=_short(message.latest_created_revision),
        splits=_splits(message.instance_splits),
        live=_splits(message.instance_split_statuses),
        settled=settled,
        ready=settled and condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED,
        message=condition.message,
        reason=condition_reason(condition),
        labels=dict(message.labels),
        body=json_format.MessageToDict(message),
        resource=message,
    )


def _splits(found: Sequence[Any]) -> tuple[Split, ...]:
    return tuple(Split(_short(each.revision) if each.revision else None, each.percent) for each in found)


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]


async def list_worker_pools(project: str, region: str) -> list[WithRevisions]:
    """The pools and their revisions: instances of a pool may be split between several."""
    pools = await list_pools(project, region)
    return [WithRevisions(pool, tuple(await list_revisions(pool.name))) for pool in pools]
