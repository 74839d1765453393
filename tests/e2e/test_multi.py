"""Two services in two regions are one release: one verdict, all or nothing."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tasks.failures.errors import CandidateFailed, ProofFailed
from tasks.history.record import State
from tests.conftest import PROJECT
from tests.e2e.conftest import REGION, RUN, App, program
from tests.e2e.releases import HEALTH, STEADY_S, canary, describe, find, history, live, ship, turns_bad, users

pytestmark = pytest.mark.usefixtures("cloud_env")

OTHER_REGION = "us-central1"
REGIONS = (REGION, OTHER_REGION)
SERVICES = f"""  api: {{health: {HEALTH}, public: true}}
  web: {{health: {HEALTH}, public: true, depends_on: [api]}}"""


async def everywhere(app: App) -> set[tuple[str, str, str, int]]:
    places = [(service, region) for service in ("api", "web") for region in REGIONS]
    found = await asyncio.gather(*(live(app, *place) for place in places))
    return {
        (*place, version, percent)
        for place, shares in zip(places, found, strict=True)
        for version, percent in shares.items()
    }


def all_on(version: str) -> set[tuple[str, str, str, int]]:
    return {(service, region, version, 100) for service in ("api", "web") for region in REGIONS}


async def test_a_service_that_is_bad_in_the_second_region_takes_both_back_in_both(app: App) -> None:
    """The first region's wave is complete by then; its traffic goes back, too."""
    for service in ("api", "web"):
        app.write(service, program(delay=STEADY_S))
    describe(app, SERVICES, production=canary("[50]", regions=f"[{', '.join(REGIONS)}]"))
    app.commit("v1.0.0")
    await ship(app)
    assert await everywhere(app) == all_on("v1.0.0")

    app.write("api", program(body="ok 2", delay=STEADY_S))
    app.write("web", turns_bad(errors="0.5 if 'us-central1' in agent else 0", delay=STEADY_S))
    app.commit("v1.1.0")
    async with AsyncExitStack() as load:
        for service in ("api", "web"):
            for region in REGIONS:
                url = (await find(app, service, region)).uri
                await load.enter_async_context(users(url, per_second=25, agent=f"user in {region}"))
        with pytest.raises(ProofFailed, match=f"web in {OTHER_REGION}"):
            await ship(app)

    assert await everywhere(app) == all_on("v1.0.0")
    record = (await history(app))[0]
    assert record.state is State.FAILED
    outcomes = {(target.service, target.region): target.outcome for target in record.targets}
    assert outcomes == {(service, region): "taken back" for service in ("api", "web") for region in REGIONS}


WHERE = """
import urllib.request
server = os.environ["GCE_METADATA_HOST"]
asked = urllib.request.Request(f"http://{server}/computeMetadata/v1/instance/region")
asked.add_header("Metadata-Flavor", "Google")
region = urllib.request.urlopen(asked, timeout=10).read().decode()
"""
STOPS = f"""{WHERE}
if region.endswith("{OTHER_REGION}"):
    raise SystemExit(f"no database in {{region}}")
"""
FAILS = f"""{WHERE}
if region.endswith("{OTHER_REGION}"):
    Handler.do_GET = lambda self: self.send_error(500)
"""


async def test_what_is_bad_in_the_second_region_is_known_before_users_of_the_first_meet_it(app: App) -> None:
    """All revisions are made dark and proven before any traffic moves."""
    app.write("api", program())
    app.write("web", program())
    describe(app, SERVICES, production=f"{{project: {PROJECT}, regions: [{', '.join(REGIONS)}]}}")
    app.commit("v1.0.0")
    await ship(app)

    app.write("api", program(instead=STOPS + RUN))
    app.commit("v1.1.0")
    with pytest.raises(CandidateFailed, match=f"(?s)api did not start in {OTHER_REGION}.*no database"):
        await ship(app)
    app.write("api", program(instead=FAILS + RUN))
    app.commit("v1.2.0")
    with pytest.raises(ProofFailed, match=f"api in {OTHER_REGION} is UNHEALTHY"):
        await ship(app)

    assert await everywhere(app) == all_on("v1.0.0")
    for record in (await history(app))[:2]:
        assert record.moved is None
        assert {target.outcome for target in record.targets} == {"untouched"}
