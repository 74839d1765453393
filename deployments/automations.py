"""Prefect's part in crash safety: runs whose process is gone are marked so, and what they left is tidied up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from deployments.register import PAGE, Change, Outcome
from tasks.names.tags import LONG_FLOWS, SHIPPING_FLOWS

RECONCILE = "reconcile/reconcile"  # of prefect.yaml, for all apps
PREFIX = "slipway: "
# Prefect sends a heartbeat every 180 s unless PREFECT_FLOWS_HEARTBEAT_FREQUENCY says otherwise; one or two may be lost.
SILENCE = timedelta(seconds=3 * 180)
RUNS_THAT_SHIP = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(SHIPPING_FLOWS)})
RUNS_THAT_MATTER = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": list(LONG_FLOWS)})
ANY_RUN = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


# Who says so has a process; a paused run goes on sending heartbeats. https://docs.prefect.io/v3/advanced/detect-zombie-flows
ALIVE = ("heartbeat", "Submitting", "Pending", "Running", "Retrying", "Resuming")


def dead_runs(silence: timedelta = SILENCE) -> list[AutomationCore]:
    """Mark a run of whose process nothing more was heard Crashed, or Cancelled where it was to be: all else is refused.

    Also before its first heartbeat: its worker may have died when it had taken the run, or when that had just begun.
    """
    crashed = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="Its process is silent.")
    cancelled = ChangeFlowRunState(state=StateType.CANCELLED, name="Cancelled", message="Its process is silent.")
    return [
        _silent("mark dead runs", "A run of Slipway whose process is gone becomes Crashed.", ALIVE, silence, crashed),
        _silent(
            "end dead runs that were cancelled",
            "A run of Slipway whose process is gone before it could give back becomes Cancelled.",
            ("Cancelling",),
            silence,
            cancelled,
        ),
    ]


def _silent(
    name: str, description: str, after: Sequence[str], silence: timedelta, action: ChangeFlowRunState
) -> AutomationCore:
    return AutomationCore(
        name=f"{PREFIX}{name}",
        description=description,
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=RUNS_THAT_MATTER,
            for_each={"prefect.resource.id"},
            after={f"prefect.flow-run.{said}" for said in after},
            expect={"prefect.flow-run.*"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[action],
    )


def tidy_up(reconcile: UUID, *, only: str = "", tags: Sequence[str] = ()) -> AutomationCore:
    """Runs a deployment of reconcile when a run that ships ends Crashed or Cancelled.

    only: just the runs of deployments that are called so, such as shop-production; their flows tell what they do.
    """
    related = [RUNS_THAT_SHIP]
    if only:
        related.append(
            ResourceSpecification({"prefect.resource.role": "deployment", "prefect.resource.name": only}),
        )
    return AutomationCore(
        name=tidying_of(only),
        description="Brings environments back to a recorded state after runs that ended badly.",
        tags=list(tags),
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=related if only else RUNS_THAT_SHIP,
            expect={"prefect.flow-run.Crashed", "prefect.flow-run.Cancelled"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(deployment_id=reconcile)],
    )


async def automate(client: PrefectClient, wanted: Sequence[AutomationCore]) -> list[Outcome]:
    """What became of each: names are not unique in Prefect, so of several the first is kept, and the others go.

    One that a person has switched off stays so.
    """
    there = await read_all(client)
    outcomes = []
    for each in wanted:
        same = [automation for automation in there if automation.name == each.name]
        for superfluous in same[1:]:
            await client.delete_automation(superfluous.id)
        outcomes.append(Outcome(spoken_of(each.name), await _one(client, each, same)))
    return outcomes


def tidying_of(only: str) -> str:
    """What `tidy_up` is called."""
    return f"{PREFIX}tidy up {only}".strip()


def spoken_of(name: str) -> str:
    return f"automation {name!r}"


async def read_all(client: PrefectClient) -> list[Automation]:
    found: list[Automation] = []
    while len(found) % PAGE == 0:
        some = await client.read_automations(limit=PAGE, offset=len(found))
        if not some:
            break
        found += some
    return found


async def _one(client: PrefectClient, wanted: AutomationCore, there: Sequence[Automation]) -> Change:
    if not there:
        await client.create_automation(wanted)
        return Change.CREATED
    wanted = wanted.model_copy(update={"enabled": there[0].enabled})
    if _said(wanted) == _said(there[0]) and len(there) == 1:
        return Change.UNCHANGED
    await client.update_automation(there[0].id, wanted)
    return Change.CHANGED


def _said(automation: AutomationCore) -> object:
    return automation.model_dump(include=set(AutomationCore.model_fields))
