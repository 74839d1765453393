"""Makes what an app needs around it with Terraform: adopt what is there, plan, ask, apply, find every output."""

from __future__ import annotations

from typing import Any, Literal

from prefect import Flow, State, flow
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_run_logger

from tasks.failures.errors import ReleaseBusy
from tasks.manifest.provision import Provision
from tasks.orchestration.lock import LEASE_S
from tasks.orchestration.parameters import refuse_parameters
from tasks.orchestration.shown import introduce, show_failure
from tasks.orchestration.stage import LONGEST_RUN_S
from tasks.provision.carry_out import adopt_what_is_there, agree, apply, init, make_plan, named
from tasks.provision.closing import close, is_at_work, is_left_open, runs_below, tell_to_end
from tasks.provision.followed import take_away_followed
from tasks.provision.guard import judge, replaced
from tasks.provision.ledger import recorded
from tasks.provision.left import save_state, settle_left
from tasks.provision.ready import get_ready, site_of
from tasks.provision.record import ProvisionRecord
from tasks.provision.turns import alone
from tasks.request.request import read_request, workspace
from tasks.source.source import Source


async def close_up(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The hook of cancelled and crashed runs; Prefect passes its arguments by these names."""
    if flow_run.parameters.get("source") and flow_run.parameters.get("environment"):
        source = Source.model_validate(flow_run.parameters["source"])
        environment, run = flow_run.parameters["environment"], str(flow_run.id)
        await closing(source, environment, run, cancelled=state.is_cancelled())


async def close_up_first(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The same of a run that has begun with one of these: whoever has killed it has not told that one."""
    for each in await runs_below(flow_run.id, provision.name):
        await close_up(flow, each, state)


@flow(name="provision-closing", flow_run_name="write down what Terraform made", timeout_seconds=3600)
async def closing(source: Source, environment: str, run: str, cancelled: bool) -> None:
    """Ends a cancelled run's Terraform, and writes down what it made; a crashed run's is left to finish alone.

    run: its id. One that had not begun, or has closed its record itself, left nothing; who works here is another one.
    """
    async with workspace() as folder:
        site = await site_of(await read_request(source, environment, [], folder))
        if not await is_left_open(site, run):
            return
        if cancelled:
            tell_to_end(site)
        elif is_at_work(site):
            get_run_logger().warning("terraform goes on alone; the next run takes over what it makes")
            return
        try:
            async with alone(site.request, patience_s=LEASE_S + 15):
                await close(site, cancelled=cancelled)
        except ReleaseBusy as busy:
            get_run_logger().info("%s", busy.problem)


@flow(
    name="provision",
    flow_run_name="provision {environment} of {source.called}",
    timeout_seconds=LONGEST_RUN_S,
    on_cancellation=[close_up],
    on_failure=[show_failure],
    on_crashed=[refuse_parameters, close_up],
)
async def provision(
    source: Source,
    environment: str,
    plan_only: bool = False,
    fresh: list[Literal["gateway", "key"]] | None = None,
) -> ProvisionRecord:
    """Makes what slipway.yaml says under `provision`: an API Gateway, its key, accounts, roles, secrets and buckets.

    What is there already is adopted, what stands is left, and every output is verified. A run that was killed is taken
    over by the next one.

    Args:
        source: The repository that holds slipway.yaml, and what of it to take.
        environment: An environment of slipway.yaml, such as staging or production.
        plan_only: Only show what would be made, changed and adopted. Nothing is changed.
        fresh: Make these anew: the gateway, or its key, which gets another text. Nothing else is touched.
    """
    async with workspace() as folder:
        request = await read_request(source, environment, [], folder)
        await introduce(request.app, request.environment, f"provision {request.app} in {request.environment}")
        site = await get_ready(request, only_plans=plan_only, fresh=fresh or ())
        async with alone(request):
            await settle_left(site)
            async with recorded(site, "plan" if plan_only else "provision") as ledger:
                await init(site)
                await save_state(site)
                site, in_state = await named(site, ledger, fresh or ())
                await adopt_what_is_there(site, in_state, ledger)
                plan = await make_plan(site, replaced(fresh or ()))
                await agree(site, judge(plan, fresh or (), has_key=site.wanted.provision.has_key), ledger)
                await apply(site, plan, ledger)
                if not plan_only:
                    await take_away_followed(site.wanted)
            return ledger.record


async def provision_first(source: Source, environment: str, wanted: Provision | None) -> None:
    """What a release that wants it around has made before anything of it is built."""
    if wanted is not None and wanted.before_deploy:
        await provision(source, environment)
