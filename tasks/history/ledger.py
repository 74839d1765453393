"""Writes release records: the intent before the first change, and each step after it.

Every write names the generation it replaces, so two writers can never both believe they won.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Unpack

from prefect.logging import get_run_logger

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.failures.errors import RecordInDoubt, SlipwayError
from tasks.failures.redact import redact
from tasks.history.backup_record import BackupRecord
from tasks.history.facts import Facts
from tasks.history.heartbeat import is_alive
from tasks.history.record import (
    Approval,
    Beside,
    ReleaseRecord,
    State,
    TargetRecord,
    with_beside,
    with_candidate,
    with_ending,
    with_live,
    with_proof,
    with_snapshot,
)
from tasks.history.run import why_ended
from tasks.history.scan_record import ScanRecord
from tasks.history.step_record import HookRecord, StepRecord
from tasks.history.store import Stored, is_conflict, keep_one, read_one, read_open
from tasks.model import Candidate, Ending, Image, Outcome, Place, Proof, Serving, Snapshot, Verdict
from tasks.orchestration.gather import briefly, to_its_end
from tasks.orchestration.stage import stage_seconds

WAITED_S = 2.0  # for a write that hangs, by who is cancelled or has users on a bad version; it goes on beside


class Ledger:
    """The open record of the release that is going on; what is told to it is written before it answers.

    Every method raises CloudError if the record cannot be written, also because somebody else wrote it meanwhile.
    """

    def __init__(
        self, bucket: str, name: str, release: ReleaseRecord, generation: int, *, hurries: bool = False
    ) -> None:
        """generation: 0 where there is none yet. hurries: users are on a bad version until traffic moves."""
        self.release, self._bucket, self._name, self._generation = release, bucket, name, generation
        self._hurries = hurries
        self._tried = [release]  # what was written last, for all we know: all that was sent since the last answer
        self._writing = asyncio.Lock()

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the release is to go."""
        return tuple(target.place for target in self.release.targets)

    async def begin(self) -> None:
        """The intent, before anything is changed."""
        await self._keep()

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        """What is live, before the first write."""
        before = {each.place: each for each in snapshots}
        await self._keep(targets=self._each(lambda target: with_snapshot(target, before.get(target.place))))

    def built(self, images: Sequence[Image]) -> None:
        """Written with what is told next: nothing refers to them yet."""
        sources = {each.service: each.source for each in images if each.source}
        self._note(images={each.service: each.reference for each in images}, sources=sources)

    async def deployed(self, candidates: Sequence[Candidate]) -> None:
        """What has a revision by now; the other places stay as they are."""
        new, images = {each.place: each for each in candidates}, self.release.images
        await self._keep(targets=self._each(lambda target: with_candidate(target, new.get(target.place), images)))

    async def beside(self, *known: Beside) -> None:
        """What is known of these jobs and pools by now."""
        self.release = with_beside(self.release, known)
        await self._keep()

    async def proven(self, proofs: Sequence[Proof]) -> None:
        found = {proof.place: proof for proof in proofs}
        self._note(targets=self._each(lambda target: with_proof(target, found.get(target.place))))
        await (self._keep() if all(each.verdict is Verdict.HEALTHY for each in proofs) else self._soon())

    async def approved(self, approval: Approval) -> None:
        await self._keep(approval=approval)

    async def stepped(self, step: StepRecord) -> None:
        self._note(steps=(*self.release.steps, step))
        await (self._keep() if step.verdict is Verdict.HEALTHY else self._soon())

    async def hooked(self, *done: HookRecord) -> None:
        await self._keep(hooks=(*self.release.hooks, *done))

    async def scanned(self, scans: Sequence[ScanRecord]) -> None:
        """What was found in the images, instead of what was found before."""
        await self._keep(scans=tuple(scans))

    def audited(self, audits: Sequence[ScanRecord]) -> None:
        """Written with what is told next."""
        self._note(audits=tuple(audits))

    async def backed_up(self, backup: BackupRecord) -> None:
        await self._keep(backup=backup)

    def live(self, live: Sequence[Serving]) -> None:
        """Written with what is told next: until the release stands, all of it is given back when its run dies."""
        served = {each.place for each in live}
        self._note(targets=self._each(lambda target: with_live(target) if target.place in served else target))

    async def timed(self, what: str, seconds: float) -> None:
        """No reason to wait, or to give users back what somebody turns away from."""
        self._note(seconds={**self.release.seconds, what: round(seconds, 2)})
        await self._soon()

    async def left_out(self, regions: Collection[str]) -> None:
        """What is gone back to does not go there."""
        await self._keep(targets=tuple(each for each in self.release.targets if each.region not in regions))

    @property
    def stands(self) -> bool:
        return self.release.state is State.RELEASED

    async def released(self, **took: float) -> None:
        """The point of no return: from here on the release stands. Raises RecordInDoubt if nobody can tell; and where
        the word of a rollback cannot be written, which has all traffic by now: reconcile finishes it.

        took: seconds by what they were taken for.
        """
        if self.stands:
            return
        before, seconds = self.release, self._seconds() | {name: round(each, 2) for name, each in took.items()}
        stands: Facts = {"state": State.RELEASED, "finished": datetime.now(UTC), "seconds": seconds}
        try:
            await to_its_end(self._write(stands))
        except SlipwayError as unwritten:
            self.release = before
            if not await self._says_released(unwritten):
                raise

    async def _says_released(self, unwritten: SlipwayError) -> bool:
        """Whether the write has arrived although its answer was an error, or somebody else has finished the release."""
        try:
            found = await read_one(self._bucket, self._name)
        except GoogleError as error:
            raise RecordInDoubt(
                f"Nobody can tell whether the record gs://{self._bucket}/{self._name} says that "
                f"{self.release.version} stands: {unwritten.problem}"
            ) from error
        if found and (found.release == self._tried[-1] or found.release.state is State.RELEASED):
            self._adopt(found)
            return True
        if (found.generation if found else 0) == self._generation and self.release.action == "rollback":
            done = "reconcile then finishes the rollback" if found else "then roll back again, to have it recorded"
            raise RecordInDoubt(
                f"The record gs://{self._bucket}/{self._name} does not say yet that {self.release.version} stands: "
                f"{unwritten.problem}",
                f"see that the bucket can be written; {done}.",
                state="All traffic is where the rollback has moved it.",
            )
        return False

    def _adopt(self, found: Stored) -> None:
        self.release, self._generation = found.release, found.generation

    async def claim(self) -> None:
        """Writes what is owed, so that nobody finishes what is being given back; what somebody has finished, stands."""
        try:
            await to_its_end(self._write({}), WAITED_S)
        except SlipwayError as unwritten:
            found = await read_one(self._bucket, self._name) if is_conflict(unwritten) else None
            if found and found.release.state is State.RELEASED:
                self._adopt(found)

    def moving(self) -> None:
        """From here on users may be served by what is released; written with what is told next."""
        self._hurries = False
        if self.release.moved is None:
            self.release = self.release.model_copy(update={"moved": datetime.now(UTC)})

    def owe(self, places: Sequence[Place], met: Sequence[Snapshot] = ()) -> None:
        """These are being given back: whatever ends this run now, its record stays open until they are.

        met: to what.
        """
        was = {each.place: each for each in met}
        self._note(targets=self._each(lambda target: with_snapshot(target, was.get(target.place))))
        owed = {
            place: Ending(place, Outcome.GIVING_BACK, "its run was giving it back when it ended") for place in places
        }
        self._note(targets=self._ended(tuple(owed.values())))

    def owe_beside(self, known: Sequence[Beside]) -> None:
        """The same of these jobs and pools."""
        owed = (each.model_copy(update={"outcome": Outcome.GIVING_BACK}) for each in known)
        self.release = with_beside(self.release, owed)

    async def taken_back(self, endings: Sequence[Ending], seconds: float) -> None:
        """`seconds` from the decision to traffic restored everywhere."""
        self._note(targets=self._ended(endings), seconds={**self.release.seconds, "taken back": round(seconds, 2)})
        await self._soon()

    async def settled(self, endings: Sequence[Ending], state: State, reason: str) -> None:
        """For the record of a run that is gone, once its traffic is as it was."""
        await self._keep(targets=self._ended(endings), state=state, reason=reason, finished=datetime.now(UTC))

    async def ended(self, error: BaseException) -> None:
        """Notes why the release did not come about. It stays open while anything could not be given back.

        A record that cannot be written is left to reconcile; that of a release that stands, as it is.
        """
        if self.stands or isinstance(error, RecordInDoubt):
            return
        self._hurries = False
        state, said = await why_ended(error, self.release.run_id)
        facts: Facts = {
            "state": state,
            "reason": redact(said)[:2000],
            "cause": str(error.cause) if isinstance(error, SlipwayError) else "",
            "finished": datetime.now(UTC),
            "targets": self._ended(()),
            "seconds": self._seconds(),
        }
        try:
            await self._keep(**facts)
        except SlipwayError as unwritten:
            get_run_logger().error("the release record says %s still: %s", State.STARTED, unwritten.problem)
        if self.release.is_open:
            get_run_logger().error("the record stays open: reconcile goes on until all traffic is given back")

    async def found(self, endings: Sequence[Ending]) -> None:
        """How far a try to settle it came; it stays open."""
        await self._keep(targets=self._ended(endings))

    async def is_alive(self) -> bool:
        """Whether somebody is at work on it. Takes half a minute."""
        return await is_alive(self._bucket, self._name, self._generation)

    async def mark(self) -> None:
        """Shows that the release is under way. Raises GoogleError, FAILED_PRECONDITION if somebody else has written."""
        async with self._writing:
            if not self._generation:
                return  # its first write goes on, or is made with what is told next
            mark = secrets.token_hex(4)
            try:
                await objects.touch(self._bucket, self._name, self._generation, mark)
            except GoogleError as error:
                if error.status != "FAILED_PRECONDITION":
                    raise
                self._generation = await self._our_own(error)
                await objects.touch(self._bucket, self._name, self._generation, mark)

    def _note(self, **facts: Unpack[Facts]) -> None:
        self.release = self.release.model_copy(update=dict(facts))

    async def _keep(self, **facts: Unpack[Facts]) -> None:
        self._note(**facts)
        if self._hurries:  # a write that hangs goes on beside, and what is told next is written after it
            await briefly(self._write({}), 0.0 if self._writing.locked() else WAITED_S)
        else:
            await to_its_end(self._write({}), WAITED_S)

    async def _soon(self) -> None:
        """For whoever has users on a bad version: what hangs, or cannot be written, is so with what is told next."""
        try:
            await briefly(self._write({}), WAITED_S)
        except SlipwayError as unwritten:
            get_run_logger().warning("the release record does not say so yet: %s", unwritten.problem)

    async def _write(self, facts: Facts) -> None:
        async with self._writing:
            self._note(**facts)
            sent = self.release
            self._tried.append(sent)
            try:
                self._generation = await keep_one(self._bucket, self._name, sent, self._generation)
            except SlipwayError as error:
                if not is_conflict(error):
                    raise
                self._generation = await self._over_our_own(sent, error)
            self._tried = [sent]

    async def _over_our_own(self, sent: ReleaseRecord, error: SlipwayError) -> int:
        """Written once more where it was a write of our own that came in between, with an answer that was lost."""
        generation = await self._our_own(error)
        return await keep_one(self._bucket, self._name, sent, generation)

    async def _our_own(self, error: Exception) -> int:
        """The generation that it has, if it says what we may have written last; else raises the error."""
        try:
            found = await read_one(self._bucket, self._name)
        except GoogleError:
            raise error from None
        if found is None or found.release not in self._tried:
            raise error
        return found.generation

    def _seconds(self) -> dict[str, float]:
        return {**{name: round(took, 2) for name, took in stage_seconds().items()}, **self.release.seconds}

    def _each(self, change: Callable[[TargetRecord], TargetRecord]) -> tuple[TargetRecord, ...]:
        return tuple(map(change, self.release.targets))

    def _ended(self, endings: Sequence[Ending]) -> tuple[TargetRecord, ...]:
        by_place = {each.place: each for each in endings}
        return self._each(lambda target: with_ending(target, by_place.get(target.place)))


async def open_releases(bucket: str, app: str, environment: str) -> list[Ledger]:
    """Those of the newest releases that have not ended as far as their records say."""
    found = await read_open(bucket, app, environment)
    return [Ledger(bucket, each.name, each.release, each.generation) for each in found]
