"""Slipway beside a careful script of gcloud commands: `python -m benchmarks.race` writes results/race.md.

Both ship the same change of the same services, in turn, to the same local cloud, which takes as long as Google's is
reported to (latency profile `real`). Timed is the whole command as a person types it: `slipway deploy` until it has
said what serves; for gcloud, what it takes to do the same by hand: submit each build, deploy without traffic, ask each
candidate, move traffic. Then `slipway rollback`, until traffic is back and until the command has ended.

It needs gcloud on this machine. Run it where nothing else runs. Each row of the page says when, where and with which
commit it was measured: `--only` measures one row anew, and leaves the others as results/race.json has them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent
RESULT = Path(__file__).parent / "results" / "race.md"
ROWS = RESULT.with_suffix(".json")  # what the page is made of: the seconds of each round
SLIPWAY = Path(sys.executable).parent / "slipway"
PROJECT = "acme-race"
REGIONS = ("europe-west1", "us-east1")
ROUNDS = 5
READY_S = 120.0
PROGRAM = """\
import http.server, os

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({version!r}.encode())

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Answer).serve_forever()
"""
# What a careful engineer types. An image is built once for all regions; traffic moves when all have answered.
THERE = f"--project={PROJECT} --quiet"
REPOSITORY = "gcloud artifacts repositories create by-hand --repository-format=docker --location={region} " + THERE
BUILD = "gcloud builds submit {folder} --tag={image} --region={region} " + THERE
FIRST = "gcloud run deploy {name} --image={image} --region={region} --allow-unauthenticated " + THERE
DEPLOY = "gcloud run deploy {name} --image={image} --region={region} --no-traffic --tag=candidate " + THERE
URLS = "gcloud run services describe {name} --region={region} --format=json(status) " + THERE
MOVE = "gcloud run services update-traffic {name} --to-latest --region={region} " + THERE


@dataclass(frozen=True)
class Field:
    """What is shipped: so many services, in so many regions."""

    services: int
    regions: int

    def __str__(self) -> str:
        services = f"{self.services} service{'s' * (self.services > 1)}"
        return f"{services}, {self.regions} region{'s' * (self.regions > 1)}"

    @property
    def app(self) -> str:
        return f"race{self.services}x{self.regions}"

    @property
    def names(self) -> tuple[str, ...]:
        return ("api", "web", "admin")[: self.services]

    @property
    def places(self) -> list[tuple[str, str]]:
        return [(name, region) for name in self.names for region in REGIONS[: self.regions]]


FIELDS = (Field(1, 1), Field(3, 2))


def write(what: Field, folder: Path, version: str) -> None:
    """The next version, committed and tagged."""
    services = "\n".join(f"  {name}: {{public: true}}" for name in what.names)
    regions = ", ".join(REGIONS[: what.regions])
    (folder / "slipway.yaml").write_text(
        f"app: {what.app}\nservices:\n{services}\nenvironments:\n  production:\n    project: {PROJECT}\n"
        f"    regions: [{regions}]\n    strategy: direct\n"
    )
    for name in what.names:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "main.py").write_text(PROGRAM.format(version=version))
        (folder / name / "Dockerfile").write_text('FROM python:3.12-slim\nCOPY . .\nCMD ["python", "main.py"]\n')
    git = ["git", "-c", "user.name=Race", "-c", "user.email=race@example.com", "-c", "commit.gpgsign=false"]
    if not (folder / ".git").exists():
        subprocess.run([*git, "init", "-q", "-b", "main"], cwd=folder, check=True)
    subprocess.run([*git, "add", "-A"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-q", "-m", version], cwd=folder, check=True)
    subprocess.run([*git, "tag", version], cwd=folder, check=True)


@contextmanager
def stack(folder: Path) -> Iterator[dict[str, str]]:
    """`slipway up`, ready to ship; the environment of commands beside it."""
    with (folder / "up.log").open("wb") as log:
        running = subprocess.Popen(
            [str(SLIPWAY), "up", "--project", PROJECT], cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        word = folder / ".slipway" / "up.json"
        until(word.exists, "slipway up", folder / "up.log")
        cloud = json.loads((folder / ".slipway" / "cloud" / "emulator.json").read_text())
        httpx.put(f"{cloud['admin']}/latency", json={"profile": "real"}, trust_env=False).raise_for_status()
        yield {**os.environ, **json.loads(word.read_text())["environment"]}
    finally:
        running.terminate()
        running.wait(timeout=60)


def until(seen: Callable[[], bool], what: str, log: Path | None = None) -> None:
    deadline = time.monotonic() + READY_S
    while not seen():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {READY_S:g} s\n{log.read_text() if log else ''}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Shell:
    """Runs commands beside the stack, in a folder."""

    folder: Path
    env: Mapping[str, str]

    def __call__(self, command: str, **facts: object) -> str:
        """What it prints; ends all of this when it fails."""
        words = [word.format(**facts) for word in shlex.split(command)]
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{shlex.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def by_gcloud(what: Field, shell: Shell, version: str, *, first: bool) -> float:
    """Seconds of the script, one command after the other, as such scripts are."""
    began = time.monotonic()
    images = {name: f"{REGIONS[0]}-docker.pkg.dev/{PROJECT}/by-hand/{name}:{version}" for name in what.names}
    for name, image in images.items():
        shell(BUILD, folder=name, image=image, region=REGIONS[0])
    for name, region in what.places:
        facts = {"name": by_hand(what, name), "region": region, "image": images[name]}
        shell(FIRST if first else DEPLOY, **facts)
        if not first:
            traffic = json.loads(shell(URLS, **facts))["status"]["traffic"]
            answers(next(each["url"] for each in traffic if each.get("tag") == "candidate"), version)
    for name, region in () if first else what.places:
        shell(MOVE, name=by_hand(what, name), region=region)
    return time.monotonic() - began


def by_hand(what: Field, name: str) -> str:
    return f"{what.app}-{name}-by-hand"


def by_slipway(shell: Shell) -> float:
    began = time.monotonic()
    shell(f"{SLIPWAY} deploy --environment=production")
    return time.monotonic() - began


def rollback(what: Field, shell: Shell, version: str) -> tuple[float, float]:
    """Seconds until every service answers with that version again, and until the command has ended."""
    urls = [url_of(f"{what.app}-{name}", region, shell) for name, region in what.places]
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        command = pool.submit(shell, f"{SLIPWAY} rollback --environment=production")
        until(lambda: all(httpx.get(url, timeout=60).text == version for url in urls), "the rollback")
        restored_s = time.monotonic() - began
        command.result()
        return restored_s, time.monotonic() - began


def url_of(name: str, region: str, shell: Shell) -> str:
    return str(json.loads(shell(URLS, name=name, region=region))["status"]["url"])


def answers(url: str, version: str) -> None:
    """Asks as curl would."""
    text = httpx.get(url, timeout=60).raise_for_status().text
    if text != version:
        sys.exit(f"{url} answers {text!r}, and not {version!r}")


@dataclass
class Times:
    """Seconds, by round."""

    slipway: list[float] = field(default_factory=list)
    gcloud: list[float] = field(default_factory=list)
    restored: list[float] = field(default_factory=list)
    rolled_back: list[float] = field(default_factory=list)

    @property
    def all(self) -> tuple[list[float], ...]:
        return self.slipway, self.gcloud, self.restored, self.rolled_back

    @property
    def ratio(self) -> float:
        return statistics.median(self.slipway) / statistics.median(self.gcloud)


def race(what: Field, shell: Shell, rounds: int) -> Times:
    """The first version is shipped by both and not counted: what is made once is made then."""
    times = Times()
    for number in range(rounds + 1):
        version = f"v1.{number}.0"
        write(what, shell.folder, version)
        slipway_s = by_slipway(shell) if number % 2 else None  # now one is first, now the other
        gcloud_s = by_gcloud(what, shell, version, first=number == 0)
        slipway_s = slipway_s or by_slipway(shell)
        told(f"{what}, {version}: slipway {slipway_s:.1f} s, gcloud {gcloud_s:.1f} s")
        if number:
            restored_s, ended_s = rollback(what, shell, f"v1.{number - 1}.0")
            told(f"  rolled back: restored after {restored_s:.1f} s, ended after {ended_s:.1f} s")
            by_slipway(shell)  # forward again, not counted
            for kept, seconds in zip(times.all, (slipway_s, gcloud_s, restored_s, ended_s), strict=True):
                kept.append(seconds)
    return times


def told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})"


PAGE = """\
# Slipway beside gcloud

Whole commands, in turn, against one local cloud with latency profile `real`: median seconds (least to most);
`python -m benchmarks.race`.

| shipped | rounds | slipway deploy | by gcloud | ratio | rollback: traffic is back | rollback: command has ended |
|---|---:|---:|---:|---:|---:|---:|
{rows}

{measured}

By gcloud: `builds submit` for each service, then for each service and region `run deploy --no-traffic --tag`,
`run services describe`, a request, and at last `run services update-traffic`, one command after the other. The first
version, with which repository and services are made, is not counted.
"""


def measured(times: Times) -> dict[str, Any]:
    """A row of the page, with where and when it was measured."""
    gcloud = first_line("gcloud", "--version")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {gcloud}"
    return {"on": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit(), "machine": machine, "times": asdict(times)}


def commit() -> str:
    """Which is measured; the pages that benchmarks write are no part of it."""
    git = ("git", "-C", str(ROOT))
    changed = first_line(*git, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return first_line(*git, "rev-parse", "--short", "HEAD") + " with changes" * bool(changed)


def first_line(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("\n")[0]


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """rows: by the field's app, of those that were ever measured."""
    found = [(each, rows[each.app], Times(**rows[each.app]["times"])) for each in FIELDS if each.app in rows]
    lines = (
        f"| {what} | {len(times.slipway)} | {spread(times.slipway)} | {spread(times.gcloud)} | {times.ratio:.3f} "
        f"| {spread(times.restored)} | {spread(times.rolled_back)} |"
        for what, _, times in found
    )
    where = (f"* {what}: {row['on']}, commit {row['commit']}; {row['machine']}." for what, row, _ in found)
    return PAGE.format(rows="\n".join(lines), measured="\n".join(where))


def keep(what: Field, times: Times) -> None:
    """In the place of the field's former row; the others stay as they are."""
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    rows[what.app] = measured(times)
    ROWS.write_text(f"{json.dumps(rows, indent=2)}\n")
    RESULT.write_text(page(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", choices=[each.app for each in FIELDS], help="the one row to measure anew")
    options = parser.parse_args()
    chosen = [each for each in FIELDS if options.only in (None, each.app)]
    with tempfile.TemporaryDirectory(prefix="slipway-race-") as folder, stack(Path(folder)) as env:
        Shell(Path(folder), env)(REPOSITORY, region=REGIONS[0])
        for each in chosen:
            (Path(folder) / each.app).mkdir()
            keep(each, race(each, Shell(Path(folder) / each.app, env), options.rounds))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
