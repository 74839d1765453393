"""Release after release on one worker, while one call in twenty goes wrong: `python -m benchmarks.soak`.

Ten apps ship five versions each, up to four at the same time, through the Prefect API and one process worker, to a
local cloud in which 5 % of all calls fail, are cut off or come late. A run that fails is started again, as a person
would. The page, also written to benchmarks/results/soak.md, tells what became of every run and what was left behind;
the exit code is 1 when anything was lost, stuck or doubled, or memory has grown. --apps and --versions make it shorter,
--percent harder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from benchmarks.memory import sampled
from benchmarks.service import write_service
from benchmarks.soak_checks import Shipped, examine
from benchmarks.soak_page import Run, Soak, page
from cli.stack import local_stack

RESULT = Path(__file__).parent / "results" / "soak.md"
PROJECT, REGION = "acme-soak", "europe-west1"
AT_ONCE = 4
TRIES = 5  # of one version, then the app goes on with its next
RUN_LIMIT_S = 900.0  # of a run from its request to its end; later it is stuck
FAULTY_PERCENT = 5.0  # of all calls
FAULTS: dict[str, dict[str, object]] = {
    "UNAVAILABLE": {"code": "UNAVAILABLE"},
    "RESOURCE_EXHAUSTED": {"code": "RESOURCE_EXHAUSTED"},
    "INTERNAL": {"code": "INTERNAL"},
    "ABORTED": {"code": "ABORTED"},
    "dropped before acting": {"drop": "before"},
    "dropped after acting": {"drop": "after"},
    "2 s late": {"delay_s": 2.0},
}
PROCESSES = {"worker": "worker", "Prefect server": "server", "local cloud": "infra.emulator"}  # a word of its command
REPEATED = re.compile(r"attempt \d+ of \d+: .*; again in")
RETRIED = re.compile(r"Retry \d+/\d+ will start")
SHAPES = ((("web",), "direct"), (("web",), "blue_green"), (("web", "api"), "direct"))  # of apps, in turn


@dataclass(frozen=True, slots=True)
class App:
    """A git repository with an app in it."""

    folder: Path
    name: str
    services: tuple[str, ...]
    strategy: str

    def commit(self, version: str) -> None:
        for service in self.services:
            write_service(self.folder / service, version)
        services = "".join(f"  {name}: {{health: {{body: v1}}, public: true}}\n" for name in self.services)
        environment = f"{{project: {PROJECT}, regions: [{REGION}], strategy: {self.strategy}}}"
        (self.folder / "slipway.yaml").write_text(
            f"app: {self.name}\nservices:\n{services}environments:\n  production: {environment}\n"
        )
        if not (self.folder / ".git").exists():
            self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", version)
        self.git("tag", version)

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=S", "-c", "user.email=s@example.com", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=self.folder, check=True)


class Shipper:
    """Ships versions of apps through the deployment deploy/production, so many at the same time."""

    def __init__(self, client: PrefectClient, deployment: UUID, at_once: int = AT_ONCE) -> None:
        self._client, self._deployment = client, deployment
        self._gate = asyncio.Semaphore(at_once)
        self.runs: list[Run] = []

    async def ship_all(self, app: App, versions: int) -> None:
        for number in range(versions):
            version = f"v1.{number}.0"
            app.commit(version)
            for _ in range(TRIES):
                async with self._gate:
                    run = await self._ship(app, version)
                self.runs.append(run)
                print(f"{app.name} {version} {run.state} after {run.waited_s:.1f} + {run.seconds:.1f} s", flush=True)
                if run.succeeded:
                    break

    async def _ship(self, app: App, version: str) -> Run:
        parameters = {"source": {"repository": str(app.folder), "ref": version}}
        created = await self._client.create_flow_run_from_deployment(
            self._deployment, parameters=parameters, idempotency_key=uuid4().hex
        )
        ended = await self._ended(created.id)
        assert ended.state is not None
        lines = await self._log(created.id)
        return Run(
            app.name,
            version,
            created.id,
            ended.state.name or "",
            ended.state.message or "",
            waited_s=_seconds(created.created, ended.start_time),
            seconds=_seconds(ended.start_time, ended.end_time),
            repeated=sum(map(bool, map(REPEATED.search, lines))),
            retried=sum(map(bool, map(RETRIED.search, lines))),
        )

    async def _ended(self, run_id: UUID) -> FlowRun:
        """The run when it has ended, or when it should have."""
        deadline = time.monotonic() + RUN_LIMIT_S
        while True:
            found = await self._client.read_flow_run(run_id)
            if (found.state and found.state.is_final()) or time.monotonic() > deadline:
                return found
            await asyncio.sleep(1)

    async def _log(self, run_id: UUID) -> list[str]:
        await asyncio.sleep(1)  # the last lines arrive just after the state
        lines: list[str] = []
        asked = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
        while page := await self._client.read_logs(asked, offset=len(lines)):
            lines += [line.message for line in page]
        return lines


def _seconds(start: Any, end: Any) -> float:
    return float((end - start).total_seconds()) if start and end else 0.0


def misbehaviour(percent: float) -> list[dict[str, object]]:
    """Every call meets each kind of fault equally often; a kind is asked only when those before it have passed."""
    share = percent / 100 / len(FAULTS)
    chances = [share / (1 - index * share) for index in range(len(FAULTS))]
    return [{"method": "*", "probability": p, **f} for p, f in zip(chances, FAULTS.values(), strict=True)]


async def soak(folder: Path, apps: int, versions: int, percent: float) -> Soak:
    async with local_stack(folder / "stack", [PROJECT]) as stack, PrefectClient(stack.api_url) as client:
        os.environ.update(stack.environment)
        word = json.loads((stack.folder / "cloud" / "emulator.json").read_text())
        deployment = await client.read_deployment_by_name("deploy/production")
        shipper = Shipper(client, deployment.id)
        shapes = [(f"app{number}", *SHAPES[number % len(SHAPES)]) for number in range(apps)]
        all_apps = [App(folder / name, name, services, strategy) for name, services, strategy in shapes]
        put_faults(word["admin"], misbehaviour(percent))
        began = time.monotonic()
        async with sampled(PROCESSES) as memory:
            await asyncio.gather(*(shipper.ship_all(app, versions) for app in all_apps))
            minutes = (time.monotonic() - began) / 60
        calls = counted_calls(word["admin"])
        put_faults(word["admin"], [])
        flaws = await examine(client, [memory["worker"].pid], [shipped(app, shipper.runs) for app in all_apps])
        flaws["runs that neither succeeded nor said what to do"] = [
            f"{run.id} {run.state}: {run.message}" for run in shipper.runs if not run.succeeded | run.failed_clearly
        ]
        return Soak(apps, versions, AT_ONCE, tuple(FAULTS), minutes, shipper.runs, *calls, memory, flaws)


def put_faults(admin: str, faults: list[dict[str, object]]) -> None:
    httpx.put(f"{admin}/faults", json=faults, trust_env=False, timeout=60).raise_for_status()


def counted_calls(admin: str) -> tuple[int, int]:
    """How many were made, and how many of them met a fault."""
    told = httpx.get(f"{admin}/calls", trust_env=False, timeout=60).raise_for_status().json()
    return sum(told["count"].values()), sum(told["faulted"].values())


def shipped(app: App, runs: Sequence[Run]) -> Shipped:
    own = [run for run in runs if run.app == app.name]
    served = tuple(run.version for run in own if run.succeeded)
    return Shipped(PROJECT, REGION, app.name, app.services, served, {str(run.id): run.succeeded for run in own})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--percent", type=float, default=FAULTY_PERCENT, help="of all calls meet a fault")
    parser.add_argument("--result", type=Path, default=RESULT, help="where the page is written")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="slipway-soak-") as name:
        found = asyncio.run(soak(Path(name), asked.apps, asked.versions, asked.percent))
    asked.result.write_text(page(found))
    print(page(found))
    return 0 if found.passed else 1


if __name__ == "__main__":
    sys.exit(main())
