"""IAM: the service accounts of a project."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.cloud import iam_admin_v1

from infra.gcp.calls.clients import READ, call, client, read
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.paging import each

PAGE_SIZE = 100  # https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/list


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    name: str  # projects/{project}/serviceAccounts/{email}
    email: str
    etag: str
    disabled: bool
    description: str


async def list_accounts(project: str) -> list[ServiceAccount]:
    """Those that somebody made; Google's own default accounts are left out."""
    request = {"name": f"projects/{project}", "page_size": PAGE_SIZE}
    method = _client().list_service_accounts
    found = [_account(account) async for account in each("iam.serviceAccounts.list", method, request, "accounts")]
    return [account for account in found if account.email.endswith(f"@{project}.iam.gserviceaccount.com")]


async def get_account(name: str) -> ServiceAccount | None:
    found = await read("iam.serviceAccounts.get", _client().get_service_account, {"name": name})
    return None if found is None else _account(iam_admin_v1.ServiceAccount.pb(found))


async def disable_account(name: str) -> bool:
    """Enabling it undoes this. False if it was gone already."""
    return await _unless_gone("iam.serviceAccounts.disable", _client().disable_service_account, name)


async def delete_account(name: str) -> bool:
    """It can be undeleted for 30 days. False if it was gone already."""
    return await _unless_gone("iam.serviceAccounts.delete", _client().delete_service_account, name)


async def _unless_gone(method: str, call_it: Callable[..., Awaitable[Any]], name: str) -> bool:
    try:
        await call(method, call_it, {"name": name}, retry=READ)
    except GoogleError as error:
        if error.status == "NOT_FOUND":
            return False
        raise
    return True


def _client() -> iam_admin_v1.IAMAsyncClient:
    return client(iam_admin_v1.IAMAsyncClient)


def _account(found: Any) -> ServiceAccount:
    return ServiceAccount(found.name, found.email, found.etag.hex(), found.disabled, found.description)
