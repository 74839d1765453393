"""Organisation policies that would refuse the release: where it goes, who may call it, from where."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from infra.gcp import project
from infra.gcp.project import Constraint
from tasks.failures.cause import Cause
from tasks.model import Readiness, Request
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.locations import Admission, admission
from tasks.preflight.permissions import is_open

LOCATIONS = "gcp.resourceLocations"
MEMBERS = "iam.allowedPolicyMemberDomains"
INGRESS = "run.allowedIngress"


async def check_policies(request: Request) -> Readiness:
    names = (LOCATIONS, MEMBERS, INGRESS)
    constraints = await asyncio.gather(*(project.constraint(request.project, name) for name in names))
    found = dict(zip(names, constraints, strict=True))
    opened = await _to_be_opened(request) if _restricts(found[MEMBERS]) else []
    return judge_policies(request, found, opened)


async def _to_be_opened(request: Request) -> list[str]:
    """The public services that not everybody may call yet: what is granted already, such a policy leaves."""
    places = [place for place in request.places if request.service(place.service).public]
    yet = await asyncio.gather(*(is_open(request.run_service(place)) for place in places))
    return list(dict.fromkeys(place.service for place, there in zip(places, yet, strict=True) if not there))


def _restricts(domains: Constraint | None) -> bool:
    return domains is not None and (bool(domains.allowed) or domains.deny_all)


def judge_policies(request: Request, found: dict[str, Constraint | None], public: Sequence[str]) -> Readiness:
    """public: the services that are to be opened to everybody."""
    parts = [_judge_location(request, region, found[LOCATIONS]) for region in request.settings.regions]
    if public and _restricts(found[MEMBERS]):
        problem = (
            f"An organisation policy restricts who may be granted access, so {', '.join(public)} cannot be public."
        )
        parts.append(_policy_problem(request, MEMBERS, problem))
    if not _permits(found[INGRESS], "all"):
        problem = "An organisation policy does not allow Cloud Run services that take requests from the internet."
        parts.append(_policy_problem(request, INGRESS, problem))
    return merge(parts)


def _permits(policy: Constraint | None, value: str) -> bool:
    """Whether a list constraint without groups lets `value` through; `is:` before a value changes nothing."""
    if policy is None:
        return True
    names = {value, f"is:{value}"}
    if policy.deny_all or names & policy.denied:
        return False
    return policy.allow_all or not policy.allowed or bool(names & policy.allowed)


def _judge_location(request: Request, region: str, policy: Constraint | None) -> Readiness:
    """Stops only where the policy certainly refuses the region; what it says in words unknown here is a note."""
    verdict = admission(region, policy)
    if verdict.admission is Admission.REFUSED:
        why = f" (it names {', '.join(verdict.values)})" if verdict.values else ""
        problem = f"An organisation policy does not allow resources in {region}{why}."
        return _policy_problem(request, LOCATIONS, problem)
    if verdict.admission is Admission.UNKNOWN:
        values = ", ".join(verdict.values)
        return Readiness(notes=(f"{LOCATIONS} names {values}; whether that means {region}, Google will tell.",))
    return Readiness()


def _policy_problem(request: Request, name: str, problem: str) -> Readiness:
    return refuse(
        "organisation policy",
        Cause.ORG_POLICY,
        problem,
        f"gcloud org-policies describe {name} --project={request.project} --effective  # ask its owner to change it",
        f"{CONSOLE}/iam-admin/orgpolicies/{name.replace('.', '-')}?project={request.project}",
    )
