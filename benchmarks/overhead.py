"""How much time a release takes beyond the cloud's own: `python -m benchmarks.overhead` writes results/overhead.md.

One service is shipped to a local cloud that takes as long as Google's is reported to (latency profile `real`). The
cloud's own time is the union of all spans in which it was busy with the run: calls in flight, operations and builds
under way. The rest of the flow's time is ours.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import httpx
from google.cloud.devtools import cloudbuild_v1

from benchmarks.server import prefect_server

RESULT = Path(__file__).parent / "results" / "overhead.md"
PROJECT = "acme-bench"
Span = tuple[float, float]


def union_s(spans: Iterable[Span]) -> float:
    """The length of the union of spans, in seconds."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def repository(folder: Path) -> Path:
    """A repository with one small service, tagged v1.0.0 and v1.1.0."""
    web = folder / "web"
    web.mkdir(parents=True)
    (folder / "slipway.yaml").write_text(
        f"app: bench\nservices:\n  web: {{public: true}}\nenvironments:\n  production:\n    project: {PROJECT}\n"
        "    regions: [europe-west1]\n"
    )
    (web / "Dockerfile").write_text('FROM python:3.12-slim\nCOPY . .\nCMD ["python", "main.py"]\n')
    (web / "main.py").write_text(
        "import http.server, os\n"
        'http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ["PORT"]), bind="0.0.0.0")\n'
    )
    git = ["git", "-c", "user.name=Bench", "-c", "user.email=bench@example.com"]
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    for tag in ("v1.0.0", "v1.1.0"):
        (web / "version.txt").write_text(tag)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run([*git, "commit", "-q", "-m", tag], cwd=folder, check=True)
        subprocess.run(["git", "tag", tag], cwd=folder, check=True)
    return folder


async def ship(folder: Path, ref: str) -> Span:
    from flows.deploy import deploy
    from tasks.source.source import Source

    started = time.monotonic()
    await deploy(Source(repository=str(folder), ref=ref), "production")
    return started, time.monotonic()


def busy_spans(admin: str, within: Span) -> list[Span]:
    """When the cloud was at work within a span."""
    answer = httpx.get(f"{admin}/calls", trust_env=False, timeout=30).json()
    spans = [(row["start"], row["start"] + row["seconds"]) for row in (*answer["journal"], *answer["work"])]
    spans += build_spans()
    return [(max(a, within[0]), min(b, within[1])) for a, b in spans if b > within[0] and a < within[1]]


def build_spans() -> list[Span]:
    """From when each build was accepted to when it had pushed, on the monotonic clock."""
    parent = f"projects/{PROJECT}/locations/europe-west1"
    builds = cloudbuild_v1.CloudBuildClient().list_builds(request={"parent": parent, "project_id": PROJECT})
    epoch = time.time() - time.monotonic()
    times = [[cast("datetime", at).timestamp() - epoch for at in (b.create_time, b.finish_time)] for b in builds]
    return [(start, end) for start, end in times]


def report(rows: Sequence[tuple[str, float, float]]) -> str:
    lines = [
        "# Time of a release beyond the cloud's own",
        "",
        f"One service, latency profile `real`, {os.cpu_count()} cores; written by `python -m benchmarks.overhead`.",
        "",
        "| release | flow s | cloud busy s | ours s |",
        "|---|---:|---:|---:|",
        *(f"| {name} | {flow:.2f} | {busy:.2f} | {flow - busy:.2f} |" for name, flow, busy in rows),
        "",
        "The first release opens the service to everyone and waits until that is known everywhere: 7 s in this",
        "profile, which no call shows, so they count as ours here. A build's end is seen up to half a second",
        "late: it is polled.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as name:
        data = Path(name)
        command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(data / "cloud"), "--profile", "real"]
        emulator = subprocess.Popen([*command, "--project", PROJECT], stdout=subprocess.PIPE, text=True)
        try:
            assert emulator.stdout is not None
            emulator.stdout.readline()
            word = json.loads((data / "cloud" / "emulator.json").read_text())
            os.environ.update(word["environment"])
            rows = asyncio.run(measure(repository(data / "repository"), word["admin"], data / "prefect"))
        finally:
            emulator.terminate()
            emulator.wait()
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(report(rows))
    print(RESULT.read_text())


async def measure(folder: Path, admin: str, server: Path) -> list[tuple[str, float, float]]:
    rows = []
    async with prefect_server(server):
        for title, ref in (("first release", "v1.0.0"), ("next release", "v1.1.0"), ("the same again", "v1.1.0")):
            span = await ship(folder, ref)
            rows.append((title, span[1] - span[0], union_s(busy_spans(admin, span))))
    return rows


if __name__ == "__main__":
    main()
