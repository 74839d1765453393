"""What people see of a run in the Prefect UI: its name, and tables; how such artifacts are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from uuid import UUID

from prefect import get_client
from prefect.artifacts import acreate_table_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.model import Request, Version


def key(*parts: str) -> str:
    """An artifact key: lower-case letters, digits and hyphens only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


async def table(request: Request, name: str, rows: Sequence[Mapping[str, object]], title: str) -> None:
    await acreate_table_artifact(
        [dict(row) for row in rows], key=key(request.app, request.environment, name), description=title
    )


async def name_run(request: Request, version: Version, doing: str = "") -> None:
    """The run is called by what it ships: storefront v1.4.0 -> production."""
    name = f"{doing}{request.app} {version.version} -> {request.environment}"
    async with get_client() as client:
        await client.update_flow_run(UUID(str(flow_run.id)), name=name)
    get_run_logger().info("%s is %s (%s, commit %s)", request.app, version.version, version.kind, version.commit[:12])
