"""Organisation policies: what a project may not do, whatever its IAM policy says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.cloud.orgpolicy_v2.types import Policy
from google.iam.v1 import policy_pb2
from google.rpc import error_details_pb2

from infra.emulator.iam.locations import names_of
from infra.emulator.iam.policies import EVERYBODY, Policies
from infra.emulator.kernel.errors import failed_precondition
from infra.emulator.kernel.store import Store

PolicyPb: Any = Policy.pb()
LOCATIONS = "gcp.resourceLocations"
INGRESS = "run.allowedIngress"
KEYS = "iam.disableServiceAccountKeyCreation"
MEMBERS = "iam.allowedPolicyMemberDomains"


class OrgPolicies:
    def __init__(self, store: Store, policies: Policies) -> None:
        self.table = store.messages("org-policies", PolicyPb)  # projects/{id}/policies/{constraint}
        policies.guards.append(self._allow_members)

    def allow_location(self, project_id: str, location: str) -> None:
        """Raises FAILED_PRECONDITION if resources may not be created there; `location` as in a resource's name."""
        policy = self._spec(project_id, LOCATIONS)
        if policy is not None and location != "global" and not _permits(policy, names_of(location)):
            raise _violation(project_id, LOCATIONS, f"Location {location} violates constraint constraints/{LOCATIONS}.")

    def allow_parent(self, parent: str) -> None:
        """`allow_location` for what is to be created below `parent`, if that names a location."""
        kind, project_id, *rest = [*parent.split("/"), ""]
        if kind == "projects" and rest[0] == "locations":
            self.allow_location(project_id, rest[1])

    def allow_ingress(self, project_id: str, ingress: str) -> None:
        """Raises FAILED_PRECONDITION if no Cloud Run service may come to have it; `ingress` in gcloud's words."""
        policy = self._spec(project_id, INGRESS)
        if policy is not None and not _permits(policy, {ingress, f"is:{ingress}"}):
            raise _violation(project_id, INGRESS, f"Ingress {ingress} violates constraint constraints/{INGRESS}.")

    def enforced(self, project_id: str, constraint: str) -> bool:
        """Whether a switch such as iam.disableServiceAccountKeyCreation is on."""
        policy = self._spec(project_id, constraint)
        return policy is not None and any(rule.enforce for rule in policy.rules)

    def _allow_members(self, resource: str, policy: policy_pb2.Policy) -> None:
        members = {member for binding in policy.bindings for member in binding.members}
        restricted = self._spec(resource.split("/")[1], MEMBERS) if resource.startswith("projects/") else None
        if members & EVERYBODY and restricted is not None and not _permits(restricted, EVERYBODY):
            raise failed_precondition(
                "One or more users named in the policy do not belong to a permitted customer,  perhaps due to an "
                "organization policy."
            )

    def _spec(self, project_id: str, constraint: str) -> Any:
        policy = self.table.get(f"projects/{project_id}/policies/{constraint}")
        return policy.spec if policy is not None and policy.spec.rules else None


def _permits(spec: Any, names: Iterable[str]) -> bool:
    """Whether a list constraint lets any of `names` through; one that only denies lets everything else through."""
    wanted = set(names)
    allowed = {value for rule in spec.rules for value in rule.values.allowed_values}
    denied = {value for rule in spec.rules for value in rule.values.denied_values}
    if wanted & denied or any(rule.deny_all for rule in spec.rules):
        return False
    return not allowed or bool(wanted & allowed) or any(rule.allow_all for rule in spec.rules)


def _violation(project_id: str, constraint: str, description: str) -> Exception:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(
        type=f"constraints/{constraint}", subject=f"orgpolicy:projects/{project_id}", description=description
    )
    return failed_precondition(
        "The request has violated one or more Org Policies. Please refer to the respective violations for more "
        "information.",
        failure,
    )
