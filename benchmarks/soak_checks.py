"""What a soak must leave behind: nothing lost, nothing stuck, nothing doubled. Each check answers what is wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import httpx
from google.cloud import run_v2
from prefect.client.orchestration import PrefectClient

from benchmarks.memory import children
from infra.gcp import builds
from infra.gcp.run import services as run
from infra.gcp.run.revisions import list_revisions
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.names.labels import label_value

SETTLE_S = 120.0  # for what ended runs have started and left: reconcile's runs, operations under way


@dataclass(frozen=True, slots=True)
class Shipped:
    """One app after the soak: `served` are the versions that a run said serve, oldest first."""

    project: str
    region: str
    app: str
    services: tuple[str, ...]
    served: tuple[str, ...]
    runs: Mapping[str, bool]  # id -> whether it succeeded

    @property
    def newest(self) -> str:
        return self.served[-1] if self.served else ""

    def place(self, service: str) -> str:
        return f"projects/{self.project}/locations/{self.region}/services/{self.app}-{service}"

    async def records(self) -> list[ReleaseRecord]:
        return await read_history(f"{self.project}-slipway", self.app, "production")


Check = Callable[[Shipped], Awaitable[list[str]]]


async def not_serving(app: Shipped) -> list[str]:
    """Services whose newest shipped version does not have all traffic, or does not answer."""
    return [flaw for service in app.services if (flaw := await _not_serving(app, service))]


async def _not_serving(app: Shipped, service: str) -> str:
    found = await run.get_service(app.place(service))
    if found is None or not app.newest:
        return f"{app.app}-{service} does not exist, or no version of {app.app} was shipped"
    versions = {r.name: r.labels.get("slipway-version", "") for r in await list_revisions(app.place(service))}
    live = {versions.get(str(t.revision), "?"): t.percent for t in found.live if t.percent}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        answer = (await client.get(found.uri)).text
    if live == {label_value(app.newest): 100} and answer == app.newest and found.ready:
        return ""
    return f"{app.app}-{service} routes {live} and answers {answer!r}, not {app.newest}"


async def records_open(app: Shipped) -> list[str]:
    return [f"{app.app} {r.version}, run {r.run_id}" for r in await app.records() if r.state is State.STARTED]


async def runs_and_records_that_differ(app: Shipped) -> list[str]:
    """A run that succeeded has one record that says released; one that failed has none, or one that says failed."""
    kept = [(record.run_id, record.state is State.RELEASED) for record in await app.records()]
    told = {run_id for run_id, succeeded in app.runs.items() if succeeded}
    doubts = Counter(kept) - Counter(dict.fromkeys(app.runs.items(), 1))
    missing = told - {run_id for run_id, _ in kept}
    return [f"{app.app}: record of run {run_id} says released: {said}" for run_id, said in doubts] + [
        f"{app.app}: no record of run {run_id}" for run_id in missing
    ]


async def builds_under_way(app: Shipped) -> list[str]:
    return [build.name for build in await _builds(app) if not build.finished]


async def contents_built_twice(app: Shipped) -> list[str]:
    """A build's tags tell the service and the content that it was for."""
    succeeded = [build.tags for build in await _builds(app) if build.status == "SUCCESS"]
    return _doubled(" ".join(sorted(t for t in tags if t.startswith(("service-", "src-")))) for tags in succeeded)


async def _builds(app: Shipped) -> list[builds.Build]:
    return await builds.list_builds(app.project, app.region, f'tags="app-{app.app}"')


async def versions_deployed_twice(app: Shipped) -> list[str]:
    """The manifest never changes, so each version has one configuration and needs one revision."""
    flaws = []
    for service in app.services:
        revisions = await list_revisions(app.place(service)) if await run.get_service(app.place(service)) else []
        labels = (r.labels["slipway-version"] for r in revisions if "slipway-version" in r.labels)
        flaws += [f"{app.app}-{service} {version}" for version in _doubled(labels)]
    return flaws


def _doubled(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


CHECKS: Mapping[str, Check] = {
    "services without their newest shipped version at 100 %": not_serving,
    "release records open": records_open,
    "runs whose record is missing, doubled or says otherwise": runs_and_records_that_differ,
    "builds under way": builds_under_way,
    "contents built twice": contents_built_twice,
    "versions with two revisions": versions_deployed_twice,
}


async def unfinished(client: PrefectClient) -> list[str]:
    """Flow runs that have begun and not ended, whatever they are for."""
    found = [r for start in range(0, 1000, 200) for r in await client.read_flow_runs(limit=200, offset=start)]
    return [f"{r.name} is {r.state_name}" for r in found if r.start_time and r.state and not r.state.is_final()]


async def locks_held(client: PrefectClient) -> list[str]:
    return [limit.name for limit in await client.read_global_concurrency_limits(limit=200) if limit.active_slots]


async def operations_pending(project: str, region: str) -> list[str]:
    """Of Cloud Run, Cloud Build and Artifact Registry alike."""
    where = {"name": f"projects/{project}/locations/{region}"}
    found = await asyncio.to_thread(lambda: run_v2.ServicesClient().list_operations(where))
    return [operation.name for operation in found.operations if not operation.done]


async def examine(client: PrefectClient, workers: Sequence[int], apps: Sequence[Shipped]) -> dict[str, list[str]]:
    """What is wrong, by what was looked for; everything is given a while to end first. `workers` are their pids."""
    place = (apps[0].project, apps[0].region)

    async def pending() -> dict[str, list[str]]:
        return {
            "runs that have not ended": await unfinished(client),
            "processes of runs": [str(pid) for worker in workers for pid in children(worker)],
            "locks held": await locks_held(client),
            "operations pending": await operations_pending(*place),
        }

    try:
        async with asyncio.timeout(SETTLE_S):
            while any((left := await pending()).values()):  # noqa: ASYNC110 - neither Prefect nor the cloud tells
                await asyncio.sleep(2)
    except TimeoutError:
        left = await pending()
    flaws = {what: [flaw for app in apps for flaw in await check(app)] for what, check in CHECKS.items()}
    return {**left, **flaws}
