"""Cloud Run v2: services, their traffic and who may invoke them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.protobuf import field_mask_pb2, json_format

from infra.gcp.calls.attempts import PASSING
from infra.gcp.calls.clients import OPERATIONS, READ, call, client, delete, finish, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.calls.polling import until
from infra.gcp.calls.rest import get_json
from infra.gcp.run.revisions import condition_reason
from infra.gcp.run.templates import Template, template_of
from infra.gcp.run.traffic import TrafficTarget

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
INVOKER = "roles/run.invoker"
SETTLE_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class RunService:
    """A service as Cloud Run reports it. `body` is the whole resource in its JSON form."""

    name: str  # projects/{project}/locations/{region}/services/{id}
    etag: str
    generation: int
    uri: str
    latest_ready: str  # short revision name, '' if none
    latest_created: str
    traffic: tuple[TrafficTarget, ...]  # as asked for
    live: tuple[TrafficTarget, ...]  # as routed now
    settled: bool  # nothing is reconciling
    ready: bool  # settled, and the last change succeeded
    message: str  # why not
    reason: str
    labels: Mapping[str, str]
    created: datetime
    template: Template
    body: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        return self.name.rsplit("/", 1)[1]

    @property
    def region(self) -> str:
        return self.name.split("/")[3]

    @property
    def routed(self) -> dict[str, int]:
        """Percent by revision as requests are routed now, LATEST's at the revision it stands for."""
        shares: dict[str, int] = {}
        for target in self.live:
            if target.percent:
                revision = target.revision or self.latest_ready
                shares[revision] = shares.get(revision, 0) + target.percent
        return shares

    def uri_of(self, revision: str) -> str:
        """The URL of its own that a revision has; '' for one without a tag."""
        return next((target.uri for target in self.live if target.uri and target.revision == revision), "")

    def uri_of_tag(self, tag: str) -> str:
        """'' where nothing is routed by it."""
        return next((target.uri for target in self.live if target.uri and target.tag == tag), "")


async def get_service(name: str) -> RunService | None:
    found = await read("run.services.get", client(run_v2.ServicesAsyncClient).get_service, {"name": name})
    return None if found is None else _service(found)


async def list_services(project: str, region: str) -> list[RunService]:
    method = client(run_v2.ServicesAsyncClient).list_services
    request = {"parent": f"projects/{project}/locations/{region}"}
    found = each("run.services.list", method, request, "services")
    return [_service(run_v2.Service.wrap(one)) async for one in found]


async def create_service(name: str, body: Mapping[str, Any], timeout_s: float) -> RunService:
    """`body` is the Service resource in JSON form, without name and traffic. Waits until it is ready."""
    parent, _, service_id = name.rpartition("/services/")
    request = run_v2.CreateServiceRequest(parent=parent, service_id=service_id, service=_message(body))
    operation = await call("run.services.create", client(run_v2.ServicesAsyncClient).create_service, request)
    return _service(await finish("run.services.create", operation, timeout_s))


async def update_service(body: Mapping[str, Any], fields: Sequence[str], timeout_s: float) -> RunService:
    """Writes only `fields` of the service that `body` names; its etag, if given, guards against others' changes.

    When Google's answer is lost, the service itself is asked whether the change was made; it is never written twice.
    """
    message, deadline = _message(body), time.monotonic() + timeout_s
    request = run_v2.UpdateServiceRequest(service=message, update_mask=field_mask_pb2.FieldMask(paths=list(fields)))
    try:
        operation = await call("run.services.update", client(run_v2.ServicesAsyncClient).update_service, request)
        return _service(await finish("run.services.update", operation, timeout_s))
    except GoogleError as error:
        if error.status not in PASSING and error.method != OPERATIONS:
            raise
        return await _unless_written(message, fields, error, deadline - time.monotonic())


async def _unless_written(
    message: run_v2.Service, fields: Sequence[str], error: GoogleError, timeout_s: float
) -> RunService:
    """The service, settled, if the change that ended with `error` was made all the same; else raises `error`.

    ABORTED then means what callers take it for, that the service has changed since its etag was read: a write that
    was aborted for a reason of Google's own is UNAVAILABLE.
    """
    found = await get_service(message.name)
    if found is None or not _as_asked(found, message, fields):
        if error.status == "ABORTED" and found is not None and found.etag == message.etag:
            raise replace(error, status="UNAVAILABLE") from error
        raise error
    settled = await until_settled(found, timeout_s)
    if not settled.ready:
        raise GoogleError(error.method, "FAILED_PRECONDITION", settled.message, reason=settled.reason)
    return settled


def _as_asked(found: RunService, message: run_v2.Service, fields: Sequence[str]) -> bool:
    """Names of revisions are given once, so the same name is the same template."""
    asked = {"traffic": tuple(_target(target) for target in message.traffic), "template": message.template.revision}
    has = {
        "traffic": tuple(replace(target, uri="") for target in found.traffic),
        "template": found.body.get("template", {}).get("revision", ""),
    }
    return all(asked[name] == has[name] for name in fields if name in asked)


async def until_settled(service: RunService, timeout_s: float) -> RunService:
    """The service once nothing is reconciling any more. Raises GoogleError DEADLINE_EXCEEDED or NOT_FOUND."""

    async def look() -> RunService:
        found = await get_service(service.name)
        if found is None:
            raise GoogleError("run.services.get", "NOT_FOUND", f"{service.name} was deleted meanwhile.")
        return found

    if service.settled:
        return service
    try:
        return await until(look, lambda found: found.settled, limit_s=timeout_s, pause_s=SETTLE_POLL_S)
    except TimeoutError:
        raise GoogleError("run.services.get", "DEADLINE_EXCEEDED", f"{service.name} has not settled.") from None


async def set_traffic(name: str, targets: Sequence[TrafficTarget], etag: str, timeout_s: float) -> RunService:
    """Replaces the whole split; raises GoogleError ABORTED if the service has changed since `etag` was read."""
    body = {"name": name, "etag": etag, "traffic": [traffic_body(target) for target in targets]}
    return await update_service(body, ["traffic"], timeout_s)


def traffic_body(target: TrafficTarget) -> dict[str, Any]:
    body: dict[str, Any] = {"type": LATEST}
    if target.revision is not None:
        body = {"type": REVISION, "revision": target.revision}
    if target.percent:
        body["percent"] = target.percent
    if target.tag:
        body["tag"] = target.tag
    return body


async def delete_service(name: str, etag: str, timeout_s: float) -> bool:
    """With all its revisions; False if it was gone already. Raises GoogleError ABORTED if it is not as `etag` says."""
    method = client(run_v2.ServicesAsyncClient).delete_service
    return await delete("run.services.delete", method, {"name": name, "etag": etag}, timeout_s)


async def list_regions(project: str) -> tuple[str, ...]:
    """Where Cloud Run is: https://cloud.google.com/run/docs/reference/rest/v1/projects.locations/list"""
    regions: list[str] = []
    token = ""
    while True:
        url = f"https://run.googleapis.com/v1/projects/{project}/locations?pageSize=500&pageToken={token}"
        page = await get_json("run.locations.list", url)
        regions += [location["locationId"] for location in page.get("locations", [])]
        token = page.get("nextPageToken", "")
        if not token:
            return tuple(sorted(regions))


async def is_public(service: str) -> bool:
    return any(b.role == INVOKER and "allUsers" in b.members for b in (await _policy(service)).bindings)


async def allow_everyone(service: str) -> bool:
    """Lets the whole world invoke the service; answers whether that was a change."""
    policy = await _policy(service)
    if any(b.role == INVOKER and "allUsers" in b.members for b in policy.bindings):
        return False
    policy.bindings.add(role=INVOKER, members=["allUsers"])
    request = iam_policy_pb2.SetIamPolicyRequest(resource=service, policy=policy)
    await call("run.services.setIamPolicy", client(run_v2.ServicesAsyncClient).set_iam_policy, request)
    return True


async def _policy(service: str) -> policy_pb2.Policy:
    request = iam_policy_pb2.GetIamPolicyRequest(resource=service)
    method = client(run_v2.ServicesAsyncClient).get_iam_policy
    return await call("run.services.getIamPolicy", method, request, retry=READ)


def _message(body: Mapping[str, Any]) -> run_v2.Service:
    message: run_v2.Service = run_v2.Service.wrap(json_format.ParseDict(dict(body), run_v2.Service.pb()()))
    return message


def _service(found: run_v2.Service) -> RunService:
    condition, message = found.terminal_condition, run_v2.Service.pb(found)
    succeeded = condition.state == run_v2.Condition.State.CONDITION_SUCCEEDED
    settled = not found.reconciling and found.generation == found.observed_generation
    return RunService(
        name=found.name,
        etag=found.etag,
        generation=found.generation,
        uri=found.uri,
        latest_ready=_short(found.latest_ready_revision),
        latest_created=_short(found.latest_created_revision),
        traffic=tuple(_target(target) for target in found.traffic),
        live=tuple(_target(target) for target in found.traffic_statuses),
        settled=settled,
        ready=settled and succeeded,
        message=condition.message,
        reason=condition_reason(condition),
        labels=dict(found.labels),
        created=message.create_time.ToDatetime(UTC),
        template=template_of(message.template),
        body=json_format.MessageToDict(message),
    )


def _target(target: Any) -> TrafficTarget:
    latest = target.type_ == run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
    return TrafficTarget(
        revision=None if latest or not target.revision else _short(target.revision),
        percent=target.percent,
        tag=target.tag,
        uri=getattr(target, "uri", ""),
    )


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1]
