"""Real flows against a real Prefect server and the local Google Cloud."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.cloud import resourcemanager_v3
from prefect import get_client
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from cli.stack import start_worker, start_zygote
from tests.conftest import PROJECT, STAGING_PROJECT, LocalCloud, environment
from tests.servers import used_by_prefect

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
def harness(prefect_server: dict[str, str]) -> Iterator[None]:
    """Flows run in this process, against that server."""
    with used_by_prefect(prefect_server):
        yield
        APILogWorker.instance().drain()  # while there is a server to send to
        EventsWorker.drain_all(timeout=30)  # one that cannot end is a thread that ends with the process


@pytest.fixture(scope="session", autouse=True)
def promotions_across_projects(cloud: LocalCloud) -> None:
    """What is proven in one project may run in the other: docs/flows/promote.md, two projects."""
    with environment(cloud.env):
        projects = resourcemanager_v3.ProjectsClient()
        number = projects.get_project(name=f"projects/{PROJECT}").name.rpartition("/")[2]
        policy = projects.get_iam_policy(resource=f"projects/{STAGING_PROJECT}")
        agent = f"serviceAccount:service-{number}@serverless-robot-prod.iam.gserviceaccount.com"
        policy.bindings.add(role="roles/artifactregistry.reader", members=[agent])
        projects.set_iam_policy(request={"resource": f"projects/{STAGING_PROJECT}", "policy": policy})


@pytest.fixture(scope="module")
async def worker(
    cloud: LocalCloud, prefect_server: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    """A worker, with everything of prefect.yaml registered, as the local stack starts it."""
    async with AsyncExitStack() as stack:
        folder, variables = tmp_path_factory.mktemp("worker"), {**os.environ, **cloud.env, **prefect_server}
        variables |= await start_zygote(stack, folder, variables)
        await start_worker(stack, folder, variables)
        await without_schedules()
        yield


async def without_schedules() -> None:
    """A worker that is asked to stop ends what it has begun: no test is to wait for what a schedule has started."""
    async with get_client() as client:
        for deployment in await client.read_deployments():
            for schedule in deployment.schedules:
                await client.update_deployment_schedule(deployment.id, schedule.id, active=False)


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
