"""Cloud Run v2: revisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from google.cloud import run_v2
from google.protobuf import json_format

from infra.gcp.calls.clients import client, delete, read
from infra.gcp.calls.paging import each
from infra.gcp.run.templates import Template, template_of

_TEMPLATE, _REVISION = (
    {field.json_name for field in kind.pb().DESCRIPTOR.fields} for kind in (run_v2.RevisionTemplate, run_v2.Revision)
)
_CONFIGURATION = frozenset(_TEMPLATE & _REVISION)
UNTOLD = frozenset(_TEMPLATE - _REVISION - {"revision"})


@dataclass(frozen=True, slots=True)
class Revision:
    name: str  # short
    service: str  # short; the worker pool's for a revision of one
    region: str
    image: str  # of the first container
    ready: bool
    message: str
    reason: str
    created: datetime
    labels: Mapping[str, str]
    full_name: str  # projects/{project}/locations/{region}/services/{service}/revisions/{name}
    etag: str
    template: Template
    keeps_instances: bool = False  # while it has traffic or a tag, also without requests
    wire: bytes = field(
        default=b"", repr=False, compare=False
    )  # as it came, with fields of a newer API than the client

    @property
    def configuration(self) -> dict[str, Any]:
        """The template it was made from, v2 as JSON: what of a template no revision tells is in UNTOLD."""
        found = json_format.MessageToDict(run_v2.Revision.pb().FromString(self.wire))
        return {key: value for key, value in found.items() if key in _CONFIGURATION}


async def get_revision(service: str, revision: str) -> Revision | None:
    name = f"{service}/revisions/{revision}"
    found = await read("run.revisions.get", client(run_v2.RevisionsAsyncClient).get_revision, {"name": name})
    return None if found is None else _revision(run_v2.Revision.pb(found))


async def list_revisions(service: str) -> list[Revision]:
    """Newest first; of a service or worker pool, by its full name. An id of `-` stands for every service there is."""
    method = client(run_v2.RevisionsAsyncClient).list_revisions
    found = [_revision(one) async for one in each("run.revisions.list", method, {"parent": service}, "revisions")]
    return sorted(found, key=lambda revision: revision.created, reverse=True)


async def delete_revision(service: str, revision: str, etag: str, timeout_s: float) -> bool:
    """False if it was gone already. Raises GoogleError ABORTED if it is not as `etag` says."""
    request = {"name": f"{service}/revisions/{revision}", "etag": etag}
    return await delete("run.revisions.delete", client(run_v2.RevisionsAsyncClient).delete_revision, request, timeout_s)


def _revision(found: Any) -> Revision:
    ready = next((c for c in found.conditions if c.type_ == "Ready"), run_v2.Condition.pb()())
    parts = found.name.split("/")
    return Revision(
        name=parts[-1],
        service=found.service.rpartition("/")[2],
        region=parts[3],
        image=found.containers[0].image if found.containers else "",
        ready=ready.state == run_v2.Condition.State.CONDITION_SUCCEEDED,
        message=ready.message,
        reason=condition_reason(run_v2.Condition.wrap(ready)),
        created=found.create_time.ToDatetime(UTC),
        labels=dict(found.labels),
        full_name=found.name,
        etag=found.etag,
        template=template_of(found),
        keeps_instances=found.scaling.min_instance_count > 0,
        wire=found.SerializeToString(),
    )


def condition_reason(condition: run_v2.Condition) -> str:
    """Why a condition is as it is, in Cloud Run's own word; '' where it gives none."""
    return next((str(value.name) for value in (condition.revision_reason, condition.reason) if value), "")
