"""How long a rollback takes: five services in two regions, on the local cloud, with proof that it was verified.

    python -m benchmarks.rollback

The seconds are counted from the start of the run: `restored` until all traffic is
routed to the earlier release everywhere, `verified` until every service has answered as it must where its users call
it. Both are in the release record. The page is also written to benchmarks/results/rollback.md; the exit code is 1 when
a run takes longer than allowed, or something else than the earlier release answers after it.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.server import prefect_server
from benchmarks.service import write_service

PROJECT = "slipway-benchmark"
REGIONS = ("europe-west1", "us-central1")
SERVICES = ("api", "frontend", "mail", "search", "stock")
GOOD, BAD = "v1.0.0", "v1.1.0"
ROUNDS = 3
ALLOWED_S = 30.0
RESULTS = Path(__file__).parent / "results" / "rollback.md"


@dataclass(frozen=True, slots=True)
class Round:
    restored_s: float
    verified_s: float
    proven: int  # revisions that were found healthy before they got traffic
    answering: int  # services and regions that answer with the earlier version, right after the run


@contextmanager
def local_cloud(folder: Path) -> Iterator[None]:
    """A local Google Cloud with its default latency profile, and this process's environment pointing at it."""
    command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(folder), "--project", PROJECT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # says that it listens
        os.environ.update(json.loads((folder / "emulator.json").read_text())["environment"])
        try:
            yield
        finally:
            process.terminate()


def write_repository(folder: Path) -> None:
    health = "{body: v1, tries: 3, backoff_min: 0.2s}"
    services = "\n".join(f"  {name}: {{health: {health}, public: true}}" for name in SERVICES)
    environment = f"{{project: {PROJECT}, regions: [{', '.join(REGIONS)}], waves: [[{', '.join(REGIONS)}]]}}"
    folder.mkdir(parents=True)
    (folder / "slipway.yaml").write_text(
        f"app: bench\nservices:\n{services}\nenvironments:\n  production: {environment}\n"
    )
    _git(folder, "init", "-q", "-b", "main")


def commit(folder: Path, version: str) -> None:
    for name in SERVICES:
        write_service(folder / name, version)
    _git(folder, "add", "-A")
    _git(folder, "commit", "-q", "-m", version)
    _git(folder, "tag", version)


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=B", "-c", "user.email=b@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True)


async def measured(folder: Path) -> list[Round]:
    async with prefect_server(folder / "prefect"):
        return await measure(folder / "repository")


async def measure(folder: Path) -> list[Round]:
    """Ships both versions, then goes back from the second to the first, again and again."""
    from flows.deploy import deploy
    from flows.rollback import rollback
    from tasks.history.store import read_history
    from tasks.source.source import Source

    source = Source(repository=str(folder))
    for version in (GOOD, BAD):
        commit(folder, version)
        shipped = await deploy(source, "production")
    rounds = []
    for _ in range(ROUNDS):
        await deploy(source, "production")  # serves already in the first round
        await rollback(source, "production")
        record = (await read_history(f"{PROJECT}-slipway", "bench", "production", 1))[0]
        answers = await ask([live.url for live in shipped.live])
        verdicts = [str(target.verdict) for target in record.targets]
        seconds = record.seconds
        rounds.append(Round(seconds["restored"], seconds["verified"], verdicts.count("HEALTHY"), answers.count(GOOD)))
    return rounds


async def ask(urls: Sequence[str]) -> list[str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return [(await client.get(url)).text for url in urls]


def report(rounds: list[Round]) -> tuple[str, bool]:
    """The page, and whether every rollback was in time, complete and proven."""
    places = len(SERVICES) * len(REGIONS)
    lines = [
        "# Rollback",
        "",
        f"Rollbacks of {len(SERVICES)} services in {len(REGIONS)} regions, made by `python -m benchmarks.rollback` on",
        f"the local cloud (latency profile `brisk`, {os.cpu_count()} cores). Seconds from the start of the run.",
        "",
        "| round | restored everywhere | verified | revisions proven first | answering with it afterwards |",
        "|---:|---:|---:|---:|---:|",
    ]
    for number, each in enumerate(rounds, 1):
        lines.append(
            f"| {number} | {each.restored_s:.1f} | {each.verified_s:.1f} | {each.proven} of {places} "
            f"| {each.answering} of {places} |"
        )
    medians = [statistics.median(each) for each in zip(*((r.restored_s, r.verified_s) for r in rounds), strict=True)]
    lines += ["", f"Median: restored after {medians[0]:.1f} s, verified after {medians[1]:.1f} s.", ""]
    complete = all(each.answering == each.proven == places for each in rounds)
    return "\n".join(lines), complete and max(each.verified_s for each in rounds) < ALLOWED_S


def main() -> int:
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_LEVEL"] = "WARNING"
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(folder / "repository")
        with local_cloud(folder / "cloud"):
            page, kept = report(asyncio.run(measured(folder)))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(page)
    print(page)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
