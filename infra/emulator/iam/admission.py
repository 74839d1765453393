"""Whether a call is let in: by its project's APIs, billing and organisation policies, and by the caller's rights."""

from __future__ import annotations

from functools import reduce

from google.protobuf.message import Message

from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.errors import permission_denied
from infra.emulator.kernel.handlers import Call, RpcHandler
from infra.emulator.projects.projects import Projects


class Admission:
    def __init__(self, projects: Projects, policies: Policies, org: OrgPolicies) -> None:
        self._projects, self._policies, self._org = projects, policies, org

    def admit(self, handler: RpcHandler, host: str, request: Message, call: Call) -> None:
        """Checks project, API and permission; rewrites the resource's name to carry the project's id."""
        if not handler.resource:
            return
        *parents, last = handler.resource.split(".")
        holder = reduce(getattr, parents, request)
        name = str(getattr(holder, last))
        if name.startswith("projects/"):
            name = self._projects.canonical(name)
            setattr(holder, last, name)
            self.require_usable(name, host, handler.permission)
        if handler.permission:
            self.require(call.principal, handler.permission, name, host)

    def require_usable(self, name: str, host: str, permission: str) -> None:
        """Raises unless, whoever calls, the project of `name` has the API on, pays, and may create things there."""
        project = self._projects.find(name)
        self._projects.require(project, host)
        self._projects.require_billing(project, host, permission)
        if permission.endswith(".create"):
            self._org.allow_parent(name)

    def require(self, principal: str, permission: str, resource: str, service: str) -> None:
        """Raises PERMISSION_DENIED unless the principal holds `permission` on `resource`."""
        resource = self._projects.canonical(resource)
        if not self._policies.allowed(principal, permission, resource):
            raise permission_denied(permission, resource, service)
