"""Who may do what with a service, a job or a worker pool: the same three methods of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.handlers import Call, rpc

HOST = "run.googleapis.com"


class Holder(Protocol):
    """An API of resources that have policies."""

    policies: Policies

    def find(self, name: str) -> Any:
        """The resource. Raises NOT_FOUND."""


K = TypeVar("K", bound=type[Holder])
Method = Callable[[Any, Any, Call], Any]


def with_policies(api: str, permission: str, collection: str) -> Callable[[K], K]:
    """Gives an API the methods for policies. api: google.cloud.run.v2.Jobs; permission: run.jobs; collection: jobs."""
    path = f"/v1/{{resource=projects/*/locations/*/{collection}/*}}"
    methods: tuple[tuple[str, Method, str, str], ...] = (
        ("GetIamPolicy", _get, f"{permission}.getIamPolicy", "GET"),
        ("SetIamPolicy", _set, f"{permission}.setIamPolicy", "POST"),
        ("TestIamPermissions", _test, "", "POST"),
    )

    def give(kind: K) -> K:
        for name, method, needed, verb in methods:
            binding = (verb, f"{path}:{name[0].lower()}{name[1:]}", "" if verb == "GET" else "*")
            mark = rpc(f"{api}/{name}", permission=needed, resource="resource", rest=(binding,))
            setattr(kind, name, mark(_of_one_class(method)))
        return kind

    return give


def _of_one_class(method: Method) -> Method:
    """A function of its own, as each class marks it differently."""

    @wraps(method)
    async def own(self: Any, request: Any, call: Call) -> Any:
        return await method(self, request, call)

    return own


async def _get(self: Holder, request: iam_policy_pb2.GetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
    return self.policies.get(self.find(request.resource).name)


async def _set(self: Holder, request: iam_policy_pb2.SetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
    return self.policies.set(self.find(request.resource).name, request.policy)


async def _test(
    self: Holder, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
) -> iam_policy_pb2.TestIamPermissionsResponse:
    allowed = self.policies.allowed
    return iam_policy_pb2.TestIamPermissionsResponse(
        permissions=[p for p in request.permissions if allowed(call.principal, p, request.resource)]
    )
