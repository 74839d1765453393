"""Many releases of many apps at the same time, on several machines' worth of processes, some of which are killed.

`python -m benchmarks.scale` writes results/scale.md. Forty apps ship five versions each, all apps at once, over four
workers and two Prefect API servers behind one address, with PostgreSQL and Redis. When a quarter of the releases is
done, an API server is killed, and after half of them a worker with all its runs, as with its machine. What was cut off
is shipped again, as a person would. The same without kills goes over one Prefect server with SQLite and one worker.
The exit code is 1 when anything was lost, stuck or doubled. --apps and --versions make it shorter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun

from benchmarks.memory import children
from benchmarks.soak import PROJECT, App, Shipper, counted_calls, shipped
from benchmarks.soak_checks import examine
from benchmarks.soak_page import Run
from cli.several import WORKERS, several
from cli.stack import Size, local_stack

RESULT = Path(__file__).parent / "results" / "scale.md"
TOLD_S = 1.0
PAGE = 200  # as many runs as Prefect gives at once
SEVERAL, ONE = "two API servers, PostgreSQL, Redis, four workers", "one server, SQLite, one worker"


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that is killed, with all that it has started, when so large a part of the releases is done."""

    what: str
    word: str  # of its command line, which tells it from the other processes of the stack
    part: float


KILLS = (Kill("an API server", "--no-services", 0.25), Kill(f"{WORKERS[1]} and its runs", WORKERS[1], 0.5))


@dataclass(frozen=True, slots=True)
class Load:
    """What one stack did with all the releases."""

    stack: str
    seconds: float
    runs: Sequence[Run]
    calls: int
    killed: Sequence[str]
    flaws: dict[str, list[str]]

    @property
    def releases(self) -> int:
        return sum(run.succeeded for run in self.runs)


def loaded(apps: int, versions: int, stack: str, size: Size | None, kills: Sequence[Kill]) -> Load:
    with TemporaryDirectory(prefix="slipway-scale-") as name:
        return asyncio.run(load(Path(name), apps, versions, stack, size, kills))


async def load(folder: Path, apps: int, versions: int, stack: str, size: Size | None, kills: Sequence[Kill]) -> Load:
    async with local_stack(folder / "stack", [PROJECT], size) as started, PrefectClient(started.api_url) as client:
        os.environ.update(started.environment)
        word = json.loads((started.folder / "cloud" / "emulator.json").read_text())
        deployment = await client.read_deployment_by_name("deploy/production")
        shipper = Shipper(client, deployment.id, at_once=apps)
        all_apps = [App(folder / f"app{number}", f"app{number}", ("web",), "direct") for number in range(apps)]
        began = time.monotonic()
        killed: list[str] = []
        progress = partial(part_done, shipper.runs, apps * versions)
        killing = asyncio.create_task(kill_on_the_way(kills, progress, killed))
        try:
            await asyncio.gather(*(shipper.ship_all(app, versions) for app in all_apps))
            seconds = time.monotonic() - began
        finally:
            killing.cancel()
        flaws = await examine(client, processes("worker"), [shipped(app, shipper.runs) for app in all_apps])
        known = {run.id for run in shipper.runs}
        made = [run for run in await runs_of(client, deployment.id) if run.id not in known]
        flaws["runs that nobody asked for"] = [str(run.id) for run in made]
        flaws["releases that were never made"] = missing(shipper.runs, all_apps, versions)
        flaws["kills that did not happen"] = [kill.what for kill in kills if kill.what not in killed]
        calls, _ = counted_calls(word["admin"])
        return Load(stack, seconds, shipper.runs, calls, killed, flaws)


def part_done(runs: Sequence[Run], wanted: int) -> float:
    return sum(run.succeeded for run in runs) / wanted


async def kill_on_the_way(kills: Sequence[Kill], done: Callable[[], float], killed: list[str]) -> None:
    """Adds to `killed` what it has killed."""
    for kill in sorted(kills, key=lambda each: each.part):
        while done() < kill.part:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(TOLD_S)
        pid = processes(kill.word)[-1]
        os.killpg(pid, signal.SIGKILL)
        killed.append(kill.what)
        print(f"killed {kill.what} ({pid})", flush=True)


def processes(word: str) -> list[int]:
    """Direct children of this process that have the word among the arguments of their command."""
    found = []
    for pid in children(os.getpid()):
        with suppress(FileNotFoundError):
            if word in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                found.append(pid)
    return sorted(found)


async def runs_of(client: PrefectClient, deployment: UUID) -> list[FlowRun]:
    only = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    found: list[FlowRun] = []
    while some := await client.read_flow_runs(flow_run_filter=only, limit=PAGE, offset=len(found)):
        found += some
    return found


def missing(runs: Sequence[Run], apps: Sequence[App], versions: int) -> list[str]:
    made = {(run.app, run.version) for run in runs if run.succeeded}
    wanted = ((app.name, f"v1.{number}.0") for app in apps for number in range(versions))
    return [f"{app} {version}" for app, version in wanted if (app, version) not in made]


def page(loads: Sequence[Load], apps: int, versions: int) -> str:
    killed = " and ".join(loads[0].killed)
    rows = [
        "| stack | releases | runs | makespan s | a minute | s to its begin, median / p95 | s the run, median / p95 |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *map(_row, loads),
        "",
        "| lost, stuck or doubled | " + " | ".join(each.stack for each in loads) + " |",
        "|---|" + "---:|" * len(loads),
    ]
    rows += [f"| {what} | {' | '.join(str(len(each.flaws[what])) for each in loads)} |" for what in loads[0].flaws]
    told = [f"* {each.stack}: {what}: {flaw}" for each in loads for what, found in each.flaws.items() for flaw in found]
    states = [f"* {each.stack}: {_states(each.runs)}" for each in loads]
    return f"""# Several machines

{apps * versions} releases of {apps} apps, {versions} versions each and all apps at the same time, on one machine with
{os.cpu_count()} cores; made by `python -m benchmarks.scale --apps {apps} --versions {versions}`. In the first line
{killed} were killed on the way; what that cut off was shipped again.{_second(loads)}

{chr(10).join(rows)}

How the runs ended:

{chr(10).join(states + told)}
"""


def _second(loads: Sequence[Load]) -> str:
    return " The second is the same load without kills." if len(loads) > 1 else ""


def _row(found: Load) -> str:
    good = [run for run in found.runs if run.succeeded]
    waited, ran = ([run.waited_s for run in good], [run.seconds for run in good])
    times = " | ".join("{:.0f} / {:.0f}".format(*np.percentile(each or [0.0], (50, 95))) for each in (waited, ran))
    return (
        f"| {found.stack} | {found.releases} | {len(found.runs)} | {found.seconds:.0f} "
        f"| {found.releases / found.seconds * 60:.1f} | {times} |"
    )


def _states(runs: Sequence[Run]) -> str:
    return ", ".join(f"{count} {state}" for state, count in Counter(run.state for run in runs).most_common())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=40)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--result", type=Path, default=RESULT, help="where the page is written")
    parser.add_argument("--without-sqlite", action="store_true", help="leave out what it is compared with")
    asked = parser.parse_args()
    stacks: list[tuple[str, Size | None, Sequence[Kill]]] = [(SEVERAL, several(), KILLS), (ONE, None, ())]
    loads = []
    for stack, size, kills in stacks[:1] if asked.without_sqlite else stacks:
        # a process of its own: each stack leaves its environment in the one that it is loaded from
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            loads.append(process.submit(loaded, asked.apps, asked.versions, stack, size, kills).result())
        asked.result.write_text(page(loads, asked.apps, asked.versions))  # the next may fail
    print(asked.result.read_text())
    return 1 if any(found for each in loads for found in each.flaws.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
