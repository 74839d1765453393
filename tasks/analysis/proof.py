"""The health proof: a candidate is asked on its own URL, before it has any traffic, beside what serves now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

from prefect.logging import get_run_logger

from tasks.analysis.latency import grossly_slower, judge_dark
from tasks.analysis.probes import Ask, latencies_ms, probe_until_clear, rules_of, several
from tasks.analysis.reach import asks_dark, in_front, stable_at
from tasks.analysis.senses import Senses
from tasks.analysis.sequential import measured
from tasks.analysis.tail import in_lines, last_lines
from tasks.analysis.verdict import Probe, combine, judge_probes
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_MOVED, ProofFailed
from tasks.failures.redact import redact
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Proof, Request, Verdict
from tasks.orchestration.gather import all_of
from tasks.orchestration.stage import stage
from tasks.orchestration.step import step

LONGEST_PROOF_S = 7 * 24 * 3600.0  # a backstop: how long a proof may take, timeouts.prove of the environment says
COMPARED = 20  # latencies of each side, and so many more at a time while a candidate looks slow
MOST_MORE = 300
LEAST = 10  # on each side, to be held against a candidate
WARM_UP_S = 120.0  # and no longer than this
OF_ANOTHER_HOST = (400, 421)  # how frameworks answer who asks by a name that they have not been told of
LOOK = "look at the service's log and its health path in slipway.yaml, correct it and ship a new version."
HOSTS = (
    "a revision is asked at a URL of its own: where the app accepts certain hosts only (ALLOWED_HOSTS of Django, "
    "config.hosts of Rails), let it accept *.run.app too; else correct the health path in slipway.yaml. Then ship a "
    "new version."
)
ANSWERED = (
    "the service is up, and answers otherwise than its health in slipway.yaml says: give a path that it answers with "
    "200 (health.path), or say which answer is a good one (health.status). Then ship a new version."
)


@stage("prove")
async def prove(request: Request, candidates: Sequence[Candidate], *, compared: bool = True) -> tuple[Proof, ...]:
    """Every candidate at once, whatever the verdicts are.

    compared: with what serves now. Not by who turns away from that: it may hang, or be quick at what is wrong.
    """
    return await all_of([prove_service(request, candidate, compared=compared) for candidate in candidates])


def refuse_unproven(proofs: Sequence[Proof]) -> None:
    """Raises ProofFailed unless each is HEALTHY."""
    bad = [proof for proof in proofs if proof.verdict is not Verdict.HEALTHY]
    if bad:
        raise _not_proven(bad)


def unproven_regions(proofs: Sequence[Proof]) -> dict[str, str]:
    """By region why not all is HEALTHY there, while in another one all is. ProofFailed where there is no other."""
    bad = [proof for proof in proofs if proof.verdict is not Verdict.HEALTHY]
    found: dict[str, list[str]] = {}
    for each in bad:
        found.setdefault(each.place.region, []).append(unproven(each))
    if bad and found.keys() >= {proof.place.region for proof in proofs}:
        raise _not_proven(bad)
    return {region: "; ".join(said) for region, said in found.items()}


def unproven(proof: Proof) -> str:
    """Why, '' for one that is HEALTHY."""
    return "" if proof.verdict is Verdict.HEALTHY else f"{proof.place} is {proof.verdict}: {proof.reason}"


@step("prove health", run_name="prove {candidate.place}", timeout_s=LONGEST_PROOF_S, against=unproven)
async def prove_service(request: Request, candidate: Candidate, *, compared: bool = True) -> Proof:
    proof = await prove_candidate(request, candidate, Senses(), compared=compared)
    if proof.verdict is not Verdict.HEALTHY:
        service = request.run_service(candidate.place).rpartition("/")[2]
        proof = replace(proof, said=in_lines(await last_lines(request.project, service, candidate.revision)))
    get_run_logger().info("%s is %s: %s", proof.place, proof.verdict, proof.reason)
    return proof


async def prove_candidate(request: Request, candidate: Candidate, senses: Senses, *, compared: bool = True) -> Proof:
    place = candidate.place
    if not asks_dark(candidate.health):
        return Proof(place, Verdict.HEALTHY, f"ready, and asked at {in_front(candidate)} once it has traffic")
    health, before = candidate.health, candidate.before
    service, same = request.run_service(place), before.health is None or before.health.path == health.path
    stable_url = stable_at(candidate) if compared and same else ""  # the times of different answers do not compare
    async with AsyncExitStack() as clients:
        urls = (candidate.url, stable_url or candidate.url)
        asking = [senses.asking(service, candidate.service_url, url, health) for url in urls]
        ask, ask_stable = await all_of([clients.enter_async_context(each) for each in asking])
        probes, stable = await asyncio.gather(
            probe_until_clear(ask, health, senses.sleep), latencies_ms(ask_stable if stable_url else None, COMPARED)
        )
        more = await _until_warm(probes, stable, ask, ask_stable, senses)
    return judge(place, probes, stable, health, more)


async def _until_warm(
    probes: Sequence[Probe], stable_ms: list[float], ask: Ask, ask_stable: Ask, senses: Senses
) -> list[Probe]:
    """Asks both again and again while the candidate looks slow: what is warming up gets faster, what is slow stays."""
    more: list[Probe] = []
    until = senses.now() + timedelta(seconds=WARM_UP_S)
    while stable_ms and len(more) < MOST_MORE and senses.now() < until:
        if not grossly_slower(warm((*probes, *more)), stable_ms):
            break
        ours, theirs = await asyncio.gather(several(ask, COMPARED), several(ask_stable, COMPARED))
        more += ours
        stable_ms += [probe.latency_ms for probe in theirs if probe.ok]
    return more


def warm(probes: Sequence[Probe]) -> list[float]:
    """The latencies of the later half of all accepted answers, of `COMPARED` at least, in ms; the first is left out."""
    times = [probe.latency_ms for probe in probes if probe.ok][1:]
    return times[-max(len(times) // 2, COMPARED) :]


def judge(
    place: Place, probes: Sequence[Probe], stable_ms: Sequence[float], health: Health, more: Sequence[Probe] = ()
) -> Proof:
    """The verdict on a candidate's answers and, where the stable revision could be asked too, on its latency.

    The probe that ended a cold start is not timed. more: probes for its latency alone.
    """
    rules = rules_of(health)
    times = warm((*probes, *more))
    judgement = combine((judge_probes(probes, rules), judge_dark(times, stable_ms, replace(rules, min_samples=LEAST))))
    timed = measured(times)
    p50, p95 = (timed.quantile(0.5), timed.quantile(0.95)) if timed.total > 1 else (None, None)
    return Proof(
        place=place,
        verdict=judgement.verdict,
        reason=judgement.reason,
        attempts=len(probes) + len(more),
        p50_ms=None if p50 is None else round(p50, 1),
        p95_ms=None if p95 is None else round(p95, 1),
        evidence=judgement.evidence,
        status=probes[-1].status if probes else None,
    )


def _not_proven(bad: Sequence[Proof]) -> ProofFailed:
    lines = [f"{p.place} is {p.verdict} after {p.attempts} requests: {p.reason}{redact(p.said)}" for p in bad]
    return ProofFailed(
        "\n".join(lines), _remedy([proof.status or 0 for proof in bad]), Cause.CONTAINER_CRASH, state=NOT_MOVED
    )


def _remedy(statuses: Sequence[int]) -> str:
    """By the last answer of each."""
    if any(status in OF_ANOTHER_HOST for status in statuses):
        return HOSTS
    return ANSWERED if any(300 <= status < 500 for status in statuses) else LOOK
