"""What should serve and what does, per service and region, and of worker pools: history against what is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from infra.gcp.run import services, worker_pools
from infra.gcp.run.services import RunService
from infra.gcp.run.worker_pools import RunPool
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import PoolSettings
from tasks.model import Place
from tasks.names import naming, resources
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
    kind: str = "service"  # or worker pool, whose instances are of these versions
    revisions: Mapping[str, str] = field(default_factory=dict)  # each that serves -> its version


Live = RunService | RunPool | None  # None: it is not there


async def read_status(manifest: Manifest, environment: Environment) -> tuple[Status, ...]:
    return tuple(status for status, _ in await read_live(manifest, environment))


async def read_live(manifest: Manifest, environment: Environment) -> tuple[tuple[Status, Live], ...]:
    """Each with what Cloud Run says of it as a whole."""
    history = await read_history(environment.bucket, manifest.app, environment.name)
    names = {service: manifest.renamed(environment.name, service) for service in manifest.services}
    places = [Place(service, region, name) for region in environment.regions for service, name in names.items()]
    found = await all_of(
        [services.get_service(place.run_service(environment.project, manifest.app)) for place in places]
    )
    serving = [
        (status_of(environment.name, place, history, service), service)
        for place, service in zip(places, found, strict=True)
    ]
    pools = [manifest.pool_in(environment.name, name) for name in manifest.worker_pools]
    live = await all_of([worker_pools.get_pool(_pool_name(manifest, environment, pool)) for pool in pools])
    working = [(pool_status(environment, pool, history, found), found) for pool, found in zip(pools, live, strict=True)]
    return (*serving, *working)


def _pool_name(manifest: Manifest, environment: Environment, pool: PoolSettings) -> str:
    short = naming.pool_name(manifest.app, pool.name, pool.run_name)
    return resources.worker_pool(environment.project, pool.region or environment.regions[0], short)


def pool_status(
    environment: Environment, pool: PoolSettings, history: Sequence[ReleaseRecord], found: RunPool | None
) -> Status:
    """`history` is newest first."""
    here = [
        (record, each.revision)
        for record in history
        for each in record.pools
        if each.pool == pool.name and each.revision
    ]
    desired, versions = _versions(here)
    shares = found.asked if found and found.instances else {}
    current, known = _by_version(shares, versions), _known(shares, versions)
    region = pool.region or environment.regions[0]
    standing = _standing(desired, current, _is_moving(history))
    return Status(environment.name, pool.name, region, desired, current, standing, kind="worker pool", revisions=known)


def status_of(environment: str, place: Place, history: Sequence[ReleaseRecord], found: RunService | None) -> Status:
    """`history` is newest first."""
    desired, versions = _released(place, history)
    shares = found.routed if found else {}
    current, known = _by_version(shares, versions), _known(shares, versions)
    standing, url = _standing(desired, current, _is_moving(history)), found.uri if found else ""
    return Status(environment, place.service, place.region, desired, current, standing, url, revisions=known)


def _known(shares: Mapping[str, int], versions: Mapping[str, str]) -> dict[str, str]:
    return {revision: versions.get(revision, revision) for revision in shares}


def _by_version(shares: Mapping[str, int], versions: Mapping[str, str]) -> dict[str, int]:
    current: dict[str, int] = {}
    for revision, percent in shares.items():
        version = versions.get(revision, revision)
        current[version] = current.get(version, 0) + percent
    return current


def _is_moving(history: Sequence[ReleaseRecord]) -> bool:
    return bool(history) and history[0].state is State.STARTED


def _released(place: Place, history: Sequence[ReleaseRecord]) -> tuple[str, dict[str, str]]:
    """The version released last, and the version of each revision as the newest release that used it calls it."""
    here = [
        (record, target.revision)
        for record in history
        for target in record.targets
        if target.place == place and target.revision
    ]
    return _versions(here)


def _versions(here: Sequence[tuple[ReleaseRecord, str]]) -> tuple[str, dict[str, str]]:
    desired = next((record.version for record, _ in here if record.state is State.RELEASED), "")
    return desired, {revision: record.version for record, revision in reversed(here)}


def _standing(desired: str, current: Mapping[str, int], moving: bool) -> Standing:
    if moving:
        return Standing.MOVING
    if not desired:
        return Standing.NEVER
    return Standing.IN_STEP if set(current) == {desired} else Standing.DIFFERS
