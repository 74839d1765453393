"""The project itself: identity, enabled APIs, billing, organisation policy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from google.cloud import billing_v1, orgpolicy_v2, resourcemanager_v3, service_usage_v1
from google.iam.v1 import iam_policy_pb2

from infra.gcp.calls.clients import READ, call, client, finish, read

BATCH_LIMIT = 20  # https://cloud.google.com/service-usage/docs/reference/rest/v1/services/batchEnable


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    number: int
    parent: str = ""  # folders/NUMBER or organizations/NUMBER; '' where it is in none


@dataclass(frozen=True, slots=True)
class Constraint:
    """The effective policy of a list constraint: denied beats allowed; none allowed means that all others are.

    conditional: more rules hold where a condition does, such as for what has a tag, and go before these.
    https://cloud.google.com/resource-manager/docs/organization-policy/tags-organization-policy
    """

    allowed: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    allow_all: bool = False
    deny_all: bool = False
    conditional: bool = False


async def get_project(project: str) -> Project:
    """Raises GoogleError PERMISSION_DENIED for a project that is not there as for one that is not ours."""
    method = client(resourcemanager_v3.ProjectsAsyncClient).get_project
    found = await call("resourcemanager.projects.get", method, {"name": f"projects/{project}"}, retry=READ)
    return Project(found.project_id, int(found.name.removeprefix("projects/")), found.parent)


async def test_permissions(project: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the project."""
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=f"projects/{project}", permissions=sorted(permissions))
    method = client(resourcemanager_v3.ProjectsAsyncClient).test_iam_permissions
    answer = await call("resourcemanager.projects.testIamPermissions", method, request, retry=READ)
    return set(answer.permissions)


Policy = dict[str, set[str]]  # members by role


async def policy(project: str) -> Policy:
    """The project's own IAM policy. Conditional bindings are among them."""
    method = client(resourcemanager_v3.ProjectsAsyncClient).get_iam_policy
    return await _policy("resourcemanager.projects.getIamPolicy", method, f"projects/{project}")


async def inherited(project: str) -> list[Policy]:
    """The IAM policies of the folders and of the organization that the project is in, the nearest first.

    Raises GoogleError PERMISSION_DENIED where one of them may not be read, as few may.
    """
    parent, found = (await get_project(project)).parent, list[Policy]()
    folders = client(resourcemanager_v3.FoldersAsyncClient)
    while parent.startswith("folders/"):
        found.append(await _policy("resourcemanager.folders.getIamPolicy", folders.get_iam_policy, parent))
        folder = await call("resourcemanager.folders.get", folders.get_folder, {"name": parent}, retry=READ)
        parent = folder.parent
    if parent:
        organizations = client(resourcemanager_v3.OrganizationsAsyncClient)
        found.append(await _policy("resourcemanager.organizations.getIamPolicy", organizations.get_iam_policy, parent))
    return found


async def _policy(called: str, method: Any, resource: str) -> Policy:
    request = iam_policy_pb2.GetIamPolicyRequest(resource=resource)
    request.options.requested_policy_version = 3  # https://cloud.google.com/iam/docs/policies#versions
    members: Policy = {}
    for binding in (await call(called, method, request, retry=READ)).bindings:
        members.setdefault(binding.role, set()).update(binding.members)
    return members


async def policy_members(project: str) -> frozenset[str]:
    """Everybody whom the project's IAM policy names, in any role."""
    return frozenset().union(*(await policy(project)).values())


async def enabled_apis(project: str, apis: Collection[str]) -> set[str]:
    """Which of these APIs are on; Service Usage answers names by project number, so only the last part counts."""
    names = [f"projects/{project}/services/{api}" for api in sorted(apis)]
    method = client(service_usage_v1.ServiceUsageAsyncClient).batch_get_services
    request = {"parent": f"projects/{project}", "names": names}
    answer = await call("serviceusage.services.batchGet", method, request, retry=READ)
    on = service_usage_v1.State.ENABLED
    return {found.name.rsplit("/", 1)[1] for found in answer.services if found.state == on}


async def enable_apis(project: str, apis: Collection[str], timeout_s: float) -> None:
    wanted = sorted(apis)
    for start in range(0, len(wanted), BATCH_LIMIT):
        request = {"parent": f"projects/{project}", "service_ids": wanted[start : start + BATCH_LIMIT]}
        method = client(service_usage_v1.ServiceUsageAsyncClient).batch_enable_services
        operation = await call("serviceusage.services.batchEnable", method, request)
        await finish("serviceusage.services.batchEnable", operation, timeout_s)


async def billing_enabled(project: str) -> bool:
    method = client(billing_v1.CloudBillingAsyncClient).get_project_billing_info
    name = f"projects/{project}"
    return bool((await call("billing.projects.get", method, {"name": name}, retry=READ)).billing_enabled)


async def constraint(project: str, name: str) -> Constraint | None:
    """The effective policy of constraint `name` (e.g. run.allowedIngress), None where none is set."""
    method = client(orgpolicy_v2.OrgPolicyAsyncClient).get_effective_policy
    found = await read("orgpolicy.policies.get", method, {"name": f"projects/{project}/policies/{name}"})
    if found is None or not found.spec.rules:
        return None
    rules = [rule for rule in found.spec.rules if not rule.condition.expression]
    return Constraint(
        allowed=frozenset(v for rule in rules for v in rule.values.allowed_values),
        denied=frozenset(v for rule in rules for v in rule.values.denied_values),
        allow_all=any(rule.allow_all for rule in rules),
        deny_all=any(rule.deny_all for rule in rules),
        conditional=len(rules) < len(found.spec.rules),
    )
