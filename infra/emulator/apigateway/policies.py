"""Who may do what with an API, a config or a gateway: three methods, which no client package describes.

https://cloud.google.com/api-gateway/docs/reference/rest/v1/projects.locations.apis/getIamPolicy
"""

from __future__ import annotations

from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.apigateway.state import Resources
from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.kernel.rpc_table import MIXINS, Binding, Rpc

API = "google.cloud.apigateway.v1.ApiGatewayService"
HOST = "apigateway.googleapis.com"
HOLDERS = ("apis/*", "apis/*/configs/*", "gateways/*")
FAMILIES = {"apis": "apis", "configs": "apiconfigs", "gateways": "gateways"}  # in the names of permissions
VERBS = {"GetIamPolicy": "GET", "SetIamPolicy": "POST", "TestIamPermissions": "POST"}


class GatewayPolicies:
    def __init__(self, cloud: Cloud) -> None:
        self._resources, self._policies = cloud.get(Resources), cloud.get(Policies)
        self._admission = cloud.get(Admission)
        for name, verb in VERBS.items():
            cloud.rpcs[f"/{API}/{name}"] = Rpc(f"/{API}/{name}", *MIXINS[name], HOST, _bindings(name, verb))

    @rpc(f"{API}/GetIamPolicy", resource="resource")
    async def get(self, request: iam_policy_pb2.GetIamPolicyRequest, call: Call) -> policy_pb2.Policy:
        return self._policies.get(self._held(request.resource, "getIamPolicy", call))

    @rpc(f"{API}/SetIamPolicy", resource="resource")
    async def set(self, request: iam_policy_pb2.SetIamPolicyRequest, call: Call) -> policy_pb2.Policy:
        return self._policies.set(self._held(request.resource, "setIamPolicy", call), request.policy)

    @rpc(f"{API}/TestIamPermissions", resource="resource")
    async def test(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        return self._policies.test(call.principal, request.permissions, request.resource)

    def _held(self, name: str, verb: str, call: Call) -> str:
        """The name of what has the policy, once the caller may."""
        permission = f"apigateway.{FAMILIES[name.split('/')[-2]]}.{verb}"
        self._admission.require(call.principal, permission, name, HOST)
        return str(self._resources.find(name).name)


def _bindings(name: str, verb: str) -> list[Binding]:
    action = f"{name[0].lower()}{name[1:]}"
    return [
        Binding(verb, f"/{version}/{{resource=projects/*/locations/*/{holder}}}:{action}", _body(verb), HOST)
        for version in ("v1", "v1beta")
        for holder in HOLDERS
    ]


def _body(verb: str) -> str:
    return "" if verb == "GET" else "*"
