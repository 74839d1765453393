"""Secret Manager: which version of a secret can be used. Never the payload."""

from __future__ import annotations

from collections.abc import Collection

from google.cloud import secretmanager_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.gcp.calls.clients import READ, call, client, read

ENABLED = secretmanager_v1.SecretVersion.State.ENABLED


async def enabled_version(project: str, secret: str, version: int | None = None) -> int | None:
    """The number of that version, or of the newest enabled one; None if it is missing or not enabled."""
    api = client(secretmanager_v1.SecretManagerServiceAsyncClient)
    parent = f"projects/{project}/secrets/{secret}"
    if version is not None:
        found = await read(
            "secretmanager.versions.get", api.get_secret_version, {"name": f"{parent}/versions/{version}"}
        )
        return version if found is not None and found.state == ENABLED else None
    request = {"parent": parent, "filter": "state:ENABLED", "page_size": 1}
    pager = await read("secretmanager.versions.list", api.list_secret_versions, request)
    newest = next(iter(pager.versions), None) if pager is not None else None  # newest first
    return None if newest is None else int(newest.name.rsplit("/", 1)[1])


async def test_permissions(project: str, secret: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on the secret."""
    name = f"projects/{project}/secrets/{secret}"
    request = iam_policy_pb2.TestIamPermissionsRequest(resource=name, permissions=sorted(permissions))
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).test_iam_permissions
    return set((await call("secretmanager.secrets.testIamPermissions", method, request, retry=READ)).permissions)


async def policy(project: str, secret: str) -> dict[str, set[str]]:
    """The secret's own IAM policy: members by role."""
    request = iam_policy_pb2.GetIamPolicyRequest(resource=f"projects/{project}/secrets/{secret}")
    method = client(secretmanager_v1.SecretManagerServiceAsyncClient).get_iam_policy
    found: policy_pb2.Policy = await call("secretmanager.secrets.getIamPolicy", method, request, retry=READ)
    return {binding.role: set(binding.members) for binding in found.bindings}
