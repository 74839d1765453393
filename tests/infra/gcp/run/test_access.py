"""Policies of services as the local Cloud Run keeps them."""

from __future__ import annotations

import pytest
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.gcp.run import access
from infra.gcp.run.access import INVOKER
from tests.infra.emulator.emulated_run import Run, new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
ADA, BOB = "user:ada@example.com", "user:bob@example.com"


def a_service(*bindings: policy_pb2.Binding) -> str:
    run = Run()
    name: str = run.create(new_name("access"), public=False).name
    policy = policy_pb2.Policy(version=3, bindings=bindings)
    run.services.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=name, policy=policy))
    return name


async def test_who_comes_and_goes_is_told_and_others_stay() -> None:
    name = a_service(policy_pb2.Binding(role=INVOKER, members=[ADA, "allUsers"]))
    assert await access.let_in(name, [BOB], [ADA, "user:nobody@example.com"]) == {ADA, BOB}
    assert await access.invokers(name) == {BOB, "allUsers"}
    assert await access.let_in(name, [BOB], [ADA]) == frozenset()


async def test_what_has_a_condition_or_another_role_is_left() -> None:
    while_new = policy_pb2.Binding(role=INVOKER, members=[ADA])
    while_new.condition.expression = "request.time < timestamp('2030-01-01T00:00:00Z')"
    viewer = policy_pb2.Binding(role="roles/run.viewer", members=[ADA])
    name = a_service(while_new, viewer, policy_pb2.Binding(role=INVOKER, members=[ADA, BOB]))
    assert await access.let_in(name, [], [ADA]) == {ADA}
    assert await access.invokers(name) == {BOB}
    assert await access.policy_members(name) == {ADA, BOB}
    assert await access.let_in(name, [ADA]) == {ADA}


async def test_addresses_are_the_same_in_either_case() -> None:
    name = a_service(policy_pb2.Binding(role=INVOKER, members=["user:Ada@Example.com"]))
    assert await access.invokers(name) == {ADA}
    assert await access.let_in(name, [ADA]) == frozenset()
    assert await access.let_in(name, [], [ADA]) == {ADA}
    assert await access.invokers(name) == frozenset()
