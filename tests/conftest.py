"""The session's local Google Cloud and the environment that leads clients to it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from tests import waiting
from tests.servers import made_once, prefect_server_in

PROJECT = "acme-test"
OTHER_PROJECT = "acme-other"
EMPTY_PROJECT = "acme-empty"  # where no test makes anything
STAGING_PROJECT = "acme-staging"
BARE_PROJECT = "acme-bare"  # of the preflight tests alone, which switch off what it has
TERRAFORM_PROJECT = "acme-terraform"  # of the tests of Terraform alone, which take roles away
PROJECTS = (PROJECT, OTHER_PROJECT, EMPTY_PROJECT, STAGING_PROJECT, BARE_PROJECT, TERRAFORM_PROJECT)
UNUSED = [
    f"PREFECT_SERVER_SERVICES_{name}_ENABLED" for name in ("TASK_RUN_RECORDER", "TRIGGERS", "LATE_RUNS", "SCHEDULER")
]
LONGEST = [f"tests/{room}/" for room in ("e2e", "deployments", "tasks/release", "tasks/rollout", "cli", "infra")]
LOOPS: list[asyncio.AbstractEventLoop] = []  # the session's, once it is there
FAULT_TABLE = Path(__file__).parents[1] / "benchmarks" / "results" / "fault_matrix.md"


# How fast a machine is that does other things besides says nothing about the code; a failure can be played again.
settings.register_profile("slipway", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")


@dataclass(frozen=True)
class LocalCloud:
    """A running emulator: `env` is a full process environment that points at it."""

    env: dict[str, str]
    admin: str
    data: Path

    def put(self, path: str, body: object) -> None:
        httpx.put(f"{self.admin}{path}", json=body, trust_env=False).raise_for_status()

    def calls(self) -> dict[str, int]:
        """How often each method has been called."""
        return self._told("count")

    def faulted(self) -> dict[str, int]:
        """How often each method has met a fault; also while it is still held up by it."""
        return self._told("faulted")

    def _told(self, what: str) -> dict[str, int]:
        response = httpx.get(f"{self.admin}/calls", trust_env=False).raise_for_status()
        return dict(response.json()[what])


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    data = tmp_path_factory.mktemp("cloud")
    command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(data), "--profile", "instant"]
    projects = [f"--project={name}" for name in PROJECTS]
    process = subprocess.Popen([*command, *projects], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # says that it listens
    word = json.loads((data / "emulator.json").read_text())
    yield LocalCloud({**os.environ, **word["environment"]}, word["admin"], data)
    process.terminate()
    process.stdout.close()
    assert process.wait(timeout=30) == 0


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets this process's environment, and restores it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def cloud_env(cloud: LocalCloud) -> Iterator[dict[str, str]]:
    """This process's environment is one in which the official clients find the emulator."""
    with environment(cloud.env):
        yield cloud.env


@pytest.fixture(scope="session")
async def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a Prefect server that knows nothing yet."""
    return await made_once(tmp_path_factory)


@pytest.fixture(scope="session")
async def prefect_server(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """One real Prefect server for the session, started as the local stack starts it; the variables that lead to it.

    It neither keeps task runs nor looks for what triggers an automation, which would be more than half of its work:
    flows in this process ask for neither. Who needs them has a machine of its own (tests/e2e/machine.py).
    """
    async with AsyncExitStack() as stack:
        with environment({**os.environ, **dict.fromkeys(UNUSED, "false")}):
            server = await prefect_server_in(stack, tmp_path_factory.mktemp("server"), database)
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms whose files take minutes begin first, and what is done in no time comes last.

    The processes of `make test` take whole files in this order: one that begins such a file when the others are
    through would keep them waiting.
    """
    rank = len(LONGEST)
    items.sort(key=lambda item: next((n for n, room in enumerate(LONGEST) if item.nodeid.startswith(room)), rank))


@pytest.fixture(scope="session", autouse=True)
async def loop_is_known() -> None:
    LOOPS.append(asyncio.get_running_loop())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    limit = item.get_closest_marker("timeout")
    limit_s = limit.args[0] if limit and limit.args else float(item.config.getini("timeout"))
    with waiting.told(item, LOOPS, limit_s):
        return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows the cells of the fault matrix that were run; those of `-m faults` are kept in a file."""
    waiting.show(terminalreporter)
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    rows = sorted(row for report in reports for name, row in report.user_properties if name == "fault")
    if not rows:
        return
    head = ["| method | fault | often | outcome | seconds |", "|---|---|---|---|---:|"]
    table = "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])
    terminalreporter.section(f"fault matrix: {len(rows)} cells")
    terminalreporter.write_line(table)
    if config.option.markexpr == "faults" and not config.option.keyword:
        FAULT_TABLE.write_text(f"# Fault matrix\n\n`make test-faults`: {len(rows)} cells.\n\n{table}\n")
