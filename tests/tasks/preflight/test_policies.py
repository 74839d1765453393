"""Organisation policies in front of a release."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.cloud import orgpolicy_v2

from infra.gcp import project
from infra.gcp.project import Constraint
from tasks.failures.cause import Cause
from tasks.model import Place, Readiness
from tasks.preflight.policies import INGRESS, LOCATIONS, MEMBERS, judge_policies
from tests.conftest import BARE_PROJECT
from tests.tasks.builders import a_request

REQUEST = a_request()  # to europe-west1 and us-central1
TEXT = """
app: shop
services:
  web: {INGRESS}
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""
HERE = Place("web", "europe-west1")
NO_POLICY: dict[str, Constraint | None] = {LOCATIONS: None, MEMBERS: None, INGRESS: None}


def allowing(*values: str) -> Constraint:
    return Constraint(allowed=frozenset(values))


def denying(*values: str) -> Constraint:
    return Constraint(denied=frozenset(values))


@pytest.mark.parametrize(
    ("constraint", "policy", "refused"),
    [
        (LOCATIONS, allowing("in:europe-locations"), 1),
        (LOCATIONS, allowing("in:eu-locations"), 1),
        (LOCATIONS, allowing("europe-west1", "us-central1"), 0),
        (LOCATIONS, denying("in:us-locations"), 1),
        (LOCATIONS, Constraint(deny_all=True), 2),
        (MEMBERS, allowing("C01"), 1),
        (INGRESS, allowing("internal"), 1),
        (INGRESS, allowing("is:internal"), 1),
        (INGRESS, denying("all"), 1),
        (INGRESS, Constraint(deny_all=True), 1),
        (INGRESS, allowing("all"), 0),
        (INGRESS, allowing("is:all"), 0),
        (INGRESS, denying("internal"), 0),
        (INGRESS, Constraint(allow_all=True), 0),
    ],
)
def test_organisation_policies_that_forbid_the_release_are_found(
    constraint: str, policy: Constraint, refused: int
) -> None:
    problems = judge_policies(REQUEST, {**NO_POLICY, constraint: policy}, ["web"], {}).problems
    assert len(problems) == refused
    assert all(problem.cause is Cause.ORG_POLICY and constraint in problem.fix for problem in problems)


def test_a_group_of_locations_that_is_not_known_is_a_note_and_stops_nothing() -> None:
    found = judge_policies(REQUEST, {**NO_POLICY, LOCATIONS: allowing("in:us-locations", "in:italy-locations")}, [], {})
    assert not found.problems
    (note,) = found.notes
    assert note == "gcp.resourceLocations names in:italy-locations; whether that means europe-west1, Google will tell."


def test_a_refused_region_is_told_with_the_values_that_refuse_it() -> None:
    found = judge_policies(REQUEST, {**NO_POLICY, LOCATIONS: denying("in:us-locations", "in:asia-locations")}, [], {})
    assert [problem.problem for problem in found.problems] == [
        "An organisation policy does not allow resources in us-central1 (it names in:us-locations)."
    ]


def test_a_policy_of_domains_takes_nothing_away_from_services_that_everybody_may_call_already() -> None:
    assert judge_policies(REQUEST, {**NO_POLICY, MEMBERS: allowing("C01")}, [], {}) == Readiness()


def judged(constraint: str, policy: Constraint, there: dict[Place, str], ingress: str | None = None) -> Readiness:
    request = a_request(text=TEXT.replace("INGRESS", f"ingress: {ingress}" if ingress else ""))
    return judge_policies(request, {**NO_POLICY, constraint: policy}, [], there)


def test_an_ingress_policy_stops_only_a_service_that_would_have_what_it_does_not_allow() -> None:
    inside = allowing("internal")
    assert judged(INGRESS, inside, {}, "internal") == Readiness()
    assert judged(INGRESS, inside, {HERE: "internal"}) == Readiness()  # slipway.yaml leaves it as it is
    assert judged(INGRESS, inside, {HERE: "all"}) == Readiness()  # it had it before the policy
    (opened,) = judged(INGRESS, inside, {HERE: "internal"}, "all").problems
    assert opened.problem == "An organisation policy does not allow the ingress 'all', which web would have."
    (closed,) = judged(INGRESS, allowing("all"), {HERE: "all"}, "internal").problems
    assert "'internal'" in closed.problem
    assert "set `ingress` in slipway.yaml" in closed.fix


def test_a_location_policy_takes_nothing_away_from_what_is_there() -> None:
    found = judged(LOCATIONS, denying("in:eu-locations"), {HERE: "all"})
    assert not found.problems
    assert "does not allow resources in europe-west1" in found.notes[0]
    assert len(judged(LOCATIONS, denying("in:eu-locations"), {}).problems) == 1


@pytest.mark.parametrize(
    ("constraint", "policy"),
    [(MEMBERS, allowing("C01")), (LOCATIONS, denying("in:eu-locations")), (INGRESS, allowing("internal"))],
)
def test_what_a_rule_with_a_condition_may_let_is_not_stopped(constraint: str, policy: Constraint) -> None:
    """A tag of the project lets everybody in where a policy restricts domains, as Google advises."""
    found = {**NO_POLICY, constraint: replace(policy, conditional=True)}
    judged = judge_policies(REQUEST, found, ["web"], {})
    assert not judged.problems
    assert f"{constraint} has rules with a condition as well, which may let it: Google will tell." in judged.notes[0]


async def test_rules_with_a_condition_are_read_apart_from_the_others(cloud_env: dict[str, str]) -> None:
    client, name = orgpolicy_v2.OrgPolicyClient(), f"projects/{BARE_PROJECT}/policies/{MEMBERS}"
    tagged = {"expression": "resource.matchTag('1/allUsersIngress', 'True')"}
    rules = [{"values": {"allowed_values": ["C01"]}}, {"allow_all": True, "condition": tagged}]
    policy = orgpolicy_v2.Policy({"name": name, "spec": {"rules": rules}})
    client.create_policy(parent=f"projects/{BARE_PROJECT}", policy=policy)
    found = await project.constraint(BARE_PROJECT, MEMBERS)
    client.delete_policy(name=name)
    assert found == Constraint(allowed=frozenset({"C01"}), conditional=True)
