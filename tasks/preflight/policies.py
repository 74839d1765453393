"""Organisation policies that would refuse the release: where it goes, who may call it, from where."""

from __future__ import annotations

import asyncio

from infra.gcp import project
from infra.gcp.project import Constraint
from tasks.failures.errors import Cause
from tasks.model import Readiness, Request
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.locations import Admission, admission

LOCATIONS = "gcp.resourceLocations"
MEMBERS = "iam.allowedPolicyMemberDomains"
INGRESS = "run.allowedIngress"


async def check_policies(request: Request) -> Readiness:
    names = (LOCATIONS, MEMBERS, INGRESS)
    found = await asyncio.gather(*(project.constraint(request.project, name) for name in names))
    return judge_policies(request, dict(zip(names, found, strict=True)))


def judge_policies(request: Request, found: dict[str, Constraint | None]) -> Readiness:
    public = [name for name in request.services if request.service(name).public]
    domains = found[MEMBERS]
    parts = [_judge_location(request, region, found[LOCATIONS]) for region in request.settings.regions]
    if public and domains is not None and (domains.allowed or domains.deny_all):
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
