"""Cloud Run v2: instances, single containers that run until somebody stops them."""

from __future__ import annotations

from google.cloud import run_v2

from infra.gcp.calls.clients import client
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each
from infra.gcp.run.templates import Workload, template_of


async def list_instances(project: str, region: str) -> list[Workload]:
    """None where Cloud Run does not offer instances yet."""
    method = client(run_v2.InstancesAsyncClient).list_instances
    request = {"parent": f"projects/{project}/locations/{region}"}
    try:
        found = each("run.instances.list", method, request, "instances")
        return [Workload(instance.name, template_of(instance)) async for instance in found]
    except GoogleError as error:
        if error.status == "UNIMPLEMENTED":
            return []
        raise
