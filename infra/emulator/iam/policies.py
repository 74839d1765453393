"""Who may do what: IAM policies by resource, checked up to the project and the organization that it is in."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Iterator

from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.iam.roles import permissions, predefined
from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import aborted, invalid
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import ORGANIZATION

EMPTY_ETAG = b"\x00\x20\x01"  # base64 ACAB, what real services answer before the first setIamPolicy
MEMBER_KINDS = {
    "user", "serviceAccount", "group", "domain", "principal", "principalSet", "deleted",
    "projectOwner", "projectEditor", "projectViewer",
}  # fmt: skip
EVERYBODY = {"allUsers", "allAuthenticatedUsers"}
# The convenience values of bucket policies stand for whoever has the basic role on the project.
BASIC = {"projectOwner": "roles/owner", "projectEditor": "roles/editor", "projectViewer": "roles/viewer"}


class Policies:
    """Conditions of bindings are kept and shown, but not evaluated: a conditional binding counts."""

    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._table = store.messages("policies", policy_pb2.Policy)
        self._changes = store.values("policy-changes")  # resource -> {at, before}: what still counts for a while
        self._custom = store.values("custom-roles")  # role name -> {permissions, …}
        self._behaviour = behaviour
        self.guards: list[Callable[[str, policy_pb2.Policy], None]] = []  # each may refuse a policy by raising

    def get(self, resource: str) -> policy_pb2.Policy:
        """The policy set on exactly this resource, e.g. projects/p or projects/p/locations/r/services/s."""
        return self._table.get(resource) or policy_pb2.Policy(etag=EMPTY_ETAG)

    def set(self, resource: str, policy: policy_pb2.Policy) -> policy_pb2.Policy:
        """Replaces a policy, to take effect after the profile's `iam.propagation`.

        Raises ABORTED if the policy carries another etag than the current one, and what the guards raise.
        """
        self._check(resource, policy)
        effective = self._effective(resource) or policy_pb2.Policy()
        before = base64.b64encode(effective.SerializeToString()).decode()
        self._changes.put(resource, {"at": time.time(), "before": before})
        return self._put(resource, policy)

    def _check(self, resource: str, policy: policy_pb2.Policy) -> None:
        current = self.get(resource).etag
        if policy.etag and policy.etag != current:
            raise aborted(
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential "
                f"backoff. The request's ETag '{_text(policy.etag)}' did not match the current policy's ETag "
                f"'{_text(current)}'."
            )
        for binding in policy.bindings:
            if binding.role not in predefined() and binding.role not in self._custom:
                raise invalid(f"Role {binding.role} is not supported for this resource.")
            for member in binding.members:
                if member not in EVERYBODY and member.partition(":")[0] not in MEMBER_KINDS:
                    raise invalid(f"The member {member} is of an unknown type. Please set a valid type prefix.")
        for guard in self.guards:
            guard(resource, policy)

    def _put(self, resource: str, policy: policy_pb2.Policy) -> policy_pb2.Policy:
        normal = policy_pb2.Policy(version=policy.version, etag=str(time.time_ns()).encode())
        normal.bindings.extend(_merged(policy.bindings))
        self._table.put(resource, normal)
        return normal

    def delete(self, resource: str) -> None:
        self._table.delete(resource)
        self._changes.delete(resource)

    def grant(self, resource: str, role: str, member: str) -> None:
        """Adds one member at once and unchecked: for what Google itself sets up."""
        policy = self.get(resource)
        binding = next((b for b in policy.bindings if b.role == role), None) or policy.bindings.add(role=role)
        if member not in binding.members:
            binding.members.append(member)
            self._put(resource, policy)

    def allowed(self, principal: str, permission: str, resource: str) -> bool:
        """Whether a policy on `resource` or on one of its parents gives `principal` (an e-mail) `permission`."""
        return any(permission in self.contained(role) for role in self.roles(principal, resource))

    def test(self, principal: str, asked: Iterable[str], resource: str) -> iam_policy_pb2.TestIamPermissionsResponse:
        """The answer to testIamPermissions; raises INVALID_ARGUMENT for a permission that there is not."""
        wanted = list(asked)
        for permission in wanted:
            if permission not in permissions():
                raise invalid(f"Permission {permission} is not valid for this resource.")
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=self.granted(principal, wanted, resource))

    def granted(self, principal: str, asked: list[str], resource: str) -> list[str]:
        """Those of `asked` that `principal` has on `resource`."""
        return [permission for permission in asked if self.allowed(principal, permission, resource)]

    def roles(self, principal: str, resource: str) -> Iterator[str]:
        """The roles that `principal` has on `resource`, by its own policy and by its parents'; may repeat."""
        parts = resource.split("/")
        own = ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]
        for each in (*own, *([ORGANIZATION] if parts[0] == "projects" else [])):
            policy = self._effective(each)
            for binding in policy.bindings if policy else ():
                if any(self._is(principal, member) for member in binding.members):
                    yield binding.role

    def _is(self, principal: str, member: str) -> bool:
        kind, _, value = member.partition(":")
        if kind in BASIC:
            return BASIC[kind] in self.roles(principal, f"projects/{value}")
        if kind == "domain":
            return principal.endswith(f"@{value}")
        if member in EVERYBODY:
            return bool(principal) or member == "allUsers"
        if kind in ("principal", "principalSet"):  # https://cloud.google.com/iam/docs/principal-identifiers
            return principal == member or (value.endswith("/*") and principal.startswith(f"principal:{value[:-1]}"))
        return bool(principal) and member in (f"serviceAccount:{principal}", f"user:{principal}")

    def contained(self, role: str) -> frozenset[str]:
        """What a predefined or custom role contains; nothing if there is no such role."""
        if known := predefined().get(role):
            return known.permissions
        custom = self._custom.get(role)
        return frozenset(custom["permissions"]) if custom and not custom.get("deleted") else frozenset()

    def _effective(self, resource: str) -> policy_pb2.Policy | None:
        """The policy that counts at this moment: a change takes the profile's `iam.propagation` to arrive."""
        if propagation_s := self._behaviour.latency_s.get("iam.propagation", 0.0):
            change = self._changes.get(resource)
            if change and time.time() - change["at"] < propagation_s:
                return policy_pb2.Policy.FromString(base64.b64decode(change["before"]))
        return self._table.get(resource)


def _merged(bindings: Iterable[policy_pb2.Binding]) -> Iterator[policy_pb2.Binding]:
    """One binding per role and condition, each member once, empty ones gone."""
    members: dict[tuple[str, bytes], list[str]] = {}
    for binding in bindings:
        key = (binding.role, binding.condition.SerializeToString())
        members.setdefault(key, []).extend(binding.members)
    for (role, condition), names in members.items():
        if names:
            binding = policy_pb2.Binding(role=role, members=list(dict.fromkeys(names)))
            if condition:
                binding.condition.MergeFromString(condition)
            yield binding


def _text(etag: bytes) -> str:
    return base64.b64encode(etag).decode()
