"""The health proof: real requests to a candidate's own URL, before it has any traffic."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from prefect.logging import get_run_logger

from infra.gcp import iam, run
from tasks.errors import Cause, ProofFailed
from tasks.manifest_types import Health
from tasks.model import Candidate, Proof, Request, Verdict
from tasks.progress import stage
from tasks.steps import step
from tasks.together import all_of

PROVE_TIMEOUT_S = 420.0  # five tries of 30 s with 2 to 32 s in between, and the timed ones


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a candidate. `status` is None when no answer came."""

    ok: bool
    status: int | None
    seconds: float
    said: str  # what was wrong, '' when ok


@stage("prove")
async def prove(request: Request, candidates: Sequence[Candidate]) -> tuple[Proof, ...]:
    """Every candidate at once. Raises ProofFailed unless each is HEALTHY."""
    proofs = await all_of([prove_service(request, candidate) for candidate in candidates])
    bad = [proof for proof in proofs if proof.verdict is not Verdict.HEALTHY]
    if bad:
        raise _not_proven(bad)
    return proofs


@step("prove health", run_name="prove {candidate.service} in {candidate.region}", timeout_s=PROVE_TIMEOUT_S)
async def prove_service(request: Request, candidate: Candidate) -> Proof:
    health = request.service(candidate.service).health
    name = request.run_service(candidate.service, candidate.region)
    headers = await _authorization(name, candidate.service_url)
    async with httpx.AsyncClient(timeout=health.timeout_s, headers=headers, follow_redirects=False) as client:
        tries = await _until_ok(client, candidate.url + health.path, health)
        timed = [await _probe(client, candidate.url + health.path, health) for _ in range(health.samples)] \
            if tries[-1].ok else []  # fmt: skip
    proof = judge(candidate, tries, timed)
    get_run_logger().info("%s in %s is %s: %s", candidate.service, candidate.region, proof.verdict, proof.reason)
    return proof


async def _until_ok(client: httpx.AsyncClient, url: str, health: Health) -> list[Probe]:
    """Tries until one succeeds; the first success also pays for the cold start, so it is not timed."""
    tries: list[Probe] = []
    for attempt in range(health.tries):
        if attempt:
            await asyncio.sleep(min(health.backoff_min_s * 2 ** (attempt - 1), health.backoff_max_s))
        tries.append(await _probe(client, url, health))
        if tries[-1].ok:
            break
        get_run_logger().info("probe %d of %d of %s: %s", attempt + 1, health.tries, url, tries[-1].said)
    return tries


async def _probe(client: httpx.AsyncClient, url: str, health: Health) -> Probe:
    started = time.monotonic()
    try:
        async with asyncio.timeout(health.timeout_s):  # httpx's own time-outs are per read, not for the whole answer
            response = await client.get(url)
    except (httpx.HTTPError, TimeoutError) as error:
        seconds = time.monotonic() - started
        return Probe(False, None, seconds, f"no answer after {seconds:.1f} s ({type(error).__name__})")
    said = wrong_with(response.status_code, response.text, health)
    return Probe(not said, response.status_code, time.monotonic() - started, said)


def wrong_with(status: int, body: str, health: Health) -> str:
    """What keeps an answer from being accepted, '' if nothing does."""
    if status not in health.status:
        return f"status {status}, accepted are {', '.join(map(str, health.status))}"
    if health.body is not None and health.body not in body:
        return f"the body does not contain {health.body!r} but begins {body[:80]!r}"
    return ""


def judge(candidate: Candidate, tries: Sequence[Probe], timed: Sequence[Probe]) -> Proof:
    """HEALTHY if a try was accepted and all timed requests after it; UNHEALTHY otherwise; no probe is INCONCLUSIVE."""
    everything = [*tries, *timed]
    if not everything:
        return Proof(candidate.service, candidate.region, Verdict.INCONCLUSIVE, "no request was made")
    failed = [probe for probe in timed if not probe.ok] or ([] if tries[-1].ok else [tries[-1]])
    times = sorted(probe.seconds * 1000 for probe in timed if probe.ok)
    return Proof(
        service=candidate.service,
        region=candidate.region,
        verdict=Verdict.UNHEALTHY if failed else Verdict.HEALTHY,
        reason=failed[0].said if failed else f"{len(timed) + 1} of {len(timed) + 1} requests accepted",
        attempts=len(everything),
        p50_ms=round(statistics.median(times), 1) if times else None,
        p95_ms=round(times[-(-len(times) * 95 // 100) - 1], 1) if times else None,
        evidence=tuple(f"{p.status or '-'} in {p.seconds * 1000:.0f} ms {p.said}".rstrip() for p in everything),
    )


async def _authorization(service: str, audience: str) -> Mapping[str, str]:
    """A service that is not public (yet) is asked with our identity."""
    if await run.is_public(service):
        return {}
    token = await iam.fetch_id_token(audience)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _not_proven(bad: Sequence[Proof]) -> ProofFailed:
    lines = [f"{p.service} in {p.region} is {p.verdict} after {p.attempts} requests: {p.reason}" for p in bad]
    return ProofFailed(
        "\n".join(lines),
        "look at the service's log and its health path in slipway.yaml, correct it and ship a new version.",
        Cause.CONTAINER_CRASH,
        state="Live traffic was not moved.",
    )
