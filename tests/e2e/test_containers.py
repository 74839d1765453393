"""Three apps of different makes, with commands in their Dockerfiles, built and run as containers."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from infra.emulator.builds.mirror import Mirror
from tests.conftest import PROJECT, LocalCloud
from tests.e2e import bases
from tests.e2e.conftest import REGION, App
from tests.e2e.releases import describe, ship
from tests.infra.emulator.emulated_run import Run, lines_of

lacking = list(bases.missing())
pytestmark = [
    pytest.mark.usefixtures("cloud_env"),
    pytest.mark.skipif(bool(lacking), reason=f"images cannot be built and run here without {', '.join(lacking)}"),
]

APPS = Path(__file__).parents[1] / "data" / "apps"
DIGEST = "sha256:" + "2" * 64  # by which the page's Dockerfile pins its base
HEALTH = "tries: 2, backoff_min: 0.1s, timeout: 20s, samples: 3"
SERVICES = f"""\
  greeter: {{source: greeter, env: {{WHO: you}}, health: {{body: hello you, {HEALTH}}}, public: true}}
  clock: {{source: clock, depends_on: [greeter], health: {{path: /health, body: up, {HEALTH}}}, public: true}}
  page: {{source: page, port: 3000, health: {{body: <p>shipped from a shell</p>, {HEALTH}}}, public: true}}"""


@pytest.fixture
def mirrored(cloud: LocalCloud) -> None:
    """The bases that the apps' Dockerfiles name."""
    system = bases.system()
    names = {
        "python:3-bookworm": [system, bases.python()],
        "node:22-bookworm": [system, bases.node()],
        f"debian:bookworm-slim@{DIGEST}": [system],
    }
    bases.put(Mirror(cloud.data), names)


@pytest.mark.timeout(900)
async def test_apps_of_python_node_and_shell_are_built_by_commands_and_serve_as_containers(
    cloud: LocalCloud, app: App, mirrored: None
) -> None:
    shutil.copytree(APPS, app.folder, dirs_exist_ok=True)
    describe(app, SERVICES, production=f"{{project: {PROJECT}, regions: [{REGION}]}}")
    app.commit("v1.0.0")
    release = await ship(app)
    urls = {serving.place.service: serving.url for serving in release.live}
    assert get(urls["greeter"]) == "hello you"
    assert get(urls["clock"]) == "hello you in 1970"  # which it has asked the greeter for
    assert "shipped from a shell" in get(urls["page"])
    for service in urls:
        said = lines_of(Run().get(f"{app.name}-{service}"), "varlog/system")
        assert any("with the podman runtime" in line for line in said)


def get(url: str) -> str:
    return httpx.get(url, trust_env=False, timeout=20).raise_for_status().text
