"""A service that has no URL of its own is proven through its load balancer, revision by revision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from infra.gcp.run import services
from tasks.failures.errors import PreflightFailed, ProofFailed
from tasks.orchestration.addresses import NETWORKS_VARIABLE
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import go_back, history, ship

pytestmark = pytest.mark.usefixtures("cloud_env")

Answer = Callable[[str], int]


class LoadBalancer:
    """Stands where a URL mask leads to the revision that a tag names; the revision itself nobody reaches here."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sick: set[str] = set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        tag = request.match_info["tag"]
        self.asked.append(tag)
        return web.Response(text="ok", status=500 if tag in self.sick else 200)


@pytest.fixture
async def balancer(
    unused_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LoadBalancer]:
    monkeypatch.setenv(NETWORKS_VARIABLE, "127.0.0.1/32")
    found, port = LoadBalancer(), unused_tcp_port_factory()
    app = web.Application()
    app.router.add_get("/{tag}/health", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    found.url = f"http://127.0.0.1:{port}/{{tag}}"
    yield found
    await runner.cleanup()


def write(app: App, url: str = "") -> None:
    app.write("web", program())
    address = f", url: '{url}'" if url else ""
    health = f"{{path: /health, body: ok, tries: 2, backoff_min: 0.1s, timeout: 5s, samples: 3{address}}}"
    app.manifest(f"  web: {{default_url: false, public: true, health: {health}}}")


async def test_a_service_without_a_url_is_proven_where_slipway_yaml_says(app: App, balancer: LoadBalancer) -> None:
    write(app)
    app.commit("v0.9.0")
    with pytest.raises(PreflightFailed, match=r"services\.web\.health\.url"):
        await ship(app)
    assert balancer.asked == []

    write(app, balancer.url)
    app.commit("v1.0.0")
    await ship(app)
    name = f"projects/{PROJECT}/locations/{REGION}/services/{app.name}-web"
    found = await services.get_service(name)
    assert found is not None
    assert (found.body["defaultUriDisabled"], found.uri) == (True, "")
    assert set(balancer.asked) == {"v1-0-0"}

    app.commit("v1.1.0")
    await ship(app)
    app.commit("v1.2.0")
    balancer.sick.add("v1-2-0")
    with pytest.raises(ProofFailed, match=r"status 500"):
        await ship(app)
    back = await go_back(app, to="v1.0.0")
    assert [live.revision for live in back.live] == [(await history(app))[-1].targets[0].revision]
    assert {"v1-0-0", "v1-1-0", "v1-2-0"} <= set(balancer.asked)
