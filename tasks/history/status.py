"""What should serve and what does, per service and region: the release history against live traffic. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.gcp.run import services
from infra.gcp.run.services import RunService
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import Environment
from tasks.model import Place
from tasks.orchestration.gather import all_of


class Standing(StrEnum):
    IN_STEP = "in step"
    DIFFERS = "differs"  # something else serves than was released last
    MOVING = "under way"  # a run is at work, or was killed
    NEVER = "never released"


@dataclass(frozen=True, slots=True)
class Status:
    """One service in one region; its fields are those of `slipway status --json`."""

    environment: str
    service: str
    region: str
    desired: str  # the version released last, '' if none
    current: Mapping[str, int]  # version (or a revision that no release knows) -> percent of the traffic
    standing: Standing
    url: str = ""


async def read_status(manifest: Manifest, environment: Environment) -> tuple[Status, ...]:
    history = await read_history(environment.bucket, manifest.app, environment.name)
    places = [Place(service, region) for region in environment.regions for service in manifest.services]
    found = await all_of(
        [services.get_service(place.run_service(environment.project, manifest.app)) for place in places]
    )
    return tuple(
        status_of(environment.name, place, history, service) for place, service in zip(places, found, strict=True)
    )


def status_of(environment: str, place: Place, history: Sequence[ReleaseRecord], found: RunService | None) -> Status:
    """`history` is newest first."""
    desired, versions = _released(place, history)
    current: dict[str, int] = {}
    for revision, percent in (found.routed if found else {}).items():
        version = versions.get(revision, revision)
        current[version] = current.get(version, 0) + percent
    moving = bool(history) and history[0].state is State.STARTED
    url = found.uri if found else ""
    return Status(environment, place.service, place.region, desired, current, _standing(desired, current, moving), url)


def _released(place: Place, history: Sequence[ReleaseRecord]) -> tuple[str, dict[str, str]]:
    """The version released last, and the version of each revision as the newest release that used it calls it."""
    here = [
        (record, target.revision)
        for record in history
        for target in record.targets
        if target.place == place and target.revision
    ]
    desired = next((record.version for record, _ in here if record.state is State.RELEASED), "")
    return desired, {revision: record.version for record, revision in reversed(here)}


def _standing(desired: str, current: Mapping[str, int], moving: bool) -> Standing:
    if moving:
        return Standing.MOVING
    if not desired:
        return Standing.NEVER
    return Standing.IN_STEP if set(current) == {desired} else Standing.DIFFERS
