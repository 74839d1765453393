"""Writes release records: the intent before the first change, and each step after it.

Every write names the generation it replaces, so two writers can never both believe they won.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypedDict, Unpack

from prefect import get_client
from prefect.exceptions import Pause
from prefect.logging import get_run_logger

from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import to_slipway
from tasks.failures.redact import redact
from tasks.history.record import (
    Approval,
    Intent,
    ReleaseRecord,
    State,
    StepRecord,
    TargetRecord,
    planned,
    with_candidate,
    with_ending,
    with_live,
    with_proof,
    with_snapshot,
)
from tasks.history.store import read_open, record_name
from tasks.model import Candidate, Ending, Image, Place, Proof, Request, Serving, Snapshot

NOT_KEPT = "Live traffic is as it was, or is being given back: a release that cannot be recorded does not take place."


class Facts(TypedDict, total=False):
    """What becomes known of a release once its record is begun."""

    state: State
    reason: str
    finished: datetime
    approval: Approval
    images: Mapping[str, str]
    targets: tuple[TargetRecord, ...]
    steps: tuple[StepRecord, ...]
    seconds: Mapping[str, float]


class Ledger:
    """The open record of the release that is going on; what is told to it is written before it answers.

    Every method raises CloudError if the record cannot be written, also because somebody else wrote it meanwhile.
    """

    def __init__(self, bucket: str, name: str, release: ReleaseRecord, generation: int) -> None:
        self.release, self._bucket, self._name, self._generation = release, bucket, name, generation

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the release is to go."""
        return tuple(target.place for target in self.release.targets)

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        """What is live, before the first write."""
        before = {each.place: each for each in snapshots}
        await self._keep(targets=self._each(lambda target: with_snapshot(target, before.get(target.place))))

    async def built(self, images: Sequence[Image]) -> None:
        await self._keep(images={image.service: image.reference for image in images})

    async def deployed(self, candidates: Sequence[Candidate]) -> None:
        """A wave; the places of the other waves stay as they are."""
        new, images = {each.place: each for each in candidates}, self.release.images
        await self._keep(targets=self._each(lambda target: with_candidate(target, new.get(target.place), images)))

    async def proven(self, proofs: Sequence[Proof]) -> None:
        found = {proof.place: proof for proof in proofs}
        await self._keep(targets=self._each(lambda target: with_proof(target, found.get(target.place))))

    async def approved(self, approval: Approval) -> None:
        await self._keep(approval=approval)

    async def stepped(self, step: StepRecord) -> None:
        await self._keep(steps=(*self.release.steps, step))

    async def live(self, live: Sequence[Serving]) -> None:
        served = {each.place for each in live}
        await self._keep(targets=self._each(lambda target: with_live(target) if target.place in served else target))

    async def timed(self, what: str, seconds: float) -> None:
        await self._keep(seconds={**self.release.seconds, what: round(seconds, 2)})

    async def released(self) -> None:
        """The point of no return: from here on the release stands."""
        await self._keep(state=State.RELEASED, finished=datetime.now(UTC))

    async def taken_back(self, endings: Sequence[Ending], seconds: float) -> None:
        """`seconds` from the decision to traffic restored everywhere."""
        taken = {**self.release.seconds, "taken back": round(seconds, 2)}
        await self._keep(targets=self._ended(endings), seconds=taken)

    async def settled(self, endings: Sequence[Ending], state: State, reason: str) -> None:
        """For the record of a run that is gone, once its traffic is as it was."""
        await self._keep(targets=self._ended(endings), state=state, reason=reason, finished=datetime.now(UTC))

    async def ended(self, error: BaseException) -> None:
        """Notes why the release did not come about. A record that cannot be written is left to reconcile."""
        state = State.FAILED if isinstance(error, Exception) else State.CANCELLED
        said = error.problem if isinstance(error, SlipwayError) else str(error) or type(error).__name__
        reason = redact(said)[:2000]
        try:
            await self._keep(state=state, reason=reason, finished=datetime.now(UTC), targets=self._ended(()))
        except SlipwayError as unwritten:
            get_run_logger().error("the release record says %s still: %s", State.STARTED, unwritten.problem)

    async def _keep(self, **facts: Unpack[Facts]) -> None:
        self.release = self.release.model_copy(update=dict(facts))
        self._generation = await _write(self._bucket, self._name, self.release, self._generation)

    def _each(self, change: Callable[[TargetRecord], TargetRecord]) -> tuple[TargetRecord, ...]:
        return tuple(map(change, self.release.targets))

    def _ended(self, endings: Sequence[Ending]) -> tuple[TargetRecord, ...]:
        by_place = {each.place: each for each in endings}
        return self._each(lambda target: with_ending(target, by_place.get(target.place)))


@asynccontextmanager
async def recorded(request: Request, intent: Intent) -> AsyncIterator[Ledger]:
    """Writes the intent, and when the block fails, why; the block itself says when the release stands."""
    bucket, version = request.settings.bucket, intent.version
    release = ReleaseRecord(
        app=request.app,
        environment=request.environment,
        version=version.version,
        kind=version.kind,
        commit=version.commit,
        run_id=request.run_id,
        trigger=await who_started(request.run_id),
        started=datetime.now(UTC),
        action=intent.action,
        left=intent.left,
        origin=intent.origin,
        override=intent.override,
        irreversible=intent.irreversible,
        images=dict(intent.images),
        targets=planned(intent.places or request.places),
    )
    name = record_name(release)
    ledger = Ledger(bucket, name, release, await _write(bucket, name, release, 0))
    try:
        yield ledger
    except BaseException as error:
        if not isinstance(error, Pause):
            with closed_circuits():
                await asyncio.shield(asyncio.ensure_future(ledger.ended(error)))
        raise


async def open_releases(bucket: str, app: str, environment: str) -> list[Ledger]:
    """Those of the newest releases that have not ended as far as their records say."""
    found = await read_open(bucket, app, environment)
    return [Ledger(bucket, each.name, each.release, each.generation) for each in found]


async def _write(bucket: str, name: str, release: ReleaseRecord, generation: int) -> int:
    try:
        return await objects.write_json(bucket, name, release.model_dump(mode="json"), generation)
    except GoogleError as error:
        raise to_slipway(error, f"Writing the release record gs://{bucket}/{name}", NOT_KEPT) from error


async def who_started(run_id: str) -> str:
    """Who or what created the run, as far as Prefect knows: a person, a schedule, an automation."""
    async with get_client() as client:
        run = await client.read_flow_run(run_id)  # type: ignore[arg-type]
    creator = run.created_by
    if creator is not None:
        return f"{(creator.type or 'unknown').lower()} {creator.display_value or ''}".strip()
    return "schedule" if run.auto_scheduled else "api"
