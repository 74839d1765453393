"""Probes: requests to a revision's own URL, or to the service's, as a client of it would make them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import httpx
from prefect.logging import get_run_logger

from infra.gcp.iam import identity
from infra.gcp.run import access, services
from infra.gcp.run.services import RunService
from tasks.analysis.permitted import permitted_at, refused_audience
from tasks.analysis.verdict import Probe, Rules, judge_probes
from tasks.failures.redact import redact
from tasks.manifest.settings import Health
from tasks.model import Place, Request, Verdict
from tasks.orchestration.addresses import is_this_machine
from tasks.orchestration.pinned import first_of, is_proxied, pinned
from tasks.orchestration.tls import trusted

# For a revision that no release of ours has proven: that it answers at all is all that can be asked of it.
ANSWERS = Health.model_construct(path="/", status=tuple(range(200, 500)), body=None)
COMPARED_S = 30.0
MORE_SAMPLES = 5  # an unclear verdict may be looked at with so many times the samples
Ask = Callable[[], Awaitable[Probe]]  # one request
Sleep = Callable[[float], Awaitable[None]]


async def probe_service(
    service: str, service_url: str, url: str, health: Health, within_s: float = math.inf
) -> list[Probe]:
    """Asks the Cloud Run service of this full name at `url`, which is its own or one of its revisions'.

    within_s: for `probe_until_accepted`.
    """
    async with asking(service, service_url, url, health) as ask:
        return await probe_until_clear(ask, health, within_s=within_s)


@asynccontextmanager
async def asking(service: str, service_url: str, url: str, health: Health) -> AsyncIterator[Ask]:
    """One client for many requests to the health path of the service, or of its revision, at `url`."""
    why = refused_audience(health, await services.get_service(service)) if health.audience else ""
    headers = {} if why else await authorization(service, service_url or url, health)
    async with _client(url, health, headers) as client:
        yield partial(_probe, client, url + health.path, health, why)


async def probe_until_clear(
    ask: Ask, health: Health, sleep: Sleep = asyncio.sleep, within_s: float = math.inf
) -> list[Probe]:
    """Tries with growing waits until one is accepted, then samples until the verdict is clear or there are many."""
    probes, rules = await probe_until_accepted(ask, health, sleep, within_s), rules_of(health)
    limit = len(probes) + MORE_SAMPLES * health.samples
    accepted = probes[-1].ok
    while accepted and len(probes) < limit and judge_probes(probes, rules).verdict is Verdict.INCONCLUSIVE:
        probes.append(await ask())
    return probes


async def probe_until_accepted(
    ask: Ask,
    health: Health,
    sleep: Sleep = asyncio.sleep,
    within_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[Probe]:
    """As many tries as it takes, or as there are; but the first, none begins later than `within_s`."""
    probes: list[Probe] = []
    began = clock()
    for attempt in range(health.tries):
        if attempt:
            await sleep(min(health.backoff_min_s * 2 ** (attempt - 1), health.backoff_max_s))
            if clock() - began > within_s:
                break
        probes.append(await ask())
        if probes[-1].ok:
            break
    return probes


async def latencies_ms(
    ask: Ask | None, samples: int, within_s: float = COMPARED_S, clock: Callable[[], float] = time.monotonic
) -> list[float]:
    """Of the accepted answers there, to compare with, in ms; none without one to ask. The first is not timed.

    What is slow is asked for no longer than `within_s`: a candidate waits for it.
    """
    probes = await several(ask, samples + 1, within_s, clock) if ask else []
    return [probe.latency_ms for probe in probes[1:] if probe.ok]


async def several(
    ask: Ask, times: int, within_s: float = math.inf, clock: Callable[[], float] = time.monotonic
) -> list[Probe]:
    """So many requests, one after the other, as long as one is answered: of those that hang one is enough."""
    probes: list[Probe] = []
    began = clock()
    while len(probes) < times and clock() - began <= within_s and not (probes and probes[-1].status is None):
        probes.append(await ask())
    return probes


def _client(url: str, health: Health, headers: Mapping[str, str]) -> httpx.AsyncClient:
    """A proxy that is not to be asked for the name is not asked for one of its addresses, either."""
    return httpx.AsyncClient(
        verify=trusted(),
        timeout=health.timeout_s,
        headers=dict(headers),
        follow_redirects=False,
        trust_env=is_proxied(httpx.URL(url)),
    )


async def _probe(client: httpx.AsyncClient, url: str, health: Health, why: str = "") -> Probe:
    """why: nobody is asked, if there is a reason."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(health.timeout_s):  # httpx's own time-outs are per read, not for the whole answer
            addresses: Sequence[str] = ()
            if not why:
                why, addresses = await _permitted(client, httpx.URL(url), health)
            if why:
                get_run_logger().info("probe of %s: %s", url, why)
                return Probe(False, 0.0, None, f"{health.path}: {why}")
            started = time.monotonic()
            response = await _get(client, httpx.URL(url), addresses)
    except (httpx.HTTPError, OSError, TimeoutError) as error:  # OSError: the name has no address
        seconds = time.monotonic() - started
        said = f"{health.path}: no answer after {seconds:.1f} s ({type(error).__name__})"
        get_run_logger().info("probe of %s: %s", url, said)
        return Probe(False, seconds * 1000, None, said)
    if said := wrong_with(response.status_code, response.text, health):
        said = f"{health.path}: {said}"
        get_run_logger().info("probe of %s: %s", url, said)
    return Probe(not said, (time.monotonic() - started) * 1000, response.status_code, said)


async def _permitted(client: httpx.AsyncClient, url: httpx.URL, health: Health) -> tuple[str, Sequence[str]]:
    """Why it is not asked there, and at which addresses it is: slipway.yaml may name any, and the run tells answers.

    Asked before each request, as a name may mean another address by then.
    """
    why, addresses = await permitted_at(url, health)
    if why:
        return f"{why}; nobody is asked there", ()
    if url.scheme == "http" and "Authorization" in client.headers and not is_this_machine(url.host):
        return "it is asked with an ID token, which http:// would show to others; give an https:// address", ()
    return "", addresses


async def _get(client: httpx.AsyncClient, url: httpx.URL, addresses: Sequence[str]) -> httpx.Response:
    """From one of the addresses, where they are given."""
    if not addresses:
        return await client.get(url)
    return await first_of(addresses, lambda address: client.get(**pinned(url, address)))


def wrong_with(status: int, body: str, health: Health) -> str:
    """What keeps an answer from being accepted, '' if nothing does."""
    if status not in health.status:
        begins = f"; the answer begins {redact(body[:80])!r}" if body else ""
        return f"status {status}, accepted are {', '.join(map(str, health.status))}{begins}"
    if health.body is not None and health.body not in body:
        return f"the body does not contain {health.body!r} but begins {redact(body[:80])!r}"
    return ""


def asked_for(request: Request, place: Place, health: Health | None) -> Health:
    """What a revision of an earlier release is asked for, as today: prober and way in of back then may be gone."""
    way = request.service(place.service).health if place.service in request.manifest.services else Health()
    update = {"prober": request.settings.prober or "", "url": way.url, "audience": way.audience}
    return (health or ANSWERS).model_copy(update=update)


def rules_of(health: Health) -> Rules:
    return Rules(tries=health.tries, min_samples=health.samples)


async def authorization(service: str, audience: str, health: Health) -> Mapping[str, str]:
    """A service that is not open to all (yet) is asked as the prober, or as whom we act as, or as whom it runs as.

    So is one for which an audience is named: what is in front of it may want to know who asks. Where that is not there
    yet, as a release sets it last, Cloud Run itself asks for a token of the service's own.
    """
    prober = health.prober
    is_public = await access.is_public(service)
    if not health.audience and is_public:
        return {}
    found = await services.get_service(service)
    is_open = is_public or bool(found and found.unchecked)
    if not health.audience and is_open:
        return {}
    if found and not prober and not await identity.whoami():
        prober = found.service_account
    named = health.audience if is_open or health.url or (found and _takes(found, health)) else None
    return {"Authorization": f"Bearer {await identity.fetch_id_token(named or audience, prober)}"}


def _takes(service: RunService, health: Health) -> bool:
    """Whether an ID token for what `health.audience` names gets through to it."""
    others = (*service.body.get("customAudiences", ()), *service.body.get("urls", ()), service.uri)
    return bool(service.body.get("iapEnabled")) or health.audience in others
