"""`slipway up`: the whole local stack as a user starts it, and how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.cli.command import SLIPWAY, slipway
from tests.e2e.conftest import program
from tests.servers import DATABASE
from tests.tasks.repos import Repo

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")

PATIENCE_S = 280.0
STOP_LIMIT_S = 30.0  # 4 s on two idle cores
MARK = "SLIPWAY_UP_TEST"
STAGES = ("preflight", "version", "create", "build", "deploy", "prove", "shift")


@dataclass
class Stack:
    """`slipway up` in a folder of its own, whose descendants are known by a variable that they inherit."""

    folder: Path
    options: tuple[str, ...]
    data: str = ".slipway"
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "GOOGLE_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(SLIPWAY), "up", *self.options],
                cwd=self.folder, env=clean | {MARK: self.mark, "COLUMNS": "120"},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def _log(self) -> Path:
        return self.folder / "up.log"

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def state(self) -> Path:
        return self.folder / self.data

    def wait(self) -> int:
        return self.process.wait(timeout=PATIENCE_S)

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.2)

    def processes(self) -> list[str]:
        """The command lines of what runs: what was started by it, directly or not, or uses its folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environ, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:  # it has just ended
                continue
            if f"{MARK}={self.mark}".encode() in environ or str(self.folder).encode() in command:
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`slipway up --demo --once`, when it has ended."""
    stack = Stack(tmp_path_factory.mktemp("demo"), ("--demo", "--once"))
    stack.start()
    try:
        assert stack.wait() == 0, stack.said
        yield stack
    finally:
        stack.end()


def test_the_demo_ships_and_says_what_serves_where_and_since_when(demo: Stack) -> None:
    for service in ("api", "frontend"):
        assert re.search(rf"{service} +europe-west1 +http://127\.0\.0\.1:\d+ +v1\.0\.0", demo.said), demo.said
    assert re.search(r"Prefect UI: http://127\.0\.0\.1:\d+", demo.said)
    assert re.search(r"Run: http://127\.0\.0\.1:\d+/runs/flow-run/[0-9a-f-]{36}", demo.said)
    assert re.search(r"storefront v1\.0\.0 -> production: Completed after \d+\.\d s", demo.said)


@pytest.mark.parametrize("stage", STAGES)
def test_the_demo_says_how_long_a_stage_took(demo: Stack, stage: str) -> None:
    assert re.search(rf"^ *{stage} +\d+(\.\d+)? *$", demo.said, re.MULTILINE), demo.said


def test_only_its_owner_reads_what_a_stack_keeps(demo: Stack) -> None:
    kept = [demo.state, demo.state / "cloud", *demo.state.glob("logs/*"), *demo.state.glob("prefect/*.db*")]
    kept += demo.state.glob("cloud/state.db*")
    assert len(kept) > 6
    assert {file.name: oct(file.stat().st_mode & 0o077) for file in kept} == {file.name: "0o0" for file in kept}


def test_after_the_demo_nothing_runs_any_more(demo: Stack) -> None:
    assert demo.processes() == []
    assert not (demo.state / "up.json").exists()
    assert not (demo.state / "cloud" / "emulator.json").exists()


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, database: Path) -> Iterator[Stack]:
    """A running stack whose demo has failed: its app's container ends before it listens. Its server has a database.

    Its state is not in the folder that it was started in.
    """
    elsewhere = tmp_path_factory.mktemp("state")
    stack = Stack(tmp_path_factory.mktemp("broken"), ("--demo", f"--data={elsewhere}"), str(elsewhere))
    (stack.state / DATABASE).parent.mkdir(parents=True)
    shutil.copy(database, stack.state / DATABASE)
    repo = Repo.init(stack.state / "storefront")
    repo.write("web/main.py", program(instead='print("no database", flush=True)\nsys.exit(3)\n'))
    repo.write("web/Dockerfile", 'FROM python:3.12-slim\nCOPY . .\nCMD ["python", "main.py"]\n')
    environment = "production: {project: storefront-production, regions: [europe-west1]}"
    repo.commit(**{"slipway.yaml": f"app: storefront\nservices: {{web: {{}}}}\nenvironments: {{{environment}}}\n"})
    repo.tag("v2.0.0")
    stack.start()
    try:
        stack.until("Ctrl-C ends everything")
        yield stack
    finally:
        stack.end()


def test_a_demo_that_fails_says_why_and_leaves_the_stack_to_look_at(broken: Stack) -> None:
    assert "storefront v2.0.0 -> production: Failed" in broken.said
    assert "no database" in broken.said
    assert "To fix:" in broken.said
    word = json.loads((broken.state / "up.json").read_text())["environment"]
    assert httpx.get(f"{word['PREFECT_API_URL']}/health", trust_env=False).json() is True


def test_another_stack_on_the_same_folder_is_refused(broken: Stack) -> None:
    done = slipway("up", cwd=broken.folder)
    assert done.returncode == 2
    assert "A local stack is running on" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_where_it_was_started_find_the_stack(broken: Stack) -> None:
    """No deployment is about that environment alone; a URL is read by the run, not by the command."""
    address = (broken.state / "storefront").as_uri()
    done = slipway("deploy", "--environment=nowhere", f"--repository={address}", "--json", cwd=broken.folder)
    assert done.returncode == 1
    outcome = json.loads(done.stdout)
    assert outcome["state"] == "Failed"
    assert "has no environment 'nowhere'" in outcome["message"]
    assert str(broken.state) in slipway("emulator", "env", cwd=broken.folder).stdout


def test_ctrl_c_ends_everything_in_seconds_with_the_demos_exit_code(broken: Stack) -> None:
    """The last test of this stack."""
    assert len(broken.processes()) >= 4  # itself, the cloud, the server and the worker at least
    began = time.monotonic()
    broken.process.send_signal(signal.SIGINT)
    assert broken.wait() == 1
    assert time.monotonic() - began < STOP_LIMIT_S
    assert broken.processes() == []
    assert [*broken.state.glob("up.json"), *broken.folder.glob(".slipway/up.json")] == []
    assert "Traceback" not in broken.said


def test_ctrl_c_while_it_starts_ends_what_was_started(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ())
    stack.start()
    server_log = stack.state / "logs" / "prefect-server.log"
    deadline = time.monotonic() + PATIENCE_S
    while not server_log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    stack.process.send_signal(signal.SIGINT)
    assert stack.wait() == 130, stack.said
    assert stack.processes() == []
    assert "Traceback" not in stack.said
