"""After a run that was cancelled or has crashed: what Terraform has made by then is found and written down."""

from __future__ import annotations

from uuid import UUID

from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from infra.terraform import supervisor
from tasks.orchestration.family import below
from tasks.provision.ledger import discover, show
from tasks.provision.left import close_left_open, save_state, take_over, unlock
from tasks.provision.progress import Progress
from tasks.provision.record import is_open, read_records
from tasks.provision.site import Site


async def runs_below(run: UUID, flow: str) -> list[FlowRun]:
    """The runs of a flow that a run has started, also through others, and that have not completed."""
    async with get_client() as client:
        left = [each for each in await below(client, run) if each.state is None or not each.state.is_completed()]
        return [each for each in left if (await client.read_flow(each.flow_id)).name == flow]


async def is_left_open(site: Site, run: str) -> bool:
    """Whether that run has begun, and has not closed its record."""
    return await is_open(site.bucket, site.request.app, site.request.environment, run)


def tell_to_end(site: Site) -> None:
    """A cancelled run's Terraform saves what it has, and ends within its grace."""
    supervisor.ask_to_end(site.work.folder)


def is_at_work(site: Site) -> bool:
    """Whether a Terraform of a run that is gone is; the next run takes over what it makes."""
    return supervisor.is_alive(site.work.folder)


async def close(site: Site, *, cancelled: bool) -> None:
    """Does nothing where the run has closed its record itself."""
    records = await read_records(site.bucket, site.request.app, site.request.environment)
    if not any(each.record.is_open for each in records):
        return
    left = await take_over(site)
    await unlock(site)
    await save_state(site)
    outputs = await discover(site)
    await close_left_open(site, left, outputs, cancelled=cancelled)
    await show(site, left or Progress(), outputs)
    get_run_logger().info("what the run made is written down; the next one goes on from there")
