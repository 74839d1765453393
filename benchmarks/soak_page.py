"""What a soak has measured, and the page that tells it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from benchmarks.memory import SAMPLE_S, Samples

GROWTH_LIMIT = 1.25  # of a process's memory, from the first quarter of the soak to the last


@dataclass(frozen=True, slots=True)
class Run:
    """One deploy, from its request to its end."""

    app: str
    version: str
    id: UUID
    state: str  # Completed, Failed … or what it still was when its time was up
    message: str
    waited_s: float  # until its process had started it
    seconds: float  # from then on
    repeated: int  # calls made again
    retried: int  # tasks tried again

    @property
    def succeeded(self) -> bool:
        return self.state == "Completed"

    @property
    def failed_clearly(self) -> bool:
        """In Slipway's own words, which say what to do."""
        return self.state == "Failed" and "To fix: " in self.message


@dataclass(frozen=True, slots=True)
class Soak:
    """All that was measured."""

    apps: int
    versions: int
    at_once: int
    kinds: tuple[str, ...]  # of faults
    minutes: float
    runs: Sequence[Run]
    calls: int
    faulted: int
    memory: Mapping[str, Samples]
    flaws: Mapping[str, Sequence[str]]

    @property
    def passed(self) -> bool:
        grown = any(samples.growth > GROWTH_LIMIT for samples in self.memory.values())
        return not grown and not any(self.flaws.values())


def page(found: Soak) -> str:
    parts = [_head(found), _outcomes(found.runs), _times(found.runs), _left(found), _memory(found.memory)]
    return "\n\n".join(parts) + "\n"


def _head(found: Soak) -> str:
    deploys = f"{found.apps * found.versions} deploys of {found.apps} apps, {found.versions} versions each"
    return f"""# Soak

{deploys}, at most {found.at_once} at the same time, through the Prefect API and one
process worker; made by `python -m benchmarks.soak` on the local cloud (latency profile `brisk`, {os.cpu_count()} cores)
in {found.minutes:.0f} minutes. {found.faulted} of {found.calls} calls to the cloud \
({found.faulted / found.calls:.1%}) met a fault, each kind equally often:
{", ".join(found.kinds)}."""


def _outcomes(runs: Sequence[Run]) -> str:
    failed = Counter(reason(run) for run in runs if not run.succeeded)
    lines = [
        "| deploys | runs | succeeded | failed clearly | otherwise | calls made again | tasks tried again |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| {len({(run.app, run.version) for run in runs})} | {len(runs)} | {sum(run.succeeded for run in runs)} "
        f"| {sum(run.failed_clearly for run in runs)} "
        f"| {sum(not run.succeeded and not run.failed_clearly for run in runs)} "
        f"| {sum(run.repeated for run in runs)} | {sum(run.retried for run in runs)} |",
        "",
        "A run that failed was started again, and each deploy took as many runs as it needed.",
    ]
    if failed:
        lines += ["", "| runs that failed | error | what it said |", "|---:|---|---|"]
        lines += [f"| {count} | {kind} | {said} |" for (kind, said), count in failed.most_common()]
    return "\n".join(lines)


def reason(run: Run) -> tuple[str, str]:
    """The error's kind and the first line of what it said."""
    line = (run.message.splitlines() or [""])[0].removeprefix("Flow run encountered an exception: ")
    kind, _, said = line.partition(": ")
    return kind, said.replace("|", "/")


def _times(runs: Sequence[Run]) -> str:
    measured = {
        "from the request to the end": [run.waited_s + run.seconds for run in runs if run.succeeded],
        "of it until the run's process had started it": [run.waited_s for run in runs if run.succeeded],
        "of it the run": [run.seconds for run in runs if run.succeeded],
    }
    lines = ["| runs that succeeded | median s | p95 s | longest s |", "|---|---:|---:|---:|"]
    for what, seconds in measured.items():
        median_s, p95_s, longest_s = np.percentile(seconds, (50, 95, 100))
        lines.append(f"| {what} | {median_s:.1f} | {p95_s:.1f} | {longest_s:.1f} |")
    return "\n".join(lines)


def _left(found: Soak) -> str:
    lines = ["| lost, stuck or doubled | found |", "|---|---:|"]
    lines += [f"| {what} | {len(flaws)} |" for what, flaws in found.flaws.items()]
    told = [f"* {what}: {flaw}" for what, flaws in found.flaws.items() for flaw in flaws]
    return "\n".join([*lines, *([""] if told else []), *told])


def _memory(memory: Mapping[str, Samples]) -> str:
    lines = ["| memory MB | first quarter | second | third | last | growth |", "|---|---:|---:|---:|---:|---:|"]
    for name, samples in memory.items():
        quarters = " | ".join(f"{samples.quarter_mb(number):.0f}" for number in range(4))
        lines.append(f"| {name} | {quarters} | {samples.growth - 1:+.0%} |")
    return "\n".join([*lines, "", f"Medians of samples taken every {SAMPLE_S:g} s; growth from first to last."])
