"""A project's policy, which both versions of the API refuse to open to everybody."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import resourcemanager_v3
from google.iam.v1 import iam_policy_pb2, policy_pb2

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_process import rest_of

RESOURCE = f"projects/{PROJECT}"


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers"])
@pytest.mark.parametrize("role", ["roles/owner", "roles/run.invoker"])
def test_nobody_makes_everybody_a_member_of_a_project(cloud_env: dict[str, str], member: str, role: str) -> None:
    client = resourcemanager_v3.ProjectsClient()
    before = client.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=RESOURCE))
    policy = policy_pb2.Policy()
    policy.CopyFrom(before)
    policy.bindings.add(role=role, members=[member])
    with pytest.raises(exceptions.InvalidArgument, match="Request contains an invalid argument"):
        client.set_iam_policy(iam_policy_pb2.SetIamPolicyRequest(resource=RESOURCE, policy=policy))
    assert client.get_iam_policy(iam_policy_pb2.GetIamPolicyRequest(resource=RESOURCE)) == before


def test_gclouds_version_refuses_it_too(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    with rest_of(cloud, "cloudresourcemanager") as web:
        policy = {"bindings": [{"role": "roles/owner", "members": ["allUsers"]}]}
        assert web.post(f"/v1/projects/{PROJECT}:setIamPolicy", json={"policy": policy}).status_code == 400
