"""Creating what is missing: what counts as there, and as what it is made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import orgpolicy_v2

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from tasks.preflight.create import placeholder_body, unless_there
from tasks.preflight.policies import INGRESS, check_policies
from tests.conftest import OTHER_PROJECT
from tests.tasks.preflight.conftest import Acting
from tests.tasks.preflight.requests import name_of, to_ship


async def refused(status: str) -> None:
    raise GoogleError("artifactregistry.repositories.create", status, "no", http_status=409)


async def test_what_somebody_else_has_created_meanwhile_need_not_be_created() -> None:
    await unless_there(refused("ALREADY_EXISTS"))


async def test_a_creation_that_was_aborted_is_not_taken_for_one_that_was_not_needed() -> None:
    with pytest.raises(GoogleError, match="ABORTED"):
        await unless_there(refused("ABORTED"))


@pytest.fixture
def only_inside(cloud_env: dict[str, str]) -> Iterator[None]:
    """An organisation policy of the other project: no service of it may let the internet in."""
    policies = orgpolicy_v2.OrgPolicyClient()
    name = f"projects/{OTHER_PROJECT}/policies/{INGRESS}"
    policy = orgpolicy_v2.Policy(name=name, spec={"rules": [{"values": {"allowed_values": ["internal"]}}]})
    policies.create_policy(parent=f"projects/{OTHER_PROJECT}", policy=policy)
    yield
    policies.delete_policy(name=name)


async def test_a_service_is_made_with_its_ingress_where_a_policy_allows_no_other(
    acting: Acting, only_inside: None
) -> None:
    inside, outside = (to_ship(said, project=OTHER_PROJECT) for said in ("ingress: internal", ""))
    made = await services.create_service(name_of(inside), placeholder_body(inside, name_of(inside)), 60)
    assert made.body["ingress"] == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    assert not (await check_policies(inside)).problems
    with pytest.raises(GoogleError, match="violated one or more Org Policies") as refused:
        await services.create_service(name_of(outside), placeholder_body(outside, name_of(outside)), 60)
    assert refused.value.status == "FAILED_PRECONDITION"
    (problem,) = (await check_policies(outside)).problems
    assert "the ingress 'all', which web would have" in problem.problem
