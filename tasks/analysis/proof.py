"""The health proof: a candidate is asked on its own URL, before it has any traffic, beside what serves now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prefect.logging import get_run_logger

from tasks.analysis.probes import authorization, latencies_ms, probe_until_clear, rules_of
from tasks.analysis.verdict import Probe, combine, judge_latency, judge_probes, p50_p95
from tasks.failures.errors import NOT_MOVED, Cause, ProofFailed
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Proof, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step

PROVE_TIMEOUT_S = 600.0  # five tries of 30 s with 2 to 32 s in between, and the timed ones


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
        latencies_ms(candidate.before.serving_url, health, headers),
    )
    proof = judge(place, probes, stable, health)
    get_run_logger().info("%s is %s: %s", place, proof.verdict, proof.reason)
    return proof


def judge(place: Place, probes: Sequence[Probe], stable_ms: Sequence[float], health: Health) -> Proof:
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
        place=place,
        verdict=judgement.verdict,
        reason=judgement.reason,
        attempts=len(probes),
        p50_ms=None if p50 is None else round(p50, 1),
        p95_ms=None if p95 is None else round(p95, 1),
        evidence=judgement.evidence,
    )


def _not_proven(bad: Sequence[Proof]) -> ProofFailed:
    lines = [f"{p.place} is {p.verdict} after {p.attempts} requests: {p.reason}" for p in bad]
    return ProofFailed(
        "\n".join(lines),
        "look at the service's log and its health path in slipway.yaml, correct it and ship a new version.",
        Cause.CONTAINER_CRASH,
        state=NOT_MOVED,
    )
