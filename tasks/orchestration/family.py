"""The runs that a run has started."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun


async def below(client: PrefectClient, *parents: UUID) -> list[FlowRun]:
    """All runs that these have started, and those below them; those nearest first."""
    filtered = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=list(parents)))
    found = await client.read_flow_runs(flow_run_filter=filtered)
    return [*found, *await below(client, *(child.id for child in found))] if found else []
