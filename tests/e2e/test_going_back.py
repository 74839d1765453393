"""Where traffic goes when a release fails late: to what served before, to the last release seen healthy, or nowhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from infra.gcp.run import access
from infra.gcp.run import services as run
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.errors import Frozen, HookFailed, SlipwayError, TrafficConflict
from tasks.history.record import ReleaseRecord, State
from tests.conftest import PROJECT, LocalCloud
from tests.e2e.conftest import REGION, App, program
from tests.e2e.releases import (
    DIRECT,
    WEB,
    Running,
    Scenario,
    describe,
    find,
    go_back,
    history,
    live,
    released,
    ship,
    side_by_side,
)
from tests.serving import serving_hooks

pytestmark = pytest.mark.usefixtures("cloud_env")

PATIENT = "  web: {health: {body: ok, samples: 5}, public: true}"  # five tries over half a minute
# Fails where the database is said to be down, or where it was deployed with BROKEN.
FRAGILE = """
class Fragile(Handler):
    def do_GET(self):
        if os.path.exists(DATABASE_DOWN) or os.environ.get("BROKEN") == "yes":
            self.send_response(500)
            return self.end_headers()
        super().do_GET()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Fragile).serve_forever()
"""


def fragile(app: App, body: str = "ok") -> str:
    return program(body=body, instead=FRAGILE.replace("DATABASE_DOWN", repr(str(database_down(app)))))


def database_down(app: App) -> Path:
    return app.folder.parent / f"{app.name}-database-is-down"


class _Hooks(BaseHTTPRequestHandler):
    """Answers /STATUS, once it is `at` (s since 1970), and makes the file `touch`."""

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        wanted = parse_qs(url.query)
        for name in wanted.get("touch", ()):
            Path(name).touch()
        time.sleep(max(float(wanted.get("at", ["0"])[0]) - time.time(), 0))
        self.send_response(int(url.path[1:]))
        self.end_headers()


@pytest.fixture(scope="module")
def hooks() -> Iterator[str]:
    with serving_hooks(_Hooks) as address:
        yield address


HOOKS: dict[str, str] = {}  # where they are; known when the scenarios start


def with_hook(when: str, path: str) -> str:
    return DIRECT.replace("}", f", {when}: [{{name: test, http: {{url: '{HOOKS['url']}{path}', timeout: 2m}}}}]}}")


async def fails_late(
    app: App, version: str, path: str = "/503", services: str = ""
) -> tuple[SlipwayError, ReleaseRecord]:
    """Ships a version that gets all traffic, and then fails its integration test."""
    app.write("web", fragile(app, f"ok {version}"))
    describe(app, services or PATIENT, production=with_hook("after", path))
    app.commit(version)
    with pytest.raises(HookFailed) as failed:
        await ship(app)
    return failed.value, (await history(app))[0]


async def what_served_before_serves_again_and_is_verified(app: App) -> None:
    await released(app, source=fragile(app))
    error, record = await fails_late(app, "v1.1.0")
    assert await live(app) == {"v1.0.0": 100}
    (target,) = record.targets
    assert (record.state, target.outcome) == (State.FAILED, "taken back")
    assert target.said.endswith("serves again and is HEALTHY")
    assert target.said in error.state
    assert target.config["containers"]
    assert 0 < record.seconds["taken back"] < 30


async def when_what_served_before_is_bad_too_the_run_escalates_instead_of_shifting(app: App) -> None:
    await released(app, source=fragile(app))
    error, record = await fails_late(app, "v1.1.0", f"/503?touch={database_down(app)}")
    assert await live(app) == {"v1.1.0": 100}
    (target,) = record.targets
    assert (record.state, target.outcome) == (State.FAILED, "escalated")
    assert "is unhealthy too" in target.said
    assert "web in europe-west1: escalated" in error.state


async def when_what_served_before_is_bad_the_last_release_seen_healthy_serves(app: App) -> None:
    """Somebody has deployed by hand what never worked; the release on top of it is bad as well."""
    await released(app, source=fragile(app))
    service = await find(app)
    by_hand = f"{app.name}-web-by-hand"
    container = dict(service.body["template"]["containers"][0])
    container["env"] = [{"name": "BROKEN", "value": "yes"}]
    kept = [target for target in service.traffic if target.tag]
    split = [TrafficTarget(by_hand, 100), TrafficTarget(by_hand, 0, "hand"), *kept]
    body = {
        "name": service.name,
        "template": {"revision": by_hand, "containers": [container]},
        "traffic": [run.traffic_body(target) for target in split],
    }
    await run.update_service(body, ["template", "traffic"], 60)
    assert await live(app) == {by_hand: 100}

    own = PATIENT.replace("{health", "{env: {BROKEN: no-more}, health", 1)  # what is not said would be kept
    _, record = await fails_late(app, "v1.1.0", services=own)
    assert await live(app) == {"v1.0.0": 100}
    (target,) = record.targets
    assert (target.serving, target.outcome) == (by_hand, "taken back")
    assert "the last release seen healthy, serves" in target.said
    assert "hand" in {each.tag for each in (await find(app)).traffic}


async def a_first_release_that_fails_late_has_only_the_placeholder_to_go_back_to_and_says_so(app: App) -> None:
    error, record = await fails_late(app, "v1.0.0")
    assert "v1.0.0" not in await live(app)
    assert [each.outcome for each in record.targets] == ["taken back"]
    assert "its placeholder serves again" in error.state
    describe(app, production=DIRECT)
    app.commit("v1.0.1")
    await ship(app)
    assert await live(app) == {"v1.0.1": 100}


async def going_back_across_a_release_of_some_services_takes_back_all_that_came_since(app: App) -> None:
    services = f"{WEB}\n{WEB.replace('web', 'api')}"
    for version, changed in (("v1.0.0", "api web"), ("v1.1.0", "web"), ("v1.2.0", "api")):
        for service in changed.split():
            app.write(service, program(body=f"ok {version}"))
        describe(app, services, production=DIRECT)
        app.commit(version)
        await ship(app, services=changed.split())
    assert (await live(app, "api"), await live(app, "web")) == ({"v1.2.0": 100}, {"v1.1.0": 100})
    await go_back(app)
    assert (await live(app, "api"), await live(app, "web")) == ({"v1.0.0": 100}, {"v1.1.0": 100})
    newest = (await history(app))[0]
    assert {(each.service, each.outcome, str(each.verdict)) for each in newest.targets} == {
        ("api", "live", "HEALTHY"), ("web", "live", "HEALTHY"),
    }  # fmt: skip


async def a_freeze_that_begins_while_the_run_waits_holds_the_release_before_traffic_moves(app: App) -> None:
    await released(app)
    for number, ahead_s in enumerate((20, 60, 110), 1):  # on a busy machine a run may begin after its freeze
        begins = datetime.now(UTC) + timedelta(seconds=ahead_s)
        app.write("web", program(body=f"ok {number}"))
        freeze = f", freeze: [{{from: '{begins.isoformat()}', to: 2100-01-01, reason: holidays}}]}}"
        production = with_hook("before", f"/204?at={begins.timestamp() + 1}")
        describe(app, production=production[:-1] + freeze)
        app.commit(f"v1.{number}.0")
        with pytest.raises(Frozen, match="holidays"):
            await ship(app)
        record = (await history(app))[0]
        if record.version == f"v1.{number}.0":
            break
    assert await live(app) == {"v1.0.0": 100}
    assert [(each.outcome, str(each.verdict)) for each in record.targets] == [("untouched", "HEALTHY")]


async def two_environments_in_one_place_do_not_overwrite_each_other(app: App) -> None:
    await released(app)
    describe(app, staging=f"{{project: {PROJECT}, regions: [{REGION}]}}")  # in a file of its own, which cannot tell
    app.write("web", program(body="ok 2"))
    app.commit()
    with pytest.raises(TrafficConflict, match=f"is {app.name} in production, not {app.name} in staging"):
        await ship(app, "staging")
    assert await live(app) == {"v1.0.0": 100}


async def a_candidate_that_fails_its_proof_is_recorded_with_its_verdict(app: App) -> None:
    await released(app)
    app.write("web", program(status=500))
    app.commit("v1.1.0")
    with pytest.raises(SlipwayError, match="status 500"):
        await ship(app)
    (target,) = (await history(app))[0].targets
    assert (str(target.verdict), target.outcome) == ("UNHEALTHY", "untouched")
    assert "none accepted" in target.reason


async def a_release_that_asks_for_something_new_and_fails_late_is_taken_back_and_can_be_rolled_back(app: App) -> None:
    """What served before has never answered what the new slipway.yaml asks for."""
    health = "  web: {health: {body: BODY, samples: 5}, public: true}"
    app.write("web", program(body="old"))
    describe(app, health.replace("BODY", "old"), production=DIRECT)
    app.commit("v1.0.0")
    await ship(app)
    app.write("web", program(body="new"))
    describe(app, health.replace("BODY", "new"), production=with_hook("after", "/503"))
    app.commit("v1.1.0")
    with pytest.raises(HookFailed):
        await ship(app)
    (target,) = (await history(app))[0].targets
    assert (await live(app), target.outcome) == ({"v1.0.0": 100}, "taken back")
    assert target.said.endswith("serves again and is HEALTHY")

    describe(app, health.replace("BODY", "new"), production=DIRECT)
    app.commit("v1.2.0")
    await ship(app)
    await go_back(app)
    assert await live(app) == {"v1.0.0": 100}


async def a_service_that_a_failed_release_has_opened_is_closed_again(app: App) -> None:
    app.write("web", program())
    describe(app, PATIENT.replace("public: true", "public: false"), production=DIRECT)
    app.commit("v1.0.0")
    await ship(app)
    name = (await find(app)).name
    assert not await access.is_public(name)
    await fails_late(app, "v1.1.0")
    assert not await access.is_public(name)
    for public in (True, False):
        describe(app, PATIENT.replace("public: true", f"public: {str(public).lower()}"), production=DIRECT)
        app.write("web", program(body=f"ok {public}"))
        app.commit(f"v1.2.{int(not public)}")
        await ship(app)
        assert await access.is_public(name) is public


SCENARIOS: tuple[Scenario, ...] = (
    what_served_before_serves_again_and_is_verified,
    when_what_served_before_is_bad_too_the_run_escalates_instead_of_shifting,
    when_what_served_before_is_bad_the_last_release_seen_healthy_serves,
    a_first_release_that_fails_late_has_only_the_placeholder_to_go_back_to_and_says_so,
    going_back_across_a_release_of_some_services_takes_back_all_that_came_since,
    a_freeze_that_begins_while_the_run_waits_holds_the_release_before_traffic_moves,
    two_environments_in_one_place_do_not_overwrite_each_other,
    a_candidate_that_fails_its_proof_is_recorded_with_its_verdict,
    a_release_that_asks_for_something_new_and_fails_late_is_taken_back_and_can_be_rolled_back,
    a_service_that_a_failed_release_has_opened_is_closed_again,
)


@pytest.fixture(scope="module")
async def running(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory, hooks: str) -> AsyncIterator[Running]:
    HOOKS["url"] = hooks
    async with side_by_side(SCENARIOS, cloud, tmp_path_factory.mktemp("apps")) as started:
        yield started


@pytest.mark.timeout(900)  # all of them have begun at once, and the first is waited for as long as all take
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_going_back(running: Running, scenario: Scenario) -> None:
    await running[scenario]


HANGS = """
class Hanging(Handler):
    def do_GET(self):
        while os.path.exists(HANGS):
            time.sleep(0.1)
        super().do_GET()

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Hanging).serve_forever()
"""


@pytest.mark.faults
async def test_a_rollback_does_not_wait_for_answers_of_what_it_turns_away_from(app: App) -> None:
    """That it gives none is why somebody goes back."""
    await released(app)
    hangs = app.folder.parent / "hangs"
    app.write("web", program(body="ok 2", instead=HANGS.replace("HANGS", repr(str(hangs)))))
    app.commit("v1.1.0")
    await ship(app)
    hangs.touch()
    try:
        await go_back(app)
    finally:
        hangs.unlink()
    assert await live(app) == {"v1.0.0": 100}
    assert (await history(app))[0].seconds["restored"] < 15
