"""What is known against a revision that traffic is to go back to: by our own requests, and by what it served last."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.gcp import monitoring
from tasks.analysis.metrics import judge_serving, rules_for
from tasks.analysis.probes import asked_for, probe_service, rules_of
from tasks.analysis.reach import at_tag
from tasks.analysis.verdict import Judgement, combine, escalate, judge_probes
from tasks.failures.explain import explain
from tasks.history.record import TargetRecord, seen_healthy
from tasks.history.store import read_history
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Request, Verdict
from tasks.rollout.live import LiveService

# Users wait for what the revision to go back to answers: half a minute at most, even if it hangs.
QUICKLY = {"tries": 3, "backoff_min_s": 0.5, "backoff_max_s": 1.0, "samples": 5}
QUICK_TIMEOUT_S = 10.0
LOOK_LIMIT_S = 40.0  # with all that it takes to ask at all
LOOK_BACK = timedelta(minutes=5)  # the requests by which the revision to go back to is judged


async def why_not(
    request: Request, candidate: Candidate, live: LiveService, revision: str, health: Health | None
) -> str:
    """Why traffic should not go to this revision instead of the candidate; '' if nothing is known against it.

    health: what that revision was proven by. By its candidate's it is never judged: that may ask for what is new.
    """
    if not revision:
        return ""
    if revision not in live.traffic.ready:
        return f"{revision} is gone or not ready"
    asked, service = asked_for(request, candidate.place, health), live.service
    url = at_tag(asked, candidate.place, service.tag_of(revision), service.uri_of(revision))
    judgements = await asyncio.gather(
        _looked(_probed(request, candidate, url, asked)),
        _looked(_measured(request, candidate.place, revision)),
    )
    found = combine(judgements)
    bad = escalate(Judgement(Verdict.UNHEALTHY, "the release failed"), found)
    return f"{revision} is unhealthy too ({found.reason})" if bad else ""


async def _looked(look: Coroutine[Any, Any, Judgement]) -> Judgement:
    """What cannot be asked, or does not say it in time, keeps no traffic from being given back."""
    try:
        async with asyncio.timeout(LOOK_LIMIT_S):
            return await look
    except Exception as error:
        return Judgement(Verdict.INCONCLUSIVE, explain(error).said)


async def last_seen_healthy(request: Request, candidate: Candidate) -> TargetRecord | None:
    """For when what served before the release is bad too, as when somebody had deployed it by hand; None if none is."""
    if candidate.before.serving == candidate.revision:
        return None  # it was not this release that brought it
    history = await read_history(request.settings.bucket, request.app, request.environment)
    besides = (candidate.revision, candidate.before.serving)
    return seen_healthy(history, candidate.place, besides)


async def _probed(request: Request, candidate: Candidate, url: str, health: Health) -> Judgement:
    if not url:
        return Judgement(Verdict.INCONCLUSIVE, "it has no URL of its own")
    quick = health.model_copy(update={**QUICKLY, "timeout_s": min(health.timeout_s, QUICK_TIMEOUT_S)})
    probes = await probe_service(request.run_service(candidate.place), candidate.service_url, url, quick)
    return judge_probes(probes, rules_of(quick))


async def _measured(request: Request, place: Place, revision: str) -> Judgement:
    """By the requests it served last."""
    end = datetime.now(UTC) - timedelta(seconds=request.settings.slo.metrics_lag_s)
    found = await monitoring.served(request.run_service(place), revision, end - LOOK_BACK, end)
    return judge_serving(found, rules_for(request.settings, len(request.services)))
