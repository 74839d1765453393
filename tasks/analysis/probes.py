"""Probes: requests to a revision's own URL, or to the service's, as a client of it would make them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpx
from prefect.logging import get_run_logger

from infra.gcp.iam import identity
from infra.gcp.run import services
from tasks.analysis.verdict import Probe, Rules, judge_probes
from tasks.failures.redact import redact
from tasks.manifest.settings import Health
from tasks.model import Verdict

MORE_SAMPLES = 3  # an unclear verdict may be looked at with so many times the samples


async def probe_service(service: str, service_url: str, url: str, health: Health) -> list[Probe]:
    """Asks the Cloud Run service of this full name at `url`, which is its own or one of its revisions'."""
    headers = await authorization(service, service_url)
    return await probe_until_clear(url + health.path, health, headers)


async def probe_until_clear(url: str, health: Health, headers: Mapping[str, str]) -> list[Probe]:
    """Tries with growing waits until one is accepted, then samples until the verdict is clear or there are many."""
    probes: list[Probe] = []
    rules = rules_of(health)
    async with _client(health, headers) as client:
        for attempt in range(health.tries):
            if attempt:
                await asyncio.sleep(min(health.backoff_min_s * 2 ** (attempt - 1), health.backoff_max_s))
            probes.append(await _probe(client, url, health))
            if probes[-1].ok:
                break
            get_run_logger().info("probe %d of %d of %s: %s", attempt + 1, health.tries, url, probes[-1])
        limit = len(probes) + MORE_SAMPLES * health.samples
        while probes[-1].ok or len(probes) > health.tries:
            if judge_probes(probes, rules).verdict is not Verdict.INCONCLUSIVE or len(probes) >= limit:
                break
            probes.append(await _probe(client, url, health))
    return probes


async def latencies_ms(url: str, health: Health, headers: Mapping[str, str]) -> list[float]:
    """Of the accepted answers there, to compare with, in ms; none without a URL. The first request is not timed."""
    if not url:
        return []
    async with _client(health, headers) as client:
        probes = [await _probe(client, url + health.path, health) for _ in range(health.samples + 1)]
    return [probe.latency_ms for probe in probes[1:] if probe.ok]


def _client(health: Health, headers: Mapping[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=health.timeout_s, headers=dict(headers), follow_redirects=False)


async def _probe(client: httpx.AsyncClient, url: str, health: Health) -> Probe:
    started = time.monotonic()
    try:
        async with asyncio.timeout(health.timeout_s):  # httpx's own time-outs are per read, not for the whole answer
            response = await client.get(url)
    except (httpx.HTTPError, TimeoutError) as error:
        seconds = time.monotonic() - started
        return Probe(False, seconds * 1000, None, f"no answer after {seconds:.1f} s ({type(error).__name__})")
    said = wrong_with(response.status_code, response.text, health)
    return Probe(not said, (time.monotonic() - started) * 1000, response.status_code, said)


def wrong_with(status: int, body: str, health: Health) -> str:
    """What keeps an answer from being accepted, '' if nothing does."""
    if status not in health.status:
        return f"status {status}, accepted are {', '.join(map(str, health.status))}"
    if health.body is not None and health.body not in body:
        return f"the body does not contain {health.body!r} but begins {redact(body[:80])!r}"
    return ""


def rules_of(health: Health) -> Rules:
    return Rules(tries=health.tries, min_samples=health.samples)


async def authorization(service: str, audience: str) -> Mapping[str, str]:
    """A service that is not public (yet) is asked with our identity."""
    if await services.is_public(service):
        return {}
    token = await identity.fetch_id_token(audience)
    return {"Authorization": f"Bearer {token}"} if token else {}
