"""Organisation policies that would refuse the release: where it goes, who may call it, from where."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from infra.gcp import project
from infra.gcp.calls.errors import GoogleError
from infra.gcp.project import Constraint
from infra.gcp.run import services
from tasks.failures.cause import Cause
from tasks.model import Place, Readiness, Request
from tasks.preflight.findings import CONSOLE, merge, refuse
from tasks.preflight.locations import Admission, admission
from tasks.preflight.permissions import is_open
from tasks.rollout.words import INGRESSES

LOCATIONS = "gcp.resourceLocations"
MEMBERS = "iam.allowedPolicyMemberDomains"
INGRESS = "run.allowedIngress"
UNKNOWN = ""  # a service that is there, and may not be looked at


async def check_policies(request: Request) -> Readiness:
    names = (LOCATIONS, MEMBERS, INGRESS)
    constraints = await asyncio.gather(*(project.constraint(request.project, name) for name in names))
    found = dict(zip(names, constraints, strict=True))
    opened = await _to_be_opened(request) if _forbids_everybody(found[MEMBERS]) else []
    there = await _there(request) if _restricts(found[LOCATIONS]) or _restricts(found[INGRESS]) else {}
    return judge_policies(request, found, opened, there)


async def _there(request: Request) -> dict[Place, str]:
    """The services that there are, with their ingress in gcloud's words."""
    found = await asyncio.gather(*(_ingress(request, place) for place in request.places))
    return {place: ingress for place, ingress in zip(request.places, found, strict=True) if ingress is not None}


async def _ingress(request: Request, place: Place) -> str | None:
    try:
        live = await services.get_service(request.run_service(place))
    except GoogleError as error:
        if error.status == "PERMISSION_DENIED":  # told by the permissions
            return UNKNOWN
        raise
    if live is None:
        return None
    return next((word for word, name in INGRESSES.items() if name == live.body.get("ingress")), "all")


async def _to_be_opened(request: Request) -> list[str]:
    """The public services that not everybody may call yet: what is granted already, such a policy leaves."""
    places = [place for place in request.places if request.service(place.service).public]
    yet = await asyncio.gather(*(is_open(request.run_service(place)) for place in places))
    return list(dict.fromkeys(place.service for place, there in zip(places, yet, strict=True) if not there))


def _forbids_everybody(domains: Constraint | None) -> bool:
    return domains is not None and (bool(domains.allowed) or domains.deny_all)


def _restricts(policy: Constraint | None) -> bool:
    return policy is not None and (bool(policy.allowed or policy.denied) or policy.deny_all)


def judge_policies(
    request: Request, found: Mapping[str, Constraint | None], public: Sequence[str], there: Mapping[Place, str]
) -> Readiness:
    """public: the services that are to be opened to everybody; there: those that exist, with their ingress."""
    parts = [_judge_location(request, region, found[LOCATIONS], there) for region in request.settings.regions]
    if public and _forbids_everybody(found[MEMBERS]):
        problem = (
            f"An organisation policy restricts who may be granted access, so {', '.join(public)} cannot be public."
        )
        parts.append(_refused(request, MEMBERS, found[MEMBERS], problem))
    return merge([*parts, *_judge_ingress(request, found[INGRESS], there)])


def _judge_ingress(request: Request, policy: Constraint | None, there: Mapping[Place, str]) -> list[Readiness]:
    """What a service has already it may keep: https://cloud.google.com/resource-manager/docs/organization-policy/org-policy-constraints."""
    refused: dict[str, list[str]] = {}
    for place in request.places:
        now = there.get(place)
        asked = request.service(place.service).ingress or now or "all"
        if now not in (asked, UNKNOWN) and not _permits(policy, asked):
            refused.setdefault(asked, []).append(place.service)
    return [
        _refused(
            request,
            INGRESS,
            policy,
            f"An organisation policy does not allow the ingress {asked!r}, which {', '.join(dict.fromkeys(names))} "
            "would have.",
            "set `ingress` in slipway.yaml to what it allows: ",
        )
        for asked, names in refused.items()
    ]


def _permits(policy: Constraint | None, value: str) -> bool:
    """Whether a list constraint without groups lets `value` through; `is:` before a value changes nothing."""
    if policy is None:
        return True
    names = {value, f"is:{value}"}
    if policy.deny_all or names & policy.denied:
        return False
    return policy.allow_all or not policy.allowed or bool(names & policy.allowed)


def _judge_location(request: Request, region: str, policy: Constraint | None, there: Mapping[Place, str]) -> Readiness:
    """Stops only where the policy certainly refuses the region; what it says in words unknown here is a note.

    What is there stays, and may be changed: https://cloud.google.com/resource-manager/docs/organization-policy/defining-locations
    """
    verdict = admission(region, policy)
    if verdict.admission is Admission.REFUSED:
        why = f" (it names {', '.join(verdict.values)})" if verdict.values else ""
        problem = f"An organisation policy does not allow resources in {region}{why}."
        if all(place in there for place in request.places if place.region == region):
            return Readiness(notes=(f"{problem} The services are there already; of all else, Google will tell.",))
        return _refused(request, LOCATIONS, policy, problem)
    if verdict.admission is Admission.UNKNOWN:
        values = ", ".join(verdict.values)
        return Readiness(notes=(f"{LOCATIONS} names {values}; whether that means {region}, Google will tell.",))
    return Readiness()


def _refused(request: Request, name: str, policy: Constraint | None, problem: str, instead: str = "") -> Readiness:
    """A note where rules with a condition may let it all the same: nobody here knows what has which tag."""
    if policy is not None and policy.conditional:
        return Readiness(
            notes=(f"{problem} {name} has rules with a condition as well, which may let it: Google will tell.",)
        )
    describe = f"gcloud org-policies describe {name} --project={request.project} --effective"
    return refuse(
        "organisation policy",
        Cause.ORG_POLICY,
        problem,
        f"{instead}{describe}  # ask its owner to change it",
        f"{CONSOLE}/iam-admin/orgpolicies/{name.replace('.', '-')}?project={request.project}",
    )
