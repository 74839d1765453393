"""What the release tests share: users who send requests throughout, candidates that turn bad, and what is live."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from flows.deploy import deploy
from flows.rollback import rollback
from infra.gcp.run import services as run
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history
from tasks.model import Release
from tasks.source.source import Source
from tests.conftest import PROJECT, LocalCloud, environment
from tests.e2e.conftest import REGION, App, program

HEALTH = "{body: ok, tries: 2, backoff_min: 0.1s, timeout: 10s, samples: 20}"
WEB = f"  web: {{health: {HEALTH}, public: true}}"
DIRECT = f"{{project: {PROJECT}, regions: [{REGION}]}}"
# Healthy on its own URL and for Slipway; users are served differently.
TO_USERS = """
import collections, random
SEEN = collections.deque()

class ToUsers(Handler):
    def do_GET(self):
        agent, now = self.headers.get("User-Agent", ""), time.monotonic()
        if not agent.startswith("user"):
            return super().do_GET()
        SEEN.append(now)
        while SEEN[0] < now - 1:
            SEEN.popleft()
        per_second = len(SEEN)
        time.sleep(SLOWER)
        if random.random() < ERRORS:
            self.send_response(500)
            return self.end_headers()
        super().do_GET()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), ToUsers).serve_forever()
"""


def turns_bad(errors: str = "0", slower: str = "0", delay: float = 0.0) -> str:
    """A program that fails so many of its users' requests, or serves them so many seconds slower.

    Both are expressions; they may use `agent`, what the user calls itself, and `per_second`, the requests it gets.
    """
    return program(delay=delay, instead=TO_USERS.replace("ERRORS", errors).replace("SLOWER", slower))


STEADY_S = 0.05  # what serving takes where a busy test machine must not look like a slow candidate


def canary(steps: str, **others: str) -> str:
    """A production environment whose metrics are read almost at once."""
    more = {"regions": f"[{REGION}]", "inconclusive_limit": "2m"} | others
    return (
        f"{{project: {PROJECT}, strategy: {{canary: {steps}, bake: 4s}}, "
        "slo: {metrics_lag: 1s, min_requests: 30, max_error_rate: 0.05}, "
        + ", ".join(f"{name}: {value}" for name, value in more.items())
        + "}"
    )


def describe(app: App, services: str = WEB, **environments: str) -> None:
    """Writes slipway.yaml; an environment is a YAML mapping on one line."""
    lines = [f"  {name}: {settings}" for name, settings in environments.items()]
    (app.folder / "slipway.yaml").write_text(
        f"app: {app.name}\nservices:\n{services}\nenvironments:\n" + "\n".join(lines) + "\n"
    )


Scenario = Callable[[App], Coroutine[Any, Any, None]]
Running = dict[Scenario, "asyncio.Task[None]"]


@asynccontextmanager
async def side_by_side(scenarios: Sequence[Scenario], cloud: LocalCloud, folder: Path) -> AsyncIterator[Running]:
    """Starts all of them at once, each with an app of its own, because each of them mostly waits."""
    with environment(cloud.env):
        apps = [new_app(folder, f"s{zlib.crc32(scenario.__name__.encode()):08x}") for scenario in scenarios]
        running = {
            scenario: asyncio.create_task(scenario(app), name=scenario.__name__)
            for scenario, app in zip(scenarios, apps, strict=True)
        }
        try:
            yield running
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)


def new_app(folder: Path, name: str) -> App:
    (folder / name).mkdir()
    return App(folder / name, name)


async def released(app: App, production: str = DIRECT, source: str = "") -> App:
    """v1.0.0 of one service, web, serves in production."""
    app.write("web", source or program())
    describe(app, production=production)
    app.commit("v1.0.0")
    await ship(app)
    return app


async def ship(app: App, environment: str = "production", **parameters: Any) -> Release:
    release: Release = await deploy(Source(repository=str(app.folder)), environment, **parameters)
    return release


async def go_back(app: App, environment: str = "production", **parameters: Any) -> Release:
    release: Release = await rollback(Source(repository=str(app.folder)), environment, **parameters)
    return release


async def find(app: App, service: str = "web", region: str = REGION, project: str = PROJECT) -> run.RunService:
    found = await run.get_service(f"projects/{project}/locations/{region}/services/{app.name}-{service}")
    assert found is not None
    return found


async def live(app: App, service: str = "web", region: str = REGION, project: str = PROJECT) -> dict[str, int]:
    """Percent by version, as requests are routed now; a revision that is no release's goes by its own name."""
    found = await find(app, service, region, project)
    return {version_in(str(target.revision)): target.percent for target in found.live if target.percent}


def version_in(revision: str) -> str:
    """v1.2.0 of t1-web-v1-2-0-0a1b2c3d."""
    _, dash, version = revision.rpartition("-v")
    return "v" + ".".join(version.split("-")[:3]) if dash else revision


async def history(app: App, environment: str = "production", project: str = PROJECT) -> list[ReleaseRecord]:
    return await read_history(f"{project}-slipway", app.name, environment)


@dataclass
class Load:
    """What a steady stream of users saw."""

    statuses: list[int] = field(default_factory=list)


@asynccontextmanager
async def users(url: str, per_second: int = 40, agent: str = "user") -> AsyncIterator[Load]:
    load, stop = Load(), asyncio.Event()

    async def one(client: httpx.AsyncClient) -> None:
        load.statuses.append((await client.get(url)).status_code)

    async def go() -> None:
        headers = {"User-Agent": agent}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=20, headers=headers) as client,
            asyncio.TaskGroup() as group,
        ):
            while not stop.is_set():
                group.create_task(one(client))
                await asyncio.sleep(1 / per_second)

    running = asyncio.create_task(go())
    try:
        yield load
    finally:
        stop.set()
        await running
