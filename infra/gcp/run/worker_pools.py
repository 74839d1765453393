"""Cloud Run v2: worker pools."""

from __future__ import annotations

from google.cloud import run_v2

from infra.gcp.calls.clients import client
from infra.gcp.calls.paging import each
from infra.gcp.run.revisions import list_revisions
from infra.gcp.run.templates import Workload, template_of


async def list_worker_pools(project: str, region: str) -> list[Workload]:
    """The pools and their revisions: instances of a pool may be split between several."""
    method = client(run_v2.WorkerPoolsAsyncClient).list_worker_pools
    request = {"parent": f"projects/{project}/locations/{region}"}
    pools = [
        Workload(found.name, template_of(found.template))
        async for found in each("run.workerPools.list", method, request, "worker_pools")
    ]
    revisions = [revision for pool in pools for revision in await list_revisions(pool.name)]
    return [*pools, *(Workload(revision.full_name, revision.template) for revision in revisions)]
