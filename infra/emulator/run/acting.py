"""Whoever deploys lends what he deploys an account: it must exist, and he must be allowed to."""

from __future__ import annotations

from google.rpc.code_pb2 import Code

from infra.emulator.iam.accounts import Accounts
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, error_info
from infra.emulator.projects.projects import Projects


def check_act_as(cloud: Cloud, project: str, account: str, principal: str) -> None:
    """Raises PERMISSION_DENIED in Run's words; `project` is where the service or job is."""
    home = account.partition("@")[2].removesuffix(".iam.gserviceaccount.com")
    place = home if cloud.get(Projects).exists(home) else project
    resource = f"projects/{place}/serviceAccounts/{account}"
    may = cloud.get(Policies).allowed(principal, "iam.serviceAccounts.actAs", resource)
    if not may or resource not in cloud.get(Accounts).table:
        permission = "iam.serviceaccounts.actAs"
        raise RpcError(
            Code.PERMISSION_DENIED,
            f"Permission '{permission}' denied on service account {account} (or it may not exist).",
            error_info("IAM_PERMISSION_DENIED", "run.googleapis.com", permission=permission, resource=resource),
        )
