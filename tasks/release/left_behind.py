"""What a run that is gone was releasing, as far as its record and the service tell. Pure."""

from __future__ import annotations

from dataclasses import replace

from infra.gcp.run.members import EVERYONE
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.analysis.probes import asked_for
from tasks.analysis.reach import at_tag
from tasks.history.record import TargetRecord, health_of
from tasks.model import Candidate, Request, Snapshot
from tasks.rollout.service import said_before, said_of_all
from tasks.spec.merge import segments


def foreign_revisions(service: RunService, target: TargetRecord) -> set[str]:
    """Revisions with traffic that neither had any before the release nor are its own; and its own where that follows
    the latest one, which is no split of ours.
    """
    known = {revision for revision, _ in target.before}
    if all(t.revision for t in service.traffic if t.percent):
        known |= {target.revision}
    return set(service.asked) - known


def candidate_of(request: Request, service: RunService, target: TargetRecord) -> Candidate:
    """The candidate that the dead run was releasing, as far as its record tells."""
    tag = {t.revision: t.tag for t in service.traffic if t.tag}.get(target.revision, "")
    health = asked_for(request, target.place, target.proven_by)
    return Candidate(
        revision=target.revision,
        tag=tag,
        url=at_tag(health, target.place, tag, service.uri_of(target.revision)),
        service_url=service.uri,
        before=before_of(service, target),
        split=service.traffic,
        health=health,
        public=target.public,
        invokers=None if target.invokers is None else frozenset(target.invokers),
        whole=(target.whole or {}) if target.was_whole is not None else {},
    )


def unless_said(candidate: Candidate, later: TargetRecord) -> Candidate:
    """The same, as if all had been so before that a later release says, and whoever is in by that one.

    Nobody is let in again: that the later one has done.
    """
    before = candidate.before
    stay = {*(later.invokers or ()), *([EVERYONE] if later.public else ())}
    callers = None if before.callers is None else dict.fromkeys({*before.callers, *stay}, False)
    said = {segments(path)[0] for path in said_of_all(said_before(later.template) or ())}
    whole = {key: value for key, value in before.whole.items() if key not in said}
    whole |= {key: value for key, value in candidate.whole.items() if key in said}
    return replace(candidate, before=replace(before, callers=callers, whole=whole))


def before_of(service: RunService, target: TargetRecord) -> Snapshot:
    """What the dead run's release was made over, as far as its record tells."""
    followed = target.stands_for if target.followed else None
    shares = ((None if revision == followed else revision, percent) for revision, percent in target.before)
    return Snapshot(
        place=target.place,
        traffic=tuple(TrafficTarget(revision, percent) for revision, percent in shares),
        latest_ready=followed or "",
        serving=target.serving,
        serving_url=service.uri_of(target.serving),
        serving_tag=service.tag_of(target.serving),
        health=health_of(target.serving_health),
        callers=callers_before(target),
        stands_for=target.stands_for,
        whole=target.was_whole or {},
    )


def callers_before(target: TargetRecord) -> dict[str, bool] | None:
    """Who of those whom it concerns could call before the release, and whether an earlier one had let each in."""
    everyone = {EVERYONE: target.was_opened} if target.was_public else {}
    named = {who: who in target.was_let_in for who in target.was_invokers}
    return None if target.was_public is None else everyone | named
