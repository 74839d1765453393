"""The release history: one JSON record per release in the app's bucket, written before the first change and after each.

A record is the only thing that says what a release meant to do and how far it came; Prefect's database is a view.
Every write names the generation it replaces, so two writers can never both believe they won.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from prefect import get_client
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from infra.gcp.calls.attempts import closed_circuits
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import objects
from tasks.failures.errors import SlipwayError
from tasks.failures.explain import to_slipway
from tasks.failures.redact import redact
from tasks.model import Candidate, Image, Live, Proof, Request, Snapshot, Verdict, Version
from tasks.orchestration.gather import all_of

READ_AT_ONCE = 16
PLENTY = 100  # good releases: more than anybody goes back
NOT_KEPT = "Live traffic is as it was, or is being given back: a release that cannot be recorded does not take place."
OPEN_AMONG = 8  # releases exclude each other, and each one closes what was left open before it


class State(StrEnum):
    STARTED = "started"  # under way, or its process is gone: see reconcile
    RELEASED = "released"  # serves, and was seen healthy
    FAILED = "failed"  # never took traffic, or gave it all back
    CANCELLED = "cancelled"  # a person stopped it; traffic is as it was


class _Frozen(BaseModel):
    """Everything of the record is frozen; a change makes a new one."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TargetRecord(_Frozen):
    """One service in one region."""

    service: str
    region: str
    revision: str = ""
    image: str = ""  # by digest
    before: tuple[tuple[str, int], ...] = ()  # revision, percent: what it goes back to
    serving: str = ""  # the revision that served most before, '' if none of ours did
    verdict: Verdict | None = None
    reason: str = ""
    p50_ms: float | None = None
    p95_ms: float | None = None
    config: dict[str, Any] = {}  # the service's template before the release
    template: dict[str, Any] = {}  # of the revision, as it was written: what drift is measured against
    outcome: str = "planned"  # planned, dark, live; after a failure as in takeback.Outcome
    said: str = ""  # more about the outcome, after a failure


class StepRecord(_Frozen):
    """What was found while the candidates had a part of the traffic; times are UTC."""

    percent: int
    regions: tuple[str, ...]
    began: datetime
    ended: datetime
    verdict: Verdict
    reason: str


class ReleaseRecord(_Frozen):
    """One release; times are UTC."""

    app: str
    environment: str
    version: str
    kind: str
    commit: str
    run_id: str
    trigger: str = ""
    started: datetime
    finished: datetime | None = None
    state: State = State.STARTED
    reason: str = ""
    action: str = "deploy"  # deploy, rollback or promote
    left: str = ""  # the version that a rollback turned away from
    origin: str = ""  # the environment that a promotion came from
    approval: str = ""  # who approved it, and why
    override: str = ""  # who overrode a safeguard, and why
    irreversible: bool = False  # declares a migration that earlier versions cannot live with
    images: dict[str, str] = {}  # service -> image reference by digest
    targets: tuple[TargetRecord, ...] = ()
    steps: tuple[StepRecord, ...] = ()  # of a canary, in the order in which they were judged
    seconds: dict[str, float] = {}


class Ledger:
    """The open record of the release that is going on."""

    def __init__(self, bucket: str, name: str, release: ReleaseRecord, generation: int) -> None:
        self.release, self._bucket, self._name, self._generation = release, bucket, name, generation

    @property
    def places(self) -> list[tuple[str, str]]:
        """Each service and region that the release is to reach."""
        return [(target.service, target.region) for target in self.release.targets]

    async def note(self, **changes: Any) -> None:
        """Replaces these fields and writes the record. Raises CloudError, also if somebody else wrote it meanwhile."""
        self.release = self.release.model_copy(update=changes)
        self._generation = await _write(self._bucket, self._name, self.release, self._generation)

    async def released(self) -> None:
        """The point of no return: from here on the release stands."""
        await self.note(state=State.RELEASED, finished=datetime.now(UTC))

    async def ended(self, error: BaseException) -> None:
        """Notes why the release did not come about. A record that cannot be written is left to reconcile."""
        state = State.FAILED if isinstance(error, Exception) else State.CANCELLED
        reason = error.problem if isinstance(error, SlipwayError) else str(error) or type(error).__name__
        targets = tuple(with_outcome(t, "", t.said) for t in self.release.targets)
        try:
            await self.note(state=state, reason=redact(reason)[:2000], finished=datetime.now(UTC), targets=targets)
        except SlipwayError as unwritten:
            get_run_logger().error("the release record says %s still: %s", State.STARTED, unwritten.problem)

    async def built(self, images: Sequence[Image]) -> None:
        await self.note(images={image.service: image.reference for image in images})

    async def snapshot(self, snapshots: Sequence[Snapshot]) -> None:
        """What is live, before the first write."""
        before = {(each.service, each.region): each for each in snapshots}
        await self.note(
            targets=tuple(with_snapshot(t, before.get((t.service, t.region))) for t in self.release.targets)
        )

    async def deployed(self, candidates: Sequence[Candidate]) -> None:
        """A wave; the services and regions of the other waves stay as they are."""
        new = {(each.service, each.region): each for each in candidates}
        images = self.release.images
        await self.note(
            targets=tuple(with_candidate(t, new.get((t.service, t.region)), images) for t in self.release.targets)
        )

    async def proven(self, proofs: Sequence[Proof]) -> None:
        verdicts = {(proof.service, proof.region): proof for proof in proofs}
        await self.note(targets=tuple(judged(t, verdicts.get((t.service, t.region))) for t in self.release.targets))

    async def stepped(self, step: StepRecord) -> None:
        await self.note(steps=(*self.release.steps, step))

    async def timed(self, what: str, seconds: float) -> None:
        await self.note(seconds={**self.release.seconds, what: round(seconds, 2)})

    async def taken_back(self, outcomes: Mapping[tuple[str, str], tuple[str, str]], seconds: float) -> None:
        """`outcomes` by service and region, with words; `seconds` from the decision to traffic restored everywhere."""
        targets = tuple(with_outcome(t, *outcomes.get((t.service, t.region), ("", ""))) for t in self.release.targets)
        await self.note(targets=targets, seconds={**self.release.seconds, "taken back": round(seconds, 2)})

    async def live(self, live: Sequence[Live]) -> None:
        served = {(each.service, each.region) for each in live}
        await self.note(
            targets=tuple(
                t.model_copy(update={"outcome": "live"}) if (t.service, t.region) in served else t
                for t in self.release.targets
            )
        )


def with_snapshot(target: TargetRecord, before: Snapshot | None) -> TargetRecord:
    if before is None:
        return target
    shares = tuple((t.revision or before.latest_ready, t.percent) for t in before.traffic if t.percent)
    return target.model_copy(update={"before": shares, "serving": before.serving, "config": dict(before.config)})


def with_candidate(target: TargetRecord, new: Candidate | None, images: Mapping[str, str]) -> TargetRecord:
    if new is None:
        return target
    changes = {
        "revision": new.revision,
        "image": images.get(new.service, ""),
        "template": dict(new.template),
        "outcome": "dark",
    }
    return with_snapshot(target, new.before).model_copy(update=changes)


def with_outcome(target: TargetRecord, outcome: str, said: str) -> TargetRecord:
    """As it ended after a failure; where nothing was deployed yet, nothing was touched."""
    outcome = outcome or ("untouched" if target.outcome == "planned" else target.outcome)
    return target.model_copy(update={"outcome": outcome, "said": said})


def judged(target: TargetRecord, proof: Proof | None) -> TargetRecord:
    if proof is None:
        return target
    changes = {"verdict": proof.verdict, "reason": proof.reason, "p50_ms": proof.p50_ms, "p95_ms": proof.p95_ms}
    return target.model_copy(update=changes)


@asynccontextmanager
async def recorded(request: Request, version: Version, action: str = "deploy", **facts: Any) -> AsyncIterator[Ledger]:
    """Writes the intent, and when the block fails, why; the block itself says when the release stands.

    facts: further fields of the record, such as `override`; without `targets`, all that the request names.
    """
    release = ReleaseRecord(
        app=request.app,
        environment=request.environment,
        version=version.version,
        kind=version.kind,
        commit=version.commit,
        run_id=request.run_id,
        trigger=await who_started(request.run_id),
        started=datetime.now(UTC),
        action=action,
        **{"targets": planned((s, r) for r in request.settings.regions for s in request.services), **facts},
    )
    name = record_name(release)
    generation = await _write(request.settings.bucket, name, release, 0)
    ledger = Ledger(request.settings.bucket, name, release, generation)
    try:
        yield ledger
    except BaseException as error:
        if not isinstance(error, Pause):
            with closed_circuits():
                await asyncio.shield(asyncio.ensure_future(ledger.ended(error)))
        raise


def planned(places: Iterable[tuple[str, str]]) -> tuple[TargetRecord, ...]:
    """Services and regions that a release is to reach."""
    return tuple(TargetRecord(service=service, region=region) for service, region in places)


async def _write(bucket: str, name: str, release: ReleaseRecord, generation: int) -> int:
    try:
        return await objects.write_json(bucket, name, release.model_dump(mode="json"), generation)
    except GoogleError as error:
        raise to_slipway(error, f"Writing the release record gs://{bucket}/{name}", NOT_KEPT) from error


def prefix(app: str, environment: str) -> str:
    return f"releases/{app}/{environment}/"


def record_name(release: ReleaseRecord) -> str:
    """Names sort by time, so the newest releases are the last ones of a listing."""
    stamp = release.started.strftime("%Y%m%dT%H%M%S.%fZ")
    return f"{prefix(release.app, release.environment)}{stamp}-{release.run_id}.json"


async def who_started(run_id: str) -> str:
    """Who or what created the run, as far as Prefect knows: a person, a schedule, an automation."""
    async with get_client() as client:
        run = await client.read_flow_run(run_id)  # type: ignore[arg-type]
    creator = run.created_by
    if creator is not None:
        return f"{(creator.type or 'unknown').lower()} {creator.display_value or ''}".strip()
    return "schedule" if run.auto_scheduled else "api"


async def read_history(bucket: str, app: str, environment: str, limit: int | None = None) -> list[ReleaseRecord]:
    """The newest releases first: `limit` of them, else until there are plenty of good ones, however many have failed.

    There are none where there is no bucket yet. A record that cannot be read is an error, not a gap: it may hold the
    last good one.
    """
    names = (await _record_names(bucket, app, environment))[:limit]
    found: list[ReleaseRecord] = []
    for start in range(0, len(names), READ_AT_ONCE):
        batch = await all_of([objects.read_json(bucket, name) for name in names[start : start + READ_AT_ONCE]])
        found += [ReleaseRecord.model_validate(value[0]) for value in batch if value is not None]
        if limit is None and sum(release.state is State.RELEASED for release in found) >= PLENTY:
            break
    return found


async def open_releases(bucket: str, app: str, environment: str) -> list[Ledger]:
    """Those of the newest releases that have not ended as far as their records say; none where there is no bucket."""
    names = (await _record_names(bucket, app, environment))[:OPEN_AMONG]
    values = await all_of([objects.read_json(bucket, name) for name in names])
    ledgers = [
        Ledger(bucket, name, ReleaseRecord.model_validate(value[0]), value[1])
        for name, value in zip(names, values, strict=True)
        if value is not None
    ]
    return [ledger for ledger in ledgers if ledger.release.state is State.STARTED]


async def _record_names(bucket: str, app: str, environment: str) -> list[str]:
    """The newest first; none where there is no bucket."""
    try:
        found = await objects.list_objects(bucket, prefix(app, environment))
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return []
        raise
    return sorted((each.name for each in found), reverse=True)


def good(history: Sequence[ReleaseRecord]) -> list[ReleaseRecord]:
    """Releases that served and were seen healthy, newest first, each version once.

    A version that somebody rolled back from is not good any more, unless it was released again after that.
    """
    seen: dict[str, ReleaseRecord] = {}
    left: set[str] = set()
    for release in history:
        if release.state is not State.RELEASED:
            continue
        left |= {release.left} - set(seen)
        if release.version not in left:
            seen.setdefault(release.version, release)
    return list(seen.values())


def irreversible_since(history: Sequence[ReleaseRecord], release: ReleaseRecord) -> ReleaseRecord | None:
    """What keeps from going back to a release: a newer one of another version that may have migrated data for good.

    One that failed counts, too: its hooks may have run by then.
    """
    newer = (each for each in history if each.started > release.started and each.version != release.version)
    return next((each for each in newer if each.irreversible), None)


def seen_healthy(history: Sequence[ReleaseRecord], service: str, region: str, besides: Collection[str]) -> str:
    """The revision with which the newest good release served there; '' if there is none but `besides` to go back to."""
    usable = (release for release in good(history) if not irreversible_since(history, release))
    targets = (target for release in usable for target in release.targets)
    revisions = (t.revision for t in targets if (t.service, t.region) == (service, region))
    return next((revision for revision in revisions if revision and revision not in besides), "")
