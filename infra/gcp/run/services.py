"""Cloud Run v2: services, their traffic and who may invoke them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from google.cloud import run_v2
from google.protobuf import field_mask_pb2, json_format

from infra.gcp.calls.attempts import PASSING
from infra.gcp.calls.clients import OPERATIONS, READ, call, client, delete, finish, read, unless_gone
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.run.revisions import Revision, condition_reason
from infra.gcp.run.settling import once_settled, written_all_the_same
from infra.gcp.run.templates import Template, template_of
from infra.gcp.run.traffic import TrafficTarget
from infra.gcp.run.unknown import keep_unknown

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
FENCE = "slipway-fence"  # a label of ours whose value means nothing
# What is said of a service as a whole, beside its template and traffic; each may be written by itself.
# https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services
WHOLE = {
    "annotations": "annotations",
    "binaryAuthorization": "binary_authorization",
    "customAudiences": "custom_audiences",
    "defaultUriDisabled": "default_uri_disabled",
    "description": "description",
    "iapEnabled": "iap_enabled",
    "ingress": "ingress",
    "invokerIamDisabled": "invoker_iam_disabled",
    "labels": "labels",
    "scaling": "scaling",
}


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
    wire: bytes = field(
        default=b"", repr=False, compare=False
    )  # as it came, with fields of a newer API than the client

    @property
    def mostly(self) -> str:
        """The revision that most requests go to now; '' if none."""
        shares = self.routed
        return max((r for r in shares if r), key=lambda revision: shares[revision], default="") or ""

    @property
    def id(self) -> str:
        return self.name.rsplit("/", 1)[1]

    @property
    def region(self) -> str:
        return self.name.split("/")[3]

    @property
    def routed(self) -> dict[str, int]:
        """Percent by revision as requests are routed now, LATEST's at the revision it stands for."""
        return self._shares(self.live)

    @property
    def asked(self) -> dict[str, int]:
        """Percent by revision as it is to be, LATEST's at the revision it stands for."""
        return self._shares(self.traffic)

    def _shares(self, targets: Iterable[TrafficTarget]) -> dict[str, int]:
        shares: dict[str, int] = {}
        for target in targets:
            if target.percent:
                revision = target.revision or self.latest_ready
                shares[revision] = shares.get(revision, 0) + target.percent
        return shares

    @property
    def service_account(self) -> str:
        """What its newest revision runs as; Google fills in the default."""
        return str(self.body.get("template", {}).get("serviceAccount", ""))

    @property
    def unchecked(self) -> bool:
        """Whether it asks no caller who they are: https://cloud.google.com/run/docs/authenticating/public"""
        return bool(self.body.get("invokerIamDisabled"))

    @property
    def whole(self) -> dict[str, Any]:
        """What is said of the service as a whole."""
        return {key: value for key, value in self.body.items() if key in WHOLE}

    @property
    def disabled(self) -> bool:
        """Scaled to no instances by hand."""
        scaling = self.body.get("scaling") or {}
        return scaling.get("scalingMode") == "MANUAL" and not scaling.get("manualInstanceCount")

    def uri_of(self, revision: str) -> str:
        """The URL of its own that a revision has; '' for one without a tag."""
        return next((target.uri for target in self.live if target.uri and target.revision == revision), "")

    def tag_of(self, revision: str) -> str:
        """'' for one without a tag."""
        return next((target.tag for target in self.live if target.tag and target.revision == revision), "")

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


async def update_service(
    body: Mapping[str, Any], fields: Sequence[str], timeout_s: float, over: RunService | Revision | None = None
) -> RunService:
    """Writes only `fields` of the service that `body` names; its etag, if given, guards against others' changes.

    over: what the template was made from; what this client does not know of it is kept.
    When Google's answer is lost, the service itself is asked whether the change was made; it is never written twice.
    """
    message, deadline = _message(body), time.monotonic() + timeout_s
    if over is not None:
        keep_unknown(run_v2.Service.pb(message).template, _template_as_it_came(over))
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
    """The service, settled, if the change that ended with `error` was made all the same; else raises `error`."""
    found = await get_service(message.name)
    as_asked = found is not None and _as_asked(found, message, fields)
    return await written_all_the_same(
        found, as_asked, message.etag, error, lambda there: until_settled(there, timeout_s)
    )


def _as_asked(found: RunService, message: run_v2.Service, fields: Sequence[str]) -> bool:
    """Whether every one of the fields is as the message has it. What Google adds of itself is no difference."""
    asked, names = _service(message), run_v2.Service.pb(message).DESCRIPTOR.fields_by_name
    return all(_has(found, asked, field, names[field].json_name) for field in fields)


def _has(found: RunService, asked: RunService, field: str, json_name: str) -> bool:
    if field == "traffic":
        return asked.traffic == tuple(replace(target, uri="") for target in found.traffic)
    wanted, there = asked.body.get(json_name), found.body.get(json_name)
    if field == "template":  # names of revisions are given once, so the same name is the same template
        name = (wanted or {}).get("revision")
        return bool(name) and name == (there or {}).get("revision")
    return _within(wanted, there)


def _within(asked: object, there: object) -> bool:
    """Values of JSON: whether the one holds all of the other; what is not asked for is to be empty."""
    if isinstance(asked, Mapping) and isinstance(there, Mapping):
        return all(key in there and _within(value, there[key]) for key, value in asked.items())
    return asked == there if asked else not there


async def validate_service(body: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Has Google look at what would be written, be the service there or not, and writes nothing. Raises GoogleError.

    https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/patch, validateOnly
    """
    request = run_v2.UpdateServiceRequest(
        service=_message(body),
        update_mask=field_mask_pb2.FieldMask(paths=list(fields)),
        validate_only=True,
        allow_missing=True,
    )
    await call("run.services.update", client(run_v2.ServicesAsyncClient).update_service, request, retry=READ)


async def until_settled(service: RunService, timeout_s: float) -> RunService:
    """The service once nothing is reconciling any more. Raises GoogleError DEADLINE_EXCEEDED or NOT_FOUND."""
    return await once_settled(service, get_service, "run.services.get", timeout_s)


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


async def disable_service(name: str, etag: str, timeout_s: float) -> bool:
    """No instances, whoever calls; automatic scaling undoes it. False if it was gone already.

    https://cloud.google.com/run/docs/managing/services#disable
    """
    body = {"name": name, "etag": etag, "scaling": {"scalingMode": "MANUAL", "manualInstanceCount": 0}}
    return await unless_gone(update_service(body, ["scaling"], timeout_s))


async def fence(service: RunService, token: str, timeout_s: float) -> RunService:
    """Changes nothing but the service's etag, so that a change that was sent with an older one is refused.

    Raises GoogleError ABORTED if such a change has come before. token: a label value that differs from the last one.
    """
    labels = {**service.labels, FENCE: token}
    return await update_service({"name": service.name, "etag": service.etag, "labels": labels}, ["labels"], timeout_s)


async def delete_service(name: str, etag: str, timeout_s: float) -> bool:
    """With all its revisions; False if it was gone already. Raises GoogleError ABORTED if it is not as `etag` says."""
    method = client(run_v2.ServicesAsyncClient).delete_service
    return await delete("run.services.delete", method, {"name": name, "etag": etag}, timeout_s)


def _template_as_it_came(over: RunService | Revision) -> Any:
    if isinstance(over, Revision):
        return run_v2.Revision.pb().FromString(over.wire)
    return run_v2.Service.pb().FromString(over.wire).template


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
        wire=message.SerializeToString(),
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
