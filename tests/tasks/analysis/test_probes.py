"""Which answers a probe accepts, and how often it is asked."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import ClassVar

import httpx
import pytest
from google.cloud import run_v2
from prefect.logging import disable_run_logger

from infra.emulator.run.invoker import iap_client
from infra.gcp import project
from tasks.analysis.permitted import AUDIENCES_VARIABLE
from tasks.analysis.probes import (
    _get,
    _probe,
    asking,
    latencies_ms,
    probe_until_accepted,
    probe_until_clear,
    rules_of,
    wrong_with,
)
from tasks.analysis.verdict import Probe, judge_probes
from tasks.manifest.settings import Health
from tasks.model import Verdict
from tasks.orchestration.addresses import NETWORKS_VARIABLE
from tasks.rollout.traffic import OFTEN, OFTEN_S
from tests.serving import serving
from tests.tasks.preflight.requests import name_of, release, to_ship

OTHERS = "https://billing.example.com"


@pytest.mark.parametrize(
    ("status", "body", "settings", "accepted"),
    [
        (200, "", {}, True),
        (204, "", {}, True),
        (301, "", {}, False),
        (301, "", {"status": (301,)}, True),
        (500, "ok", {"body": "ok"}, False),
        (200, "all ok here", {"body": "ok"}, True),
        (200, "starting", {"body": "ok"}, False),
    ],
)
def test_an_answer_counts_by_its_status_and_body(
    status: int, body: str, settings: dict[str, object], accepted: bool
) -> None:
    assert (wrong_with(status, body, Health(**settings)) == "") is accepted


def test_the_beginning_of_a_refused_answer_is_told() -> None:
    said = wrong_with(400, "Bad Request (400)", Health())
    assert said == "status 400, accepted are 200, 204; the answer begins 'Bad Request (400)'"
    assert wrong_with(400, "", Health()) == "status 400, accepted are 200, 204"


@pytest.mark.parametrize("blip", [1, 3, 10])
async def test_one_failed_answer_after_the_first_accepted_one_asks_for_more_and_passes(blip: int) -> None:
    health, asked = Health(), 0

    async def ask() -> Probe:
        nonlocal asked
        asked += 1
        return Probe(asked != blip + 1, 20.0, 200)

    probes = await probe_until_clear(ask, health)
    assert judge_probes(probes, rules_of(health)).verdict is Verdict.HEALTHY
    assert len(probes) == blip + 1 + health.samples


class _Answers(BaseHTTPRequestHandler):
    """503 everywhere, and silence at /gone."""

    def do_GET(self) -> None:
        if self.path != "/gone":
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()


@pytest.mark.parametrize("path", ["/ready", "/gone"])
async def test_what_is_wrong_names_the_path_that_was_asked(path: str) -> None:
    health = Health(path=path)
    with serving(_Answers) as address, disable_run_logger():
        async with httpx.AsyncClient() as client:
            probe = await _probe(client, address + path, health)
    assert str(probe).startswith(f"{path}: ")
    judgement = judge_probes([probe] * health.tries, rules_of(health))
    assert path in judgement.reason


@pytest.mark.parametrize(("each_s", "asked"), [(0.0, 40), (30.0, 3), (300.0, 1)])
async def test_tries_that_are_not_answered_end_with_the_time_that_there_is(each_s: float, asked: int) -> None:
    """Forty tries of 30 s were 20 minutes in which a service that hung kept all its users."""
    now = 0.0

    async def ask() -> Probe:
        nonlocal now
        now += each_s
        return Probe(False, each_s * 1000)

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    health = Health().model_copy(update=OFTEN)
    probes = await probe_until_accepted(ask, health, sleep, OFTEN_S, lambda: now)
    assert len(probes) == asked
    assert now <= OFTEN_S + each_s + 2


@pytest.mark.parametrize(("known", "status"), [(True, 200), (False, 401)])
async def test_identity_aware_proxy_is_told_who_asks(
    cloud_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, known: bool, status: int
) -> None:
    """Everybody may call the service, so that nobody else would ask for a token."""
    request = to_ship()
    audience = iap_client((await project.get_project(request.project)).number) if known else None
    monkeypatch.setenv(AUDIENCES_VARIABLE, f"https://shop.example.com, {audience}")
    url = release(request, run_v2.Service(iap_enabled=True), public=True)
    with disable_run_logger():
        async with asking(name_of(request), url, url, Health(audience=audience)) as ask:
            assert (await ask()).status == status


async def test_a_service_that_has_its_proxy_only_with_the_release_is_asked_by_its_own_name_before(
    cloud_env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = to_ship()
    audience = iap_client((await project.get_project(request.project)).number)
    monkeypatch.setenv(AUDIENCES_VARIABLE, audience)
    url = release(request)
    with disable_run_logger():
        async with asking(name_of(request), url, url, Health(audience=audience)) as ask:
            assert (await ask()).status == 200


class _Keeps(BaseHTTPRequestHandler):
    """A service that answers everybody and remembers by what token it was asked."""

    tokens: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.tokens.append(self.headers.get("Authorization", ""))
        self.send_response(204)
        self.end_headers()


@pytest.mark.parametrize(("audience", "listed"), [("", ""), (OTHERS, OTHERS), (OTHERS, ""), (OTHERS, f"{OTHERS}.org")])
async def test_an_id_token_is_for_the_service_itself_or_for_what_the_operator_of_the_worker_lists(
    cloud_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, audience: str, listed: str
) -> None:
    """Who writes slipway.yaml writes the service, too: it could go elsewhere with the token for any audience."""
    monkeypatch.setenv(AUDIENCES_VARIABLE, listed)
    monkeypatch.setenv(NETWORKS_VARIABLE, "127.0.0.0/8")
    request = to_ship()
    url = release(request, public=True)
    _Keeps.tokens.clear()
    with serving(_Keeps) as address, disable_run_logger():
        health = Health(url=address, audience=audience or url)
        async with asking(name_of(request), url, address, health) as ask:
            probe = await ask()
    assert probe.ok is (audience == listed)
    assert len(_Keeps.tokens) == int(probe.ok)
    assert all(each.startswith("Bearer ") for each in _Keeps.tokens)
    assert probe.ok or f"{OTHERS}, which {AUDIENCES_VARIABLE} of the worker does not list" in probe.detail


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ("", "in a private network that SLIPWAY_HOOK_NETWORKS of the worker does not list; nobody is asked there"),
        ("10.0.0.0/8", "SLIPWAY_HOOK_NETWORKS of the worker does not list"),
        ("10.0.0.0/33", "SLIPWAY_HOOK_NETWORKS of the worker is no list of networks"),
        ("127.0.0.0/8", "status 503"),
    ],
)
async def test_health_url_leads_only_into_private_networks_that_the_operator_lists(
    monkeypatch: pytest.MonkeyPatch, listed: str, why: str
) -> None:
    """The beginning of what anything there answers was told in the run."""
    monkeypatch.setenv(NETWORKS_VARIABLE, listed)
    with serving(_Answers) as address, disable_run_logger():
        health = Health(url=address, path="/ready")
        async with httpx.AsyncClient() as client:
            probe = await _probe(client, f"{address}/ready", health)
    assert why in probe.detail


class _TellsHost(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())


async def test_who_was_checked_is_asked_and_not_what_the_name_means_by_then() -> None:
    """A name of a private network was looked up once to be checked and again to be asked (DNS rebinding)."""
    with serving(_TellsHost) as address:
        url = httpx.URL(address).copy_with(host="shop.invalid")  # https://www.rfc-editor.org/rfc/rfc6761#section-6.4
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await _get(client, url, ["127.0.0.2", "127.0.0.1"])  # nobody listens at the first
            assert answer.text == f"shop.invalid:{url.port}"
            with pytest.raises(httpx.ConnectError):
                await _get(client, url, ["127.0.0.2"])
            with pytest.raises(httpx.ConnectError):
                await _get(client, url, [])


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("169.254.169.254", "where metadata servers are"),
        ("[::ffff:169.254.169.254]", "where metadata servers are"),
        ("metadata.google.internal.", "is the metadata server"),
    ],
)
async def test_a_metadata_server_is_asked_by_no_probe(host: str, why: str) -> None:
    """What it answers would be told in the run: a slipway.yaml may name any address as `health.url`."""
    with disable_run_logger():
        async with httpx.AsyncClient() as client:
            probe = await _probe(client, f"http://{host}/latest/meta-data/", Health(path="/latest/meta-data/"))
    assert not probe.ok
    assert why in probe.detail


async def test_an_id_token_goes_over_no_unencrypted_connection() -> None:
    with disable_run_logger():
        async with httpx.AsyncClient(headers={"Authorization": "Bearer x"}) as client:
            probe = await _probe(client, "http://203.0.113.7/health", Health(path="/health"))
    assert "give an https:// address" in probe.detail


@pytest.mark.parametrize("answers", [0, 1, 3])
async def test_what_serves_now_and_does_not_answer_is_not_asked_again(answers: int) -> None:
    """Whoever is compared with it waits for that, and each time as long as an answer may take."""
    asked = 0

    async def ask() -> Probe:
        nonlocal asked
        asked += 1
        return Probe(True, 20.0, 200) if asked <= answers else Probe(False, 30_000.0, None)

    assert await latencies_ms(ask, 20) == [20.0] * max(answers - 1, 0)
    assert asked == answers + 1


async def test_what_serves_now_and_answers_slowly_is_not_asked_for_long() -> None:
    seconds = 0.0

    async def ask() -> Probe:
        nonlocal seconds
        seconds += 10.0
        return Probe(True, 10_000.0, 200)

    assert await latencies_ms(ask, 20, within_s=30.0, clock=lambda: seconds) == [10_000.0] * 3
