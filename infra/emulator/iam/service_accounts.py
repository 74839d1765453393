"""IAM: service accounts and their keys. https://cloud.google.com/iam/docs/reference/rest

The client package carries no REST bindings, so they are written out here.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from google.cloud.iam_admin_v1 import types
from google.protobuf import empty_pb2
from google.rpc.code_pb2 import Code

from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import new_private_key
from infra.emulator.iam.orgpolicy import KEYS, OrgPolicies
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, error_info, failed_precondition, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Projects

API = "google.iam.admin.v1.IAM"
HOST = "iam.googleapis.com"
ACCOUNTS = "/v1/{name=projects/*}/serviceAccounts"
ACCOUNT = "/v1/{name=projects/*/serviceAccounts/*}"
KEY = "/v1/{name=projects/*/serviceAccounts/*/keys/*}"
MAX_KEYS = 10  # https://cloud.google.com/iam/quotas
FAR_FUTURE_S = 253_402_300_799  # 9999-12-31T23:59:59Z, the end of a key that never expires
KeyPb: Any = types.ServiceAccountKey.pb()
ListPb: Any = types.ListServiceAccountsResponse.pb()
ListKeysPb: Any = types.ListServiceAccountKeysResponse.pb()
UndeletePb: Any = types.UndeleteServiceAccountResponse.pb()
AccountPb: Any = types.ServiceAccount.pb()


class AccountAccess:
    """Finding the account that a request names, for callers who may do what they ask."""

    def __init__(self, cloud: Cloud) -> None:
        self._accounts, self._projects, self._policies = cloud.get(Accounts), cloud.get(Projects), cloud.get(Policies)

    def find(self, call: Call, permission: str, name: str) -> Any:
        """Raises NOT_FOUND, SERVICE_DISABLED or PERMISSION_DENIED."""
        account = self._accounts.find(name)
        self.check(call, permission, account)
        return account

    def check(self, call: Call, permission: str, account: Any) -> None:
        self._projects.require(self._projects.find(account.project_id), HOST)
        if not self._policies.allowed(call.principal, permission, account.name):
            raise RpcError(
                Code.PERMISSION_DENIED,
                f"Permission '{permission}' denied on resource (or it may not exist).",
                error_info("IAM_PERMISSION_DENIED", HOST, permission=permission),
            )


class ServiceAccounts:
    def __init__(self, cloud: Cloud) -> None:
        self._accounts, self._access = cloud.get(Accounts), AccountAccess(cloud)

    @rpc(f"{API}/ListServiceAccounts", permission="iam.serviceAccounts.list", rest=(("GET", ACCOUNTS, ""),))
    async def list(self, request: Any, _: Call) -> Any:
        parent = f"{request.name}/serviceAccounts/"
        accounts, token = self._accounts.table.page(parent, request.page_size or 20, request.page_token)
        return ListPb(accounts=accounts, next_page_token=token)

    @rpc(f"{API}/CreateServiceAccount", permission="iam.serviceAccounts.create", rest=(("POST", ACCOUNTS, "*"),))
    async def create(self, request: Any, _: Call) -> Any:
        wanted = request.service_account
        project = request.name.removeprefix("projects/")
        return self._accounts.create(project, request.account_id, wanted.display_name, wanted.description)

    @rpc(f"{API}/GetServiceAccount", resource="", rest=(("GET", ACCOUNT, ""),))
    async def get(self, request: Any, call: Call) -> Any:
        return self._access.find(call, "iam.serviceAccounts.get", request.name)

    @rpc(f"{API}/UpdateServiceAccount", resource="", rest=(("PUT", ACCOUNT, "*"),))
    async def update(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.update", request.name)
        account.display_name, account.description = request.display_name, request.description
        return self._accounts.put(account)

    @rpc(
        f"{API}/PatchServiceAccount",
        resource="",
        rest=(("PATCH", "/v1/{service_account.name=projects/*/serviceAccounts/*}", "*"),),
    )
    async def patch(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.update", request.service_account.name)
        if set(request.update_mask.paths) - {"display_name", "description"}:
            raise invalid("Only display_name and description can be updated.")
        request.update_mask.MergeMessage(request.service_account, account, True)
        return self._accounts.put(account)

    @rpc(f"{API}/DeleteServiceAccount", resource="", rest=(("DELETE", ACCOUNT, ""),))
    async def delete(self, request: Any, call: Call) -> empty_pb2.Empty:
        self._accounts.delete(self._access.find(call, "iam.serviceAccounts.delete", request.name))
        return empty_pb2.Empty()

    @rpc(f"{API}/UndeleteServiceAccount", resource="", rest=(("POST", f"{ACCOUNT}:undelete", "*"),))
    async def undelete(self, request: Any, call: Call) -> Any:
        account = self._accounts.deleted(request.name.rsplit("/", 1)[1])
        self._access.check(call, "iam.serviceAccounts.undelete", account)
        return UndeletePb(restored_account=self._accounts.undelete(account))

    @rpc(f"{API}/DisableServiceAccount", resource="", rest=(("POST", f"{ACCOUNT}:disable", "*"),))
    async def disable(self, request: Any, call: Call) -> empty_pb2.Empty:
        account = self._access.find(call, "iam.serviceAccounts.disable", request.name)
        self._accounts.set_disabled(account, disabled=True)
        return empty_pb2.Empty()

    @rpc(f"{API}/EnableServiceAccount", resource="", rest=(("POST", f"{ACCOUNT}:enable", "*"),))
    async def enable(self, request: Any, call: Call) -> empty_pb2.Empty:
        account = self._access.find(call, "iam.serviceAccounts.enable", request.name)
        self._accounts.set_disabled(account, disabled=False)
        return empty_pb2.Empty()


class AccountPolicies:
    def __init__(self, cloud: Cloud) -> None:
        self._policies, self._accounts = cloud.get(Policies), cloud.get(Accounts)
        self._access = AccountAccess(cloud)

    @rpc(
        f"{API}/GetIamPolicy",
        resource="",
        rest=(("POST", "/v1/{resource=projects/*/serviceAccounts/*}:getIamPolicy", "*"),),
    )
    async def get(self, request: Any, call: Call) -> Any:
        return self._policies.get(self._access.find(call, "iam.serviceAccounts.getIamPolicy", request.resource).name)

    @rpc(
        f"{API}/SetIamPolicy",
        resource="",
        rest=(("POST", "/v1/{resource=projects/*/serviceAccounts/*}:setIamPolicy", "*"),),
    )
    async def set(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccounts.setIamPolicy", request.resource)
        return self._policies.set(account.name, request.policy)

    @rpc(
        f"{API}/TestIamPermissions",
        resource="",
        rest=(("POST", "/v1/{resource=projects/*/serviceAccounts/*}:testIamPermissions", "*"),),
    )
    async def test(self, request: Any, call: Call) -> Any:
        account = self._accounts.find(request.resource)
        return self._policies.test(call.principal, request.permissions, account.name)


class AccountKeys:
    def __init__(self, cloud: Cloud) -> None:
        self._identity, self._org = cloud.get(Identity), cloud.get(OrgPolicies)
        self._access = AccountAccess(cloud)

    @rpc(f"{API}/ListServiceAccountKeys", resource="", rest=(("GET", f"{ACCOUNT}/keys", ""),))
    async def list(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccountKeys.list", request.name)
        keys = [_key(account.name, key_id, row) for key_id, row in self._identity.keys.of(account.email).items()]
        return ListKeysPb(keys=[key for key in keys if not request.key_types or key.key_type in request.key_types])

    @rpc(f"{API}/GetServiceAccountKey", resource="", rest=(("GET", KEY, ""),))
    async def get(self, request: Any, call: Call) -> Any:
        account, key_id = self._find(call, "iam.serviceAccountKeys.get", request.name)
        return _key(account.name, key_id, self._identity.keys.of(account.email)[key_id])

    @rpc(f"{API}/CreateServiceAccountKey", resource="", rest=(("POST", f"{ACCOUNT}/keys", "*"),))
    async def create(self, request: Any, call: Call) -> Any:
        account = self._access.find(call, "iam.serviceAccountKeys.create", request.name)
        if self._org.enforced(account.project_id, KEYS):
            raise failed_precondition("Key creation is not allowed on this service account.")
        if sum("private" not in row for row in self._identity.keys.of(account.email).values()) >= MAX_KEYS:
            raise failed_precondition("Precondition check failed.")
        private = await asyncio.to_thread(new_private_key)
        file = self._identity.keys.create(account.email, account.project_id, private)
        key_id = file["private_key_id"]
        key = _key(account.name, key_id, self._identity.keys.of(account.email)[key_id])
        key.private_key_type = types.ServiceAccountPrivateKeyType.TYPE_GOOGLE_CREDENTIALS_FILE
        key.private_key_data = json.dumps(file, indent=2).encode()
        return key

    @rpc(f"{API}/DeleteServiceAccountKey", resource="", rest=(("DELETE", KEY, ""),))
    async def delete(self, request: Any, call: Call) -> empty_pb2.Empty:
        _, key_id = self._find(call, "iam.serviceAccountKeys.delete", request.name)
        self._identity.delete_key(key_id)
        return empty_pb2.Empty()

    def _find(self, call: Call, permission: str, name: str) -> tuple[Any, str]:
        account = self._access.find(call, permission, name)
        key_id = name.rsplit("/", 1)[1]
        if key_id not in self._identity.keys.of(account.email):
            raise not_found(f"Service account key {key_id} does not exist.")
        return account, key_id


def _key(account: str, key_id: str, row: dict[str, Any]) -> Any:
    key = KeyPb(name=f"{account}/keys/{key_id}", key_algorithm=types.ServiceAccountKeyAlgorithm.KEY_ALG_RSA_2048)
    key.key_origin = types.ServiceAccountKeyOrigin.GOOGLE_PROVIDED
    kinds = types.ListServiceAccountKeysRequest.KeyType
    key.key_type = kinds.SYSTEM_MANAGED if "private" in row else kinds.USER_MANAGED
    key.valid_after_time.FromSeconds(int(row["created"]))
    key.valid_before_time.FromSeconds(FAR_FUTURE_S)
    return key
