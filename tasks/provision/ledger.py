"""Keeps the record of a run, and shows it: whatever ends the run, what was made and found is written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from prefect.artifacts import acreate_table_artifact
from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp.calls.attempts import closed_circuits
from infra.terraform.plan import Resource
from infra.terraform.work import TerraformFailed
from tasks.failures.errors import SlipwayError
from tasks.failures.redact import redact
from tasks.orchestration.artifacts import key
from tasks.orchestration.gather import to_its_end
from tasks.provision import outputs, progress
from tasks.provision.look import look_live
from tasks.provision.outputs import Known
from tasks.provision.progress import Progress
from tasks.provision.record import (
    Action,
    Output,
    ProvisionRecord,
    State,
    Stored,
    begin,
    newest_generation,
    read_records,
)
from tasks.provision.site import Site, host
from tasks.provision.wanted import generation_in

SETTLES_S = 300.0  # what a gateway that an earlier run had begun to make may still take


class Ledger:
    """The open record of the run that is going on."""

    def __init__(self, site: Site, stored: Stored) -> None:
        self.site, self._stored = site, stored
        self.progress = Progress()
        self.generation = 0  # of the key, as far as earlier runs came: the records of only so many are read
        self.outputs: tuple[Output, ...] = ()
        self.ending = State.DONE  # how the run ends if nothing goes wrong

    async def adopted(self, addresses: Sequence[str]) -> None:
        await self._keep(self._stored.record.model_copy(update={"adopted": tuple(addresses)}))

    async def applies(self) -> None:
        """From now on things are made by the names that the site has."""
        changes = {"generation": self.site.wanted.generation, "applied": datetime.now(UTC)}
        await self._keep(self._stored.record.model_copy(update=changes))

    async def close(self, state: State, reason: str = "") -> None:
        """Finds the outputs, writes all of it down, and shows it."""
        good = state in (State.DONE, State.UNCHANGED)
        if self.record.action != "destroy":
            self.outputs = await discover(self.site, SETTLES_S if good else 0.0)
        changes = {
            "state": state,
            "reason": redact(reason),
            "finished": datetime.now(UTC),
            "resources": tuple(self.progress.resources.values()),
            "outputs": self.outputs,
            "generation": max(self.record.generation, self.generation),
        }
        await self._keep(self._stored.record.model_copy(update=changes))
        await show(self.site, self.progress, self.outputs)

    @property
    def only_plans(self) -> bool:
        return self.record.action == "plan"

    @property
    def record(self) -> ProvisionRecord:
        return self._stored.record

    async def _keep(self, record: ProvisionRecord) -> None:
        self._stored = await self._stored.replaced(record)


@asynccontextmanager
async def recorded(site: Site, action: Action = "provision") -> AsyncIterator[Ledger]:
    """Begins the record, and closes it however the block ends; who is cancelled waits for that."""
    record = ProvisionRecord(
        app=site.request.app,
        environment=site.request.environment,
        run_id=site.request.run_id,
        action=action,
        started=datetime.now(UTC),
        host=host(),
        apply_s=site.work.limits.apply_s + site.work.limits.grace_s,
    )
    ledger = Ledger(site, await begin("" if site.is_new else site.bucket, record))
    try:
        yield ledger
    except Pause:
        raise
    except BaseException as error:
        with closed_circuits():
            await to_its_end(_failed(ledger, error))
        raise
    finally:
        site.work.drop_plan()  # also one that nobody agreed to: it holds keys in clear
        site.work.mask_logs(redact, record.started)
    await to_its_end(ledger.close(ledger.ending))


async def _failed(ledger: Ledger, error: BaseException) -> None:
    state = State.PARTIAL if ledger.progress.done else State.FAILED
    reason = error.problem if isinstance(error, SlipwayError) else str(error) or type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        state, reason = State.CANCELLED, "It was cancelled."
    try:
        await ledger.close(state, reason)
    except Exception as unkept:  # what the run failed by is what matters
        get_run_logger().warning("the record stays open, and the next run closes it: %s", redact(str(unkept)))


async def discover(site: Site, patience_s: float = 0.0) -> tuple[Output, ...]:
    """Everything that can be found by now, and why the rest cannot. What Terraform cannot say, the live API may."""
    known = Known(await _said(site), await _in_state(site))
    site = site.with_generation(generation_in(known.state) or await _generation(site))
    live = await look_live(site.request, site.wanted, patience_s)
    found = outputs.settle(site.wanted, known, live, datetime.now(UTC))
    for each in found:
        if each.is_there:
            get_run_logger().info("%s: %s (from %s, verified)", each.name, each.value, each.source)
        else:
            get_run_logger().warning("%s is missing: %s. Then: %s", each.name, each.reason, each.command)
    return found


async def _generation(site: Site) -> int:
    """Of the key, where the state does not tell: a run that ended early does not know it yet, but earlier ones did."""
    records = await read_records(site.bucket, site.request.app, site.request.environment)
    return max(site.wanted.generation, newest_generation(records))


async def _said(site: Site) -> dict[str, object]:
    try:
        return await site.work.outputs()
    except (TerraformFailed, OSError, TimeoutError) as error:
        get_run_logger().info("terraform output says nothing: %s", redact(str(error)))
        return {}


async def _in_state(site: Site) -> dict[str, Resource]:
    try:
        return await site.work.state()
    except (TerraformFailed, OSError, TimeoutError) as error:
        get_run_logger().info("the state cannot be read: %s", redact(str(error)))
        return {}


async def show(site: Site, known: Progress, found: tuple[Output, ...]) -> None:
    """Two tables: what became of each resource, and what can be used."""
    request = site.request
    for name, rows, title in (
        ("resources", progress.rows(known.resources.values()), "Resources"),
        ("outputs", outputs.rows(found), "Outputs"),
    ):
        if rows:
            await acreate_table_artifact(
                [dict(row) for row in rows],
                key=key(request.app, request.environment, name),
                description=f"{title} of {request.app} in {request.environment}",
            )
