"""Organization Policy v2, set and read on projects."""

from __future__ import annotations

import time
from typing import Any

from google.cloud.orgpolicy_v2 import types
from google.protobuf import empty_pb2

from infra.emulator.iam.orgpolicy import INGRESS, KEYS, LOCATIONS, MEMBERS, OrgPolicies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import aborted, already_exists, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Projects

API = "google.cloud.orgpolicy.v2.OrgPolicy"
# Constraint -> its title; the last is a switch, the others are lists of values.
CONSTRAINTS = {
    INGRESS: "Allowed ingress settings (Cloud Run)",
    MEMBERS: "Domain restricted sharing",
    LOCATIONS: "Google Cloud Platform - Resource Location Restriction",
    KEYS: "Disable service account key creation",
}
LISTS = {INGRESS, MEMBERS, LOCATIONS}
PolicyPb: Any = types.Policy.pb()
ConstraintPb: Any = types.Constraint.pb()
ListPb: Any = types.ListPoliciesResponse.pb()
ListConstraintsPb: Any = types.ListConstraintsResponse.pb()


class OrgPolicy:
    def __init__(self, cloud: Cloud) -> None:
        self._table, self._projects = cloud.get(OrgPolicies).table, cloud.get(Projects)

    @rpc(f"{API}/ListConstraints", permission="orgpolicy.constraints.list", resource="parent")
    async def list_constraints(self, request: Any, _: Call) -> Any:
        return ListConstraintsPb(constraints=[self._constraint(request.parent, name) for name in sorted(CONSTRAINTS)])

    def _constraint(self, parent: str, name: str) -> Any:
        constraint = ConstraintPb(
            name=f"{self._numbered(parent)}/constraints/{name}",
            display_name=CONSTRAINTS[name],
            constraint_default=types.Constraint.ConstraintDefault.ALLOW,
        )
        (constraint.list_constraint if name in LISTS else constraint.boolean_constraint).SetInParent()
        return constraint

    @rpc(f"{API}/ListPolicies", permission="orgpolicy.policies.list", resource="parent")
    async def list(self, request: Any, _: Call) -> Any:
        prefix = f"{request.parent}/policies/"
        policies, token = self._table.page(prefix, request.page_size or 100, request.page_token)
        return ListPb(policies=[self._show(policy) for policy in policies], next_page_token=token)

    @rpc(f"{API}/GetPolicy", permission="orgpolicy.policy.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._show(self._find(request.name))

    def _find(self, name: str) -> Any:
        policy = self._table.get(name)
        if policy is None:
            raise not_found()
        return policy

    def _show(self, policy: Any) -> Any:
        policy.name = self._numbered(policy.name)
        return policy

    def _numbered(self, name: str) -> str:
        _, project, *rest = name.split("/")
        return "/".join(("projects", str(self._projects.find(project).number), *rest))

    @rpc(f"{API}/GetEffectivePolicy", permission="orgpolicy.policy.get")
    async def effective(self, request: Any, _: Call) -> Any:
        """Nothing is inherited, the organisation sets no policy: without one on the project, anything goes."""
        constraint = _known(request.name)
        policy = self._table.get(request.name)
        if policy is None or not policy.spec.rules:
            policy = PolicyPb(name=request.name)
            if constraint in LISTS:
                policy.spec.rules.add(allow_all=True)
            else:
                policy.spec.rules.add(enforce=False)
        policy.ClearField("etag")
        return self._show(policy)

    @rpc(f"{API}/CreatePolicy", permission="orgpolicy.policies.create", resource="parent")
    async def create(self, request: Any, _: Call) -> Any:
        name = f"{request.parent}/policies/{_known(request.policy.name)}"
        if name in self._table:
            raise already_exists("Policy already exists.")
        return self._put(name, request.policy)

    @rpc(f"{API}/UpdatePolicy", permission="orgpolicy.policies.update", resource="policy.name")
    async def update(self, request: Any, _: Call) -> Any:
        current = self._find(request.policy.name)
        if request.policy.etag and request.policy.etag != current.etag:
            raise aborted("The etag of the policy does not match the current one.")
        return self._put(request.policy.name, request.policy)

    def _put(self, name: str, policy: Any) -> Any:
        _check(policy.spec, _known(name))
        policy.name = name
        policy.etag = policy.spec.etag = f"{time.time_ns():x}"
        policy.spec.update_time.GetCurrentTime()
        self._table.put(name, policy)
        return self._show(policy)

    @rpc(f"{API}/DeletePolicy", permission="orgpolicy.policies.delete")
    async def delete(self, request: Any, _: Call) -> empty_pb2.Empty:
        self._find(request.name)
        self._table.delete(request.name)
        return empty_pb2.Empty()


def _known(name: str) -> str:
    """The constraint that a policy's name ends in; raises NOT_FOUND for one that there is not."""
    constraint = name.rsplit("/", 1)[1]
    if constraint not in CONSTRAINTS:
        raise not_found(f"Constraint constraints/{constraint} was not found.")
    return constraint


def _check(spec: Any, constraint: str) -> None:
    """List constraints take values or all, switches take enforce."""
    for rule in spec.rules:
        kind = rule.WhichOneof("kind")
        if (kind == "enforce") == (constraint in LISTS):
            raise invalid(f"Rule of kind {kind} does not fit constraints/{constraint}.", "policy.spec.rules")
