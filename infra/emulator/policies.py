"""Who may do what: IAM policies by resource, checked up to the project."""

from __future__ import annotations

import fnmatch
import time

from google.iam.v1 import policy_pb2

from infra.emulator.behaviour import Behaviour
from infra.emulator.roles import ROLES
from infra.emulator.store import Store

EMPTY_ETAG = b"\x00\x20\x01"  # base64 ACAB, what real services answer before the first setIamPolicy


class Policies:
    def __init__(self, store: Store, behaviour: Behaviour) -> None:
        self._table = store.messages("policies", policy_pb2.Policy)
        self._changed = store.values("policy-changes")
        self._custom = store.values("custom-roles")  # role name -> [permission]
        self._behaviour = behaviour

    def get(self, resource: str) -> policy_pb2.Policy:
        """The policy set on exactly this resource, e.g. projects/p or projects/p/locations/r/services/s."""
        return self._table.get(resource) or policy_pb2.Policy(etag=EMPTY_ETAG)

    def set(self, resource: str, policy: policy_pb2.Policy) -> policy_pb2.Policy:
        policy.etag = str(time.time_ns()).encode()
        self._table.put(resource, policy)
        return policy

    def delete(self, resource: str) -> None:
        self._table.delete(resource)

    def grant(self, resource: str, role: str, member: str) -> None:
        policy = self.get(resource)
        binding = next((b for b in policy.bindings if b.role == role), None) or policy.bindings.add(role=role)
        if member not in binding.members:
            binding.members.append(member)
        self.set(resource, policy)

    def allowed(self, principal: str, permission: str, resource: str) -> bool:
        """Whether a policy on `resource` or on one of its parents gives `principal` (an e-mail) `permission`."""
        members = {f"serviceAccount:{principal}", f"user:{principal}", "allAuthenticatedUsers", "allUsers"}
        if not principal:
            members = {"allUsers"}
        parts = resource.split("/")
        for end in range(len(parts), 0, -1):
            policy = self._table.get("/".join(parts[:end]))
            if policy and any(
                self._gives(binding.role, permission) for binding in policy.bindings if members & set(binding.members)
            ):
                return True
        return False

    def _gives(self, role: str, permission: str) -> bool:
        patterns = ROLES.get(role) or self._custom.get(role) or ()
        return any(fnmatch.fnmatchcase(permission, pattern) for pattern in patterns)
