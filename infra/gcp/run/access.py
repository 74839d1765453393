"""Who may call a Cloud Run service: its IAM policy."""

from __future__ import annotations

from collections.abc import Callable, Collection

from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, options_pb2, policy_pb2

from infra.gcp.calls.clients import READ, call, client
from infra.gcp.run.members import EVERYONE, same

INVOKER = "roles/run.invoker"
POLICY_VERSION = 3


async def is_public(service: str) -> bool:
    return EVERYONE in await invokers(service)


async def set_public(service: str, *, public: bool, always: bool = False) -> bool:
    """Lets the whole world invoke the service, or no longer; answers whether that was a change. As `let_in`."""
    return bool(await let_in(service, *(((EVERYONE,), ()) if public else ((), (EVERYONE,))), always=always))


async def let_in(
    service: str,
    come: Collection[str],
    go: Collection[str] = (),
    *,
    always: bool = False,
    before: Callable[[frozenset[str]], None] = lambda _: None,
) -> frozenset[str]:
    """Lets some invoke the service, and others no longer; answers for whom of them that was a change.

    What has a condition stays, be it of the same members. always: write the policy even if it says so already, so that
    nobody's older one can replace it any more. before: told for whom it is a change, before that is written. Raises
    GoogleError ABORTED if somebody else changed it meanwhile.
    """
    policy = await _policy(service)
    there = _invokers(policy)
    new, gone = {same(each) for each in come} - there, {same(each) for each in go} & there
    if not (new or gone or always):
        return frozenset()
    for binding in filter(_is_plain, policy.bindings):
        for member in [each for each in binding.members if same(each) in gone]:
            binding.members.remove(member)
    for number in reversed(range(len(policy.bindings))):
        if not policy.bindings[number].members:  # each has to name somebody
            del policy.bindings[number]
    if new:
        policy.bindings.add(role=INVOKER, members=sorted(new))
    before(frozenset(new | gone))
    request = iam_policy_pb2.SetIamPolicyRequest(resource=service, policy=policy)
    await call("run.services.setIamPolicy", client(run_v2.ServicesAsyncClient).set_iam_policy, request)
    return frozenset(new | gone)


async def policy_members(service: str) -> frozenset[str]:
    """Everybody whom the service's IAM policy names, in any role."""
    return frozenset(member for binding in (await _policy(service)).bindings for member in binding.members)


async def invokers(service: str) -> frozenset[str]:
    """Whom the service's own policy lets invoke it, without a condition."""
    return _invokers(await _policy(service))


async def test_permissions(service: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the service, whether it is there or not."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=service, permissions=sorted(permissions))
    method = client(run_v2.ServicesAsyncClient).test_iam_permissions
    return set((await call("run.services.testIamPermissions", method, request, retry=READ)).permissions)


def _is_plain(binding: policy_pb2.Binding) -> bool:
    return binding.role == INVOKER and not binding.condition.expression


def _invokers(policy: policy_pb2.Policy) -> frozenset[str]:
    return frozenset(same(member) for each in policy.bindings if _is_plain(each) for member in each.members)


async def _policy(service: str) -> policy_pb2.Policy:
    """In version 3: conditional bindings would be lost by writing an older one back.

    https://cloud.google.com/iam/docs/policies#versions
    """
    options = options_pb2.GetPolicyOptions(requested_policy_version=POLICY_VERSION)
    request = iam_policy_pb2.GetIamPolicyRequest(resource=service, options=options)
    method = client(run_v2.ServicesAsyncClient).get_iam_policy
    policy: policy_pb2.Policy = await call("run.services.getIamPolicy", method, request, retry=READ)
    policy.version = POLICY_VERSION
    return policy
