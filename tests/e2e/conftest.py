"""Real flows against a real Prefect server and the local Google Cloud."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import get_current_settings
from prefect.testing.utilities import prefect_test_harness

from tests.conftest import PROJECT, LocalCloud

ROOT = Path(__file__).parents[2]
REGION = "europe-west1"
SERVER = """\
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = ANSWER
        time.sleep(DELAY)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass

print("starting", os.environ.get("K_REVISION"), flush=True)
"""
RUN = 'http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()\n'


@pytest.fixture(scope="session", autouse=True)
def harness() -> Iterator[None]:
    """One real Prefect server for the session; flows run in this process."""
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
async def worker(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """A process worker, with everything of prefect.yaml registered."""
    folder = tmp_path_factory.mktemp("worker")
    settings = {"PREFECT_API_URL": str(get_current_settings().api.url), "PREFECT_HOME": str(folder)}
    variables = {**cloud.env, **settings, "PREFECT_WORKER_QUERY_SECONDS": "1"}
    async with get_client() as client:
        with contextlib.suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name="slipway", type="process"))
    with (folder / "log").open("wb") as log:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "prefect", *arguments]
            return subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        registered = await asyncio.to_thread(start("--no-prompt", "deploy", "--all").wait)
        assert registered == 0, (folder / "log").read_text()
        process = start("worker", "start", "--pool", "slipway", "--type", "process", "--limit", "2")
        yield
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


FaultRow = Callable[[tuple[str, ...]], None]


@pytest.fixture
def fault_row(record_property: Callable[[str, object], None]) -> FaultRow:
    """Takes a row of the fault matrix: method, fault, how often, outcome, seconds."""
    return lambda row: record_property("fault", row)


@dataclass(frozen=True)
class App:
    """A git repository with one app in it; `name` is unlike every other test's."""

    folder: Path
    name: str

    def write(self, service: str, program: str) -> None:
        """`program` is the whole of main.py."""
        (self.folder / service).mkdir(exist_ok=True)
        (self.folder / service / "main.py").write_text(program)
        (self.folder / service / "Dockerfile").write_text(
            'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "main.py"]\n'
        )

    def manifest(
        self, services: str, environment: str = "strategy: direct", top: str = "", project: str = PROJECT
    ) -> None:
        (self.folder / "slipway.yaml").write_text(
            f"app: {self.name}\nservices:\n{services}\n{top}\nenvironments:\n  production:\n"
            f"    project: {project}\n    regions: [{REGION}]\n    {environment}\n"
        )

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, tag: str | None = None) -> None:
        if not (self.folder / ".git").exists():
            self.git("init", "-q", "-b", "main")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", tag or "change")
        if tag:
            self.git("tag", tag)


def program(status: int = 200, body: str = "ok", delay: float = 0.0, instead: str = RUN) -> str:
    """A server that answers every request alike, or does something else instead of serving."""
    return SERVER.replace("ANSWER", repr((status, body))).replace("DELAY", repr(delay)) + instead


@pytest.fixture
def app(tmp_path: Path, request: pytest.FixtureRequest) -> App:
    import zlib

    folder = tmp_path / "repository"
    folder.mkdir()
    return App(folder, f"t{zlib.crc32(request.node.nodeid.encode()):08x}")


@pytest.fixture
def shop(app: App) -> App:
    """One healthy service called web, committed and tagged v1.0.0."""
    app.write("web", program())
    app.manifest("  web: {health: {path: /, body: ok, tries: 2, backoff_min: 0.1s}, public: true}")
    app.commit("v1.0.0")
    return app
