"""The health proof: real requests to a candidate's own URL, before it has any traffic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

import httpx
from prefect.logging import get_run_logger

from infra.gcp.iam import identity
from infra.gcp.run import services
from tasks.analysis.verdict import Probe, Rules, combine, judge_latency, judge_probes, p50_p95
from tasks.failures.errors import NOT_MOVED, Cause, ProofFailed
from tasks.failures.redact import redact
from tasks.manifest.settings import Health
from tasks.model import Candidate, Proof, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step

PROVE_TIMEOUT_S = 600.0  # five tries of 30 s with 2 to 32 s in between, and the timed ones
MORE_SAMPLES = 3  # an unclear verdict may be looked at with so many times the samples


@stage("prove")
async def prove(request: Request, candidates: Sequence[Candidate]) -> tuple[Proof, ...]:
    """Every candidate at once, whatever the verdicts are."""
    return await all_of([prove_service(request, candidate) for candidate in candidates])


def refuse_unproven(proofs: Sequence[Proof]) -> None:
    """Raises ProofFailed unless each is HEALTHY."""
    bad = [proof for proof in proofs if proof.verdict is not Verdict.HEALTHY]
    if bad:
        raise _not_proven(bad)


@step("prove health", run_name="prove {candidate.place}", timeout_s=PROVE_TIMEOUT_S)
async def prove_service(request: Request, candidate: Candidate) -> Proof:
    place = candidate.place
    health = request.service(place.service).health
    headers = await authorization(request.run_service(place), candidate.service_url)
    probes, stable = await asyncio.gather(
        probe_until_clear(candidate.url + health.path, health, headers),
        _stable_samples(candidate, health, headers),
    )
    proof = judge(candidate, probes, stable, health)
    get_run_logger().info("%s is %s: %s", place, proof.verdict, proof.reason)
    return proof


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


async def _stable_samples(candidate: Candidate, health: Health, headers: Mapping[str, str]) -> list[float]:
    """Latencies in ms of the revision that serves now, to compare with; none when it has no URL of its own."""
    url = candidate.before.serving_url
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


def judge(candidate: Candidate, probes: Sequence[Probe], stable_ms: Sequence[float], health: Health) -> Proof:
    """The verdict on a candidate's answers and, where the stable revision could be asked too, on its latency.

    The probe that ended a cold start is not timed. A latency that cannot be compared is no evidence either way.
    """
    rules = rules_of(health)
    judgements = [judge_probes(probes, rules)]
    first = next((index for index, probe in enumerate(probes) if probe.ok), len(probes))
    times = [probe.latency_ms for probe in probes[first + 1 :] if probe.ok]
    if min(len(times), len(stable_ms)) >= rules.min_samples:
        judgements.append(judge_latency(times, stable_ms, rules))
    judgement = combine(judgements)
    p50, p95 = p50_p95(times) if len(times) > 1 else (None, None)
    return Proof(
        place=candidate.place,
        verdict=judgement.verdict,
        reason=judgement.reason,
        attempts=len(probes),
        p50_ms=None if p50 is None else round(p50, 1),
        p95_ms=None if p95 is None else round(p95, 1),
        evidence=judgement.evidence,
    )


def rules_of(health: Health) -> Rules:
    return Rules(tries=health.tries, min_samples=health.samples)


async def authorization(service: str, audience: str) -> Mapping[str, str]:
    """A service that is not public (yet) is asked with our identity."""
    if await services.is_public(service):
        return {}
    token = await identity.fetch_id_token(audience)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _not_proven(bad: Sequence[Proof]) -> ProofFailed:
    lines = [f"{p.place} is {p.verdict} after {p.attempts} requests: {p.reason}" for p in bad]
    return ProofFailed(
        "\n".join(lines),
        "look at the service's log and its health path in slipway.yaml, correct it and ship a new version.",
        Cause.CONTAINER_CRASH,
        state=NOT_MOVED,
    )
