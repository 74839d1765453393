"""A rollback of several services and regions, one of which is not to be had for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.reconcile import reconcile
from tasks.failures.errors import CloudError, RecordInDoubt
from tasks.history.record import State
from tasks.source.source import Source
from tests.conftest import LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.held import UPDATE
from tests.e2e.releases import DIRECT, WEB, describe, go_back, history, live, ship
from tests.e2e.test_multi import WHERE

pytestmark = [pytest.mark.usefixtures("cloud_env"), pytest.mark.faults]

BOTH = ("api", "web")


@pytest.fixture(autouse=True)
def calm_afterwards(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


async def versions(app: App) -> list[str]:
    """That which each of them serves wholly."""
    return [next(iter(await live(app, service))) for service in BOTH]


async def test_what_has_gone_back_stays_and_the_rest_follows_when_cloud_run_takes_it(
    app: App, cloud: LocalCloud
) -> None:
    services = "\n".join(WEB.replace("web", service) for service in BOTH)
    for version in ("v1.0.0", "v1.1.0"):
        for service in BOTH:
            app.write(service, program(body=f"ok {version}"))
        describe(app, services, production=DIRECT)
        app.commit(version)
        await ship(app)

    tries = 3  # of the second move of traffic; the first is made, and what is written after that would be, too
    cloud.put("/faults", [{"method": UPDATE, "code": "UNAVAILABLE", "skip": 1, "times": tries}])
    with pytest.raises(RecordInDoubt, match="has moved traffic, and cannot be finished now"):
        await go_back(app)
    assert sorted(await versions(app)) == ["v1.0.0", "v1.1.0"]

    cloud.put("/faults", [])
    assert await reconcile(Source(repository=str(app.folder)), "production") == 1
    assert await versions(app) == ["v1.0.0", "v1.0.0"]
    newest = (await history(app))[0]
    assert (newest.action, newest.state, newest.is_open) == ("rollback", State.RELEASED, False)


REGIONS = (REGION, "us-central1")
FRAGILE = f"""{WHERE}
class Fragile(Handler):
    def do_GET(self):
        if region.endswith("us-central1") and os.path.exists(DOWN):
            return self.send_error(500)
        super().do_GET()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Fragile).serve_forever()
"""


async def serves(app: App) -> list[str]:
    """In each region."""
    return [next(iter(await live(app, region=region))) for region in REGIONS]


async def test_a_region_in_which_it_is_not_healthy_keeps_no_other_from_going_back(app: App) -> None:
    down = app.folder.parent / "down"
    for version, source in (
        ("v1.0.0", program(instead=FRAGILE.replace("DOWN", repr(str(down))))),
        ("v1.1.0", program()),
    ):
        app.write("web", source)
        describe(app, production=DIRECT.replace(f"[{REGION}]", f"[{', '.join(REGIONS)}]"))
        app.commit(version)
        await ship(app)

    down.touch()
    with pytest.raises(CloudError, match="us-central1: web in us-central1 is UNHEALTHY"):
        await go_back(app)
    assert await serves(app) == ["v1.0.0", "v1.1.0"]
    down.unlink()
    await go_back(app, to="v1.0.0")
    assert await serves(app) == ["v1.0.0", "v1.0.0"]

    app.write("web", program(body="ok 3"))
    app.commit("v1.2.0")
    await ship(app)
    await go_back(app)  # what was gone back to in two turns is good
    assert await serves(app) == ["v1.0.0", "v1.0.0"]
