"""Runs of the deploy flow that are held at a stage, to be cancelled or killed there."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State as RunState
from prefect.states import Cancelling

from flows.deploy import deploy
from infra.gcp import builds
from infra.gcp.run import services as run
from infra.gcp.run.revisions import list_revisions
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.machine import kill_where, start_deploy, until_ended

PATIENCE_S = 120.0
RESTORED_LIMIT_S = 30.0  # then Prefect kills; on an idle machine it takes less than 3 s
LEASE_AND_MORE_S = 150.0  # a dead run's lock is free after 60 s
HEALTHY = "  web: {health: {body: ok, tries: 2, backoff_min: 0.1s, samples: 3}, public: true}"
NEVER_HEALTHY = "  web: {health: {body: ok, tries: 20, timeout: 5s, backoff_min: 5s, samples: 3}, public: true}"
CANARY = "strategy: {canary: [20], bake: 10m}"


@dataclass(frozen=True)
class Stage:
    """A point at which a release can be held: where it is seen to be, and what keeps it there."""

    name: str
    task: str  # the name of the task that is running then begins so
    services: str = HEALTHY
    environment: str = "strategy: direct"
    latency: str = ""  # of the local cloud, which is then as long as the run is held
    program: str = program(body="ok 2")
    fault: dict[str, object] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def passes(self) -> bool:
        """Whether the release goes on by itself when the cloud does not hold it any more."""
        return bool(self.latency or self.fault)


def held(method: str, skip: int = 0) -> dict[str, object]:
    return {"method": method, "delay_s": 300.0, "skip": skip}


UPDATE = "google.cloud.run.v2.Services/UpdateService"
PREFLIGHT = Stage("preflight", "preflight", fault=held("google.api.serviceusage.v1.ServiceUsage/BatchGetServices"))
BUILD = Stage("build", "build web", latency="build.queue")
DEPLOY = Stage("deploy", "deploy web", fault=held(UPDATE))
PROVE = Stage("prove", "prove web", services=NEVER_HEALTHY, program=program(status=500))
APPROVAL = Stage("approval", "", environment="approval: required")
SHIFT = Stage("shift", "move traffic", fault=held(UPDATE, skip=1))
WATCH = Stage("watch", "watch", environment=CANARY)
STAGES = (PREFLIGHT, BUILD, DEPLOY, PROVE, APPROVAL, SHIFT, WATCH)
RECORDED = STAGES[1:]  # where the release has a record
PASSING = tuple(stage for stage in STAGES if stage.passes)


class Held:
    """A run of the deploy flow that is held at a stage, in a process of the worker."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        folder.mkdir(parents=True)
        self.stage = stage
        self.app = App(folder, f"s{zlib.crc32(str(folder).encode()):08x}")
        self.before: dict[str, int] = {}
        self.id = UUID(int=0)

    async def reach(self, cloud: LocalCloud, hold_s: float = 300.0) -> None:
        """Releases v1.0.0, and then v1.1.0 up to the stage. A build is held no longer than `hold_s`."""
        app, stage = self.app, self.stage
        app.write("web", program())
        app.manifest(HEALTHY)
        app.commit("v1.0.0")
        await deploy(self.source, "production")
        self.before = await self.traffic()
        app.write("web", stage.program)
        app.manifest(stage.services, stage.environment)
        app.commit("v1.1.0")
        cloud.put("/faults", [stage.fault] if stage.fault else [])
        cloud.put("/latency", {"profile": "instant", "stages": {stage.latency: hold_s} if stage.latency else {}})
        self.id = await start_deploy(app)
        await self.until_there()

    @property
    def source(self) -> Source:
        return Source(repository=str(self.app.folder))

    async def until_there(self) -> None:
        async with get_client() as client, asyncio.timeout(PATIENCE_S):
            while True:
                found = await client.read_flow_run(self.id)
                assert found.state is not None
                assert not found.state.is_final(), found.state.message
                tasks = await client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[self.id])))
                running = [task.name for task in tasks if task.state and task.state.is_running()]
                if any(self.stage.task and name.startswith(self.stage.task) for name in running):
                    break
                if not self.stage.task and found.state.is_paused():
                    break
                await asyncio.sleep(0.2)
            while self.stage.latency and not await self.builds("QUEUED", "WORKING"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def cancel(self) -> tuple[float, float]:
        """The seconds until everything is as it was, and until Prefect says Cancelled."""
        began = time.monotonic()
        async with get_client() as client, asyncio.timeout(2 * PATIENCE_S):
            await client.set_flow_run_state(self.id, Cancelling())
            while not await self.is_restored():  # noqa: ASYNC110 - the cloud does not tell
                await asyncio.sleep(0.1)
            restored_s = time.monotonic() - began
            ended = await self.until_ended()
        assert ended.name == "Cancelled"
        return restored_s, time.monotonic() - began

    async def is_restored(self) -> bool:
        """Traffic as before, no build under way, the record closed if there is one."""
        record = await self.record()
        closed = record is None or record.state is State.CANCELLED
        return closed and await self.traffic() == self.before and not await self.builds("QUEUED", "WORKING")

    def kill(self) -> None:
        """-9, to the process that runs the flow."""
        word = f"PREFECT__FLOW_RUN_ID={self.id}".encode()
        assert kill_where(lambda _, variables: word in variables) > 0

    async def until_ended(self) -> RunState:
        return await until_ended(self.id, LEASE_AND_MORE_S)

    async def record(self) -> ReleaseRecord | None:
        """The record of v1.1.0; None when it was never begun."""
        newest = (await read_history(f"{PROJECT}-slipway", self.app.name, "production"))[0]
        return newest if newest.version == "v1.1.0" else None

    async def until_settled(self) -> ReleaseRecord:
        async with asyncio.timeout(LEASE_AND_MORE_S):
            while (record := await self.record()) is None or record.state is State.STARTED:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        return record

    async def traffic(self) -> dict[str, int]:
        service = await run.get_service(self.service)
        assert service is not None
        return {str(target.revision): target.percent for target in service.live if target.percent}

    @property
    def service(self) -> str:
        return f"projects/{PROJECT}/locations/{REGION}/services/{self.app.name}-web"

    async def builds(self, *statuses: str) -> list[str]:
        found = await builds.find_builds(PROJECT, REGION, f'tags="app-{self.app.name}"')
        return [build.id for build in found if build.status in statuses]

    async def revisions(self) -> Counter[str]:
        found = await list_revisions(self.service)
        return Counter(r.labels["slipway-version"] for r in found if "slipway-version" in r.labels)

    async def lock_is_free(self) -> bool:
        async with get_client() as client:
            limit = await client.read_global_concurrency_limit_by_name(f"slipway:{self.app.name}:production")
        return limit.active_slots == 0


def calm(cloud: LocalCloud) -> None:
    cloud.put("/faults", [])
    cloud.put("/latency", {"profile": "instant"})
