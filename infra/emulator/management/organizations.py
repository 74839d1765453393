"""Resource Manager: the organization that all projects are in, and its policy, which holds for all of them."""

from __future__ import annotations

from typing import Any

from google.cloud import resourcemanager_v3
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, rpc

API = "google.cloud.resourcemanager.v3.Organizations"
OrganizationPb: Any = resourcemanager_v3.Organization.pb()


class Organizations:
    """One that is not there looks like one that is somebody else's: nobody has a role on it."""

    def __init__(self, cloud: Cloud) -> None:
        self._policies = cloud.get(Policies)

    @rpc(f"{API}/GetOrganization", permission="resourcemanager.organizations.get")
    async def get(self, request: Any, _: Call) -> Any:
        return OrganizationPb(
            name=request.name,
            display_name="example.com",
            directory_customer_id="C01example",
            state=resourcemanager_v3.Organization.State.ACTIVE,
        )

    @rpc(f"{API}/GetIamPolicy", permission="resourcemanager.organizations.getIamPolicy", resource="resource")
    async def get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        return self._policies.get(request.resource)

    @rpc(f"{API}/SetIamPolicy", permission="resourcemanager.organizations.setIamPolicy", resource="resource")
    async def set_policy(self, request: iam_policy_pb2.SetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        return self._policies.set(request.resource, request.policy)
