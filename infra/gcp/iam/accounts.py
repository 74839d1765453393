"""IAM: the service accounts of a project."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from google.cloud import iam_admin_v1
from google.iam.v1 import iam_policy_pb2

from infra.gcp.calls.clients import READ, call, client, read, unless_gone
from infra.gcp.calls.paging import each

PAGE_SIZE = 100  # https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/list


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    name: str  # projects/{project}/serviceAccounts/{email}
    email: str
    etag: str
    disabled: bool
    display_name: str = ""


async def list_accounts(project: str) -> list[ServiceAccount]:
    """Those that somebody made; Google's own default accounts are left out."""
    request = {"name": f"projects/{project}", "page_size": PAGE_SIZE}
    method = _client().list_service_accounts
    found = [_account(account) async for account in each("iam.serviceAccounts.list", method, request, "accounts")]
    return [account for account in found if account.email.endswith(f"@{project}.iam.gserviceaccount.com")]


async def get_account(name: str) -> ServiceAccount | None:
    found = await read("iam.serviceAccounts.get", _client().get_service_account, {"name": name})
    return None if found is None else _account(iam_admin_v1.ServiceAccount.pb(found))


async def test_permissions(email: str, permissions: Collection[str]) -> set[str]:
    """Which of these permissions the caller has on a service account."""
    request = iam_policy_pb2.TestIamPermissionsRequest(
        resource=f"projects/-/serviceAccounts/{email}", permissions=sorted(permissions)
    )
    method = _client().test_iam_permissions
    return set((await call("iam.serviceAccounts.testIamPermissions", method, request, retry=READ)).permissions)


async def has_keys(name: str) -> bool:
    """Whether somebody holds a key of the account: https://cloud.google.com/iam/docs/keys-list-get"""
    request = {"name": name, "key_types": [iam_admin_v1.ListServiceAccountKeysRequest.KeyType.USER_MANAGED]}
    method = _client().list_service_account_keys
    return bool((await call("iam.serviceAccountKeys.list", method, request, retry=READ)).keys)


async def may_act_as(name: str) -> frozenset[str]:
    """Who may use the account, by its own policy: another account, a federated identity, a person."""
    request = iam_policy_pb2.GetIamPolicyRequest(resource=name)
    policy = await call("iam.serviceAccounts.getIamPolicy", _client().get_iam_policy, request, retry=READ)
    return frozenset(member for binding in policy.bindings for member in binding.members)


async def disable_account(name: str) -> bool:
    """Enabling it undoes this. False if it was gone already."""
    method = _client().disable_service_account
    return await unless_gone(call("iam.serviceAccounts.disable", method, {"name": name}, retry=READ))


async def delete_account(name: str) -> bool:
    """It can be undeleted for 30 days. False if it was gone already."""
    method = _client().delete_service_account
    return await unless_gone(call("iam.serviceAccounts.delete", method, {"name": name}, retry=READ))


def _client() -> iam_admin_v1.IAMAsyncClient:
    return client(iam_admin_v1.IAMAsyncClient)


def _account(found: Any) -> ServiceAccount:
    return ServiceAccount(found.name, found.email, found.etag.hex(), found.disabled, found.display_name)
