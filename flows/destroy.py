"""Takes away what Terraform has made around an app: shown first, and then only what was shown."""

from __future__ import annotations

from prefect import flow

from flows.provision import close_up
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduce, show_failure
from tasks.orchestration.stage import LONGEST_RUN_S
from tasks.provision.carry_out import apply, init, make_plan, named
from tasks.provision.ledger import recorded
from tasks.provision.left import save_state, settle_left
from tasks.provision.ready import get_ready
from tasks.provision.record import ProvisionRecord
from tasks.provision.removal import check_removal, show_removal
from tasks.provision.turns import alone
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


@flow(
    name="destroy",
    flow_run_name="destroy {environment} of {source.called}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[close_up],
    on_failure=[show_failure],
    on_crashed=[refuse_parameters, close_up],
)
async def destroy(source: Source, environment: str, dry_run: bool = True, agreed: str | None = None) -> ProvisionRecord:
    """Takes away all that the provision flow has made or adopted in an environment; services and releases stay.

    Args:
        source: The repository that holds slipway.yaml, and what of it to take.
        environment: An environment of slipway.yaml, such as staging or production.
        dry_run: Only show what would be deleted, and what that is called.
        agreed: What a dry run has called it: exactly that is deleted, and nothing if it has changed since.
    """
    async with workspace() as folder:
        request = await read_request(source, environment, [], folder)
        await introduce(request.app, request.environment, f"destroy {request.app} in {request.environment}")
        site = await get_ready(request, makes=False)
        async with alone(request):
            await settle_left(site)
            async with recorded(site, "plan" if dry_run else "destroy") as ledger:
                await init(site)
                await save_state(site)
                site, _ = await named(site, ledger)
                plan = await make_plan(site, destroy=True)
                check_removal(plan, dry_run, agreed)
                if dry_run:
                    show_removal(site, plan)
                await apply(site, plan, ledger)
            return ledger.record
