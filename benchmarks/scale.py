"""Many releases of many apps at the same time, on several machines' worth of processes, some of which are killed.

`python -m benchmarks.scale` writes results/scale.md. Forty apps ship five versions each, all apps at once, over four
workers and two Prefect API servers behind one address, with PostgreSQL and Redis. When a quarter of the releases is
done, an API server is killed, and after half of them a worker with all its runs, as with its machine. What was cut off
is shipped again, as a person would. The same without kills goes over one Prefect server with SQLite and one worker.
The exit code is 1 when anything was lost, stuck or doubled. --apps and --versions make it shorter, and --only measures
one of the two anew.
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
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import numpy as np
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.client.schemas.objects import FlowRun

from benchmarks.memory import children
from benchmarks.race import commit
from benchmarks.soak import PROJECT, App, Shipper, shipped
from benchmarks.soak_checks import examine
from benchmarks.soak_page import Run
from cli.several import WORKERS, several
from cli.stack import Size, local_stack

RESULT = Path(__file__).parent / "results" / "scale.md"
ROWS = RESULT.with_suffix(".json")  # of the page: each may be measured anew without the other
TOLD_S = 1.0
AT_ONCE = 200  # as many runs as Prefect gives at once
SEVERAL, ONE = "two API servers, PostgreSQL, Redis, four workers", "one server, SQLite, one worker"
STACKS = {"several": SEVERAL, "one": ONE}


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
    killed: Sequence[str]
    flaws: dict[str, list[str]]


def loaded(apps: int, versions: int, stack: str) -> Load:
    size, kills = (several(), KILLS) if stack == SEVERAL else (None, ())
    with TemporaryDirectory(prefix="slipway-scale-") as name:
        return asyncio.run(load(Path(name), apps, versions, stack, size, kills))


async def load(folder: Path, apps: int, versions: int, stack: str, size: Size | None, kills: Sequence[Kill]) -> Load:
    async with local_stack(folder / "stack", [PROJECT], size) as started, PrefectClient(started.api_url) as client:
        os.environ.update(started.environment)
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
        return Load(stack, seconds, shipper.runs, killed, flaws)


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
    while some := await client.read_flow_runs(flow_run_filter=only, limit=AT_ONCE, offset=len(found)):
        found += some
    return found


def missing(runs: Sequence[Run], apps: Sequence[App], versions: int) -> list[str]:
    made = {(run.app, run.version) for run in runs if run.succeeded}
    wanted = ((app.name, f"v1.{number}.0") for app in apps for number in range(versions))
    return [f"{app} {version}" for app, version in wanted if (app, version) not in made]


def kept(found: Load, apps: int, versions: int) -> dict[str, Any]:
    """What the page says of it, with when it was measured."""
    good = [run for run in found.runs if run.succeeded]
    waited, ran = ([run.waited_s for run in good], [run.seconds for run in good])
    times = ("{:.0f} / {:.0f}".format(*np.percentile(each or [0.0], (50, 95))) for each in (waited, ran))
    ended = Counter(run.state for run in found.runs).most_common()
    return {
        "cells": [
            f"{len(good)} of {apps * versions}",
            str(len(found.runs)),
            f"{found.seconds:.0f}",
            f"{len(good) / found.seconds * 60:.1f}",
            *times,
        ],
        "flaws": found.flaws,
        "states": ", ".join(f"{count} {state}" for state, count in ended),
        "killed": list(found.killed),
        "asked": f"{apps} apps, {versions} versions each; {datetime.now(UTC):%Y-%m-%d}, commit {commit()}",
    }


HEAD = (
    "stack",
    "releases",
    "runs",
    "makespan s",
    "a minute",
    "s to its begin, median / p95",
    "s the run, median / p95",
)
PAGE = """# Several machines

Many apps at the same time, on one machine with {cores} cores, made by `python -m benchmarks.scale`. What a kill cut off
was shipped again, as a person would; a run is marked Crashed after nine minutes of silence, which are in the makespan.
All processes share the cores of this machine, so that more of them make nothing faster here: they show that an API
server and a worker may be lost.

{rows}

How the runs ended:

{ended}
"""


def page(loads: Mapping[str, Mapping[str, Any]]) -> str:
    """loads: by stack, as `kept`, of those that were ever measured."""
    loads = {stack: loads[stack] for stack in STACKS.values() if stack in loads}
    rows = ["| " + " | ".join(HEAD) + " |", "|---|" + "---:|" * (len(HEAD) - 1)]
    rows += [f"| {' | '.join([stack, *found['cells']])} |" for stack, found in loads.items()]
    rows += ["", f"| lost, stuck or doubled | {' | '.join(loads)} |", "|---|" + "---:|" * len(loads)]
    flaws = next(iter(loads.values()))["flaws"]
    rows += [f"| {what} | {' | '.join(str(len(each['flaws'][what])) for each in loads.values())} |" for what in flaws]
    ended = []
    for stack, found in loads.items():
        killed = f"; killed: {', '.join(found['killed'])}" if found["killed"] else ""
        ended.append(f"* {stack}: {found['states']}{killed}. {found['asked']}.")
        ended += [f"* {stack}: {what}: {flaw}" for what, each in found["flaws"].items() for flaw in each]
    return PAGE.format(cores=os.cpu_count(), rows="\n".join(rows), ended="\n".join(ended))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=40)
    parser.add_argument("--versions", type=int, default=5)
    parser.add_argument("--only", choices=list(STACKS), help="the one row to measure anew")
    asked = parser.parse_args()
    loads = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    for stack in [STACKS[asked.only]] if asked.only else STACKS.values():
        # a process of its own: each stack leaves its environment in the one that it is loaded from
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            load = process.submit(loaded, asked.apps, asked.versions, stack).result()
        loads[stack] = kept(load, asked.apps, asked.versions)
        ROWS.write_text(f"{json.dumps(loads, indent=2)}\n")
        RESULT.write_text(page(loads))
    print(RESULT.read_text())
    return 1 if any(found for each in loads.values() for found in each["flaws"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
