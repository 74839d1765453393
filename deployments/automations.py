"""Prefect's part in crash safety: runs whose process is gone are marked so, and what they left is tidied up.

Register them with `python -m deployments.automations`, after `prefect deploy --all`; again after every change here.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from prefect import get_client
from prefect.automations import AutomationCore
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from tasks.release.reconcile import SHIPPING_FLOWS

RECONCILE = "reconcile/reconcile"
# Prefect sends a heartbeat every 180 s unless PREFECT_FLOWS_HEARTBEAT_FREQUENCY says otherwise; one or two may be lost.
SILENCE = timedelta(seconds=3 * 180)
RUNS_THAT_SHIP = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(SHIPPING_FLOWS)})
ANY_RUN = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def dead_runs() -> AutomationCore:
    """Marks a run Crashed that sent a heartbeat and then nothing at all; a paused run goes on sending them."""
    return AutomationCore(
        name="slipway: mark dead runs",
        description="A run of Slipway whose process is gone becomes Crashed.",
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=RUNS_THAT_SHIP,
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="Its process is silent.")],
    )


async def tidy_up() -> AutomationCore:
    """Runs reconcile when a run that ships ends Crashed or Cancelled. Raises ObjectNotFound if it is not deployed."""
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(RECONCILE)
    return AutomationCore(
        name="slipway: tidy up",
        description="Brings environments back to a recorded state after runs that ended badly.",
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=RUNS_THAT_SHIP,
            expect={"prefect.flow-run.Crashed", "prefect.flow-run.Cancelled"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(deployment_id=deployment.id)],
    )


async def register() -> None:
    """Creates the automations, or replaces them as they are described here."""
    async with get_client() as client:
        for automation in (dead_runs(), await tidy_up()):
            for old in await client.read_automations_by_name(automation.name):
                await client.delete_automation(old.id)
            await client.create_automation(automation)


if __name__ == "__main__":
    asyncio.run(register())
