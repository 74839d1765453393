"""Prefect's part in telling people: automations that send a notice through a notification block.

`send-notification`, and never `call-webhook`: the blocks of the latter share one pool of connections, which each call
closes, so that of two at once the slower one is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events.actions import ActionTypes, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from deployments.automations import ANY_RUN, PREFIX, RUNS_THAT_SHIP, automate, read_all, spoken_of
from deployments.register import Change, Outcome
from tasks.drift.look import EVENT as DRIFT
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError
from tasks.observe.notice import EVENT, Kind

TELL = f"{PREFIX}tell "  # what all of them are called
STUCK = timedelta(hours=2)
ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Crashed", "Cancelled", "Paused")}
# What a template does not find must not lose the notice: `x | default(…)` of all that an event may lack.
LINK = "{% if flow_run is defined and flow_run %}{{ flow_run | ui_url }}{% endif %}"
OURS = ("{{ event.payload.title | default(event.event) }}", f"{{{{ event.payload.text | default('') }}}}\n{LINK}")
RUN = "{{ flow_run.name if flow_run is defined and flow_run else event.resource.id }}"
MESSAGE = "{{ flow_run.state.message if flow_run is defined and flow_run and flow_run.state else '' }}"
WAY = "{% for each in event.related if each.role == 'block' %}By {{ each.name }}: {% endfor %}"
LOST_LOG = "{{ event.payload.notification_log | default('') }}"
TIDYING = ResourceSpecification({
    "prefect.resource.role": "flow",
    "prefect.resource.name": ["reconcile", "cleanup"],
})  # fmt: skip
ANYTHING = ResourceSpecification({})


def notices(blocks: Sequence[UUID], fallback: UUID | None = None) -> list[AutomationCore]:
    """blocks: of Prefect, of kinds that notify; each is told, whether the others can be or not.
    fallback: another one, told when a notice could not be sent.
    """
    good = {f"{EVENT}{kind}" for kind in GOOD}
    bad = {f"{EVENT}{kind}" for kind in Kind} - good
    found = [
        _tell("failed releases", "A release failed, was taken back, cancelled, or needs a person.", bad, blocks, OURS),
        _tell("releases", "A release stands, or somebody went back.", good, blocks, OURS),
        _tell("drift", "What is live differs from what was released.", {DRIFT}, blocks, OURS),
        _tell(
            "waiting runs", "A run waits for a person.", {"prefect.flow-run.Paused"}, blocks,
            (f"{RUN} waits for a person", f"Answer with Resume: {LINK}"), RUNS_THAT_SHIP,
        ),
        _tell(
            "crashed runs", "A run that ships was killed; reconcile tidies up.", {"prefect.flow-run.Crashed"}, blocks,
            (f"{RUN} was killed; reconcile tidies up", f"{MESSAGE}\n{LINK}"), RUNS_THAT_SHIP,
        ),
        _tell(
            "failed tidying", "A reconcile or clean-up failed: a record is open, or a clean-up was refused.",
            {"prefect.flow-run.Failed"}, blocks, (f"{RUN} failed", f"{MESSAGE}\n{LINK}"), TIDYING,
        ),
        _stuck(blocks),
    ]  # fmt: skip
    return [*found, *([_lost(fallback, [each.name for each in found])] if fallback else [])]


GOOD = (Kind.RELEASED, Kind.RECOVERED, Kind.ROLLED_BACK)


def _tell(
    what: str,
    said: str,
    events: set[str],
    blocks: Sequence[UUID],
    text: tuple[str, str],
    related: ResourceSpecification | None = None,
) -> AutomationCore:
    return AutomationCore(
        name=f"{TELL}{what}",
        description=said,
        trigger=EventTrigger(
            match=ANY_RUN if related else ANYTHING,
            match_related=related or ANYTHING,
            expect=events,
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=_each(blocks, *text),
    )


def _each(blocks: Sequence[UUID], subject: str, body: str) -> list[ActionTypes]:
    return [SendNotification(block_document_id=block, subject=subject, body=body) for block in blocks]


def _stuck(blocks: Sequence[UUID]) -> AutomationCore:
    """A paused run waits for a person, and has been told of."""
    return AutomationCore(
        name=f"{TELL}stuck runs",
        description=f"A run that ships has neither ended nor asked anybody within {STUCK}.",
        trigger=EventTrigger(
            match=ANY_RUN,
            match_related=RUNS_THAT_SHIP,
            for_each={"prefect.resource.id"},
            after={"prefect.flow-run.Running"},
            expect=ENDS,
            posture=Posture.Proactive,
            threshold=1,
            within=STUCK,
        ),
        actions=_each(blocks, f"{RUN} is stuck", f"For {STUCK}.\n{LINK}"),
    )


def _lost(fallback: UUID, names: Sequence[str]) -> AutomationCore:
    """Of one that fails through the fallback, too, nobody is told: it would fail again, without end."""
    others = [f"{PREFIX}mark*", f"{PREFIX}tidy up*"]
    return AutomationCore(
        name=f"{TELL}lost notices",
        description="A notice could not be sent, or an automation could not do what it is for.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.name": [*names, *others]}),
            expect={"prefect.automation.action.failed"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            SendNotification(
                block_document_id=fallback,
                subject="{{ event.resource.name | default('an automation of Slipway') }} could not do its work",
                body=f"{WAY}{{{{ event.payload.reason | default('No reason is known.') }}}}\n{LOST_LOG}",
            )
        ],
    )


async def find_block(client: PrefectClient, said: str) -> UUID:
    """The id of a notification block that is named kind/name, such as slack-webhook/team. ParameterError if it is none.

    Prefect takes any id, and fails when there is something to tell.
    """
    kind, _, name = said.partition("/")
    try:
        found = await client.read_block_document_by_name(name, kind)
    except ObjectNotFound:
        raise ParameterError(
            f"Prefect has no block {said}.",
            "create it in the Prefect UI under Blocks, and name it as kind/name, such as slack-webhook/team.",
            Cause.NOT_FOUND,
        ) from None
    capabilities: Sequence[str] = found.block_schema.capabilities if found.block_schema else ()
    if "notify" not in capabilities:
        raise ParameterError(f"The block {said} sends no notices.", "name one that does, such as slack-webhook/team.")
    return found.id


async def register_notices(client: PrefectClient, blocks: Sequence[str], fallback: str | None = None) -> list[Outcome]:
    """Makes them as they are to be; one that a person has switched off stays so."""
    found = [await find_block(client, each) for each in blocks]
    return await automate(client, notices(found, await find_block(client, fallback) if fallback else None))


async def silence(client: PrefectClient) -> list[Outcome]:
    """Takes all of them away."""
    gone: Mapping[str, UUID] = {each.name: each.id for each in await read_all(client) if each.name.startswith(TELL)}
    for automation in gone.values():
        await client.delete_automation(automation)
    return [Outcome(spoken_of(name), Change.REMOVED) for name in gone]
