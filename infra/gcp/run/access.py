"""Who may call a Cloud Run service: its IAM policy."""

from __future__ import annotations

from collections.abc import Collection

from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, options_pb2, policy_pb2

from infra.gcp.calls.clients import READ, call, client

INVOKER = "roles/run.invoker"
EVERYONE = "allUsers"
POLICY_VERSION = 3


async def is_public(service: str) -> bool:
    return _lets_everyone(await _policy(service))


async def set_public(service: str, *, public: bool, always: bool = False) -> bool:
    """Lets the whole world invoke the service, or no longer; answers whether that was a change.

    always: write the policy even if it says so already, so that nobody's older one can replace it any more.
    Raises GoogleError ABORTED if somebody else changed it meanwhile.
    """
    policy = await _policy(service)
    changed = _lets_everyone(policy) != public
    if not changed and not always:
        return False
    for binding in policy.bindings:
        if binding.role == INVOKER and EVERYONE in binding.members and not public:
            binding.members.remove(EVERYONE)
    if changed and public:
        policy.bindings.add(role=INVOKER, members=[EVERYONE])
    request = iam_policy_pb2.SetIamPolicyRequest(resource=service, policy=policy)
    await call("run.services.setIamPolicy", client(run_v2.ServicesAsyncClient).set_iam_policy, request)
    return changed


async def policy_members(service: str) -> frozenset[str]:
    """Everybody whom the service's IAM policy names, in any role."""
    return frozenset(member for binding in (await _policy(service)).bindings for member in binding.members)


async def test_permissions(service: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the service, whether it is there or not."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=service, permissions=sorted(permissions))
    method = client(run_v2.ServicesAsyncClient).test_iam_permissions
    return set((await call("run.services.testIamPermissions", method, request, retry=READ)).permissions)


def _lets_everyone(policy: policy_pb2.Policy) -> bool:
    return any(b.role == INVOKER and EVERYONE in b.members and not b.condition.expression for b in policy.bindings)


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
