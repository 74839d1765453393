"""Cloud Billing: the account that pays for a project, and what stops when there is none."""

from __future__ import annotations

from typing import Any

from google.cloud import billing_v1
from google.iam.v1 import iam_policy_pb2

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Project, Projects

API = "google.cloud.billing.v1.CloudBilling"
ACCOUNT = "billingAccounts/000000-111111-222222"  # the one there is; every caller may see it
InfoPb: Any = billing_v1.ProjectBillingInfo.pb()
AccountPb: Any = billing_v1.BillingAccount.pb()
ListPb: Any = billing_v1.ListBillingAccountsResponse.pb()
ListInfoPb: Any = billing_v1.ListProjectBillingInfoResponse.pb()


class Billing:
    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)

    @rpc(f"{API}/GetProjectBillingInfo", permission="resourcemanager.projects.get")
    async def get(self, request: Any, _: Call) -> Any:
        return self._show(self._projects.find(request.name))

    def _show(self, project: Project) -> Any:
        enabled = self._projects.billing(project.id)
        return InfoPb(
            name=f"projects/{project.id}/billingInfo",
            project_id=project.id,
            billing_account_name=ACCOUNT if enabled else "",
            billing_enabled=enabled,
        )

    @rpc(f"{API}/UpdateProjectBillingInfo")
    async def update(self, request: Any, call: Call) -> Any:
        wanted = request.project_billing_info.billing_account_name
        verb = "create" if wanted else "delete"
        permission = f"resourcemanager.projects.{verb}BillingAssignment"
        self._admission.require(call.principal, permission, request.name, "cloudbilling.googleapis.com")
        if wanted:
            _find(wanted)
        project = self._projects.find(request.name)
        self._projects.set_billing(project.id, bool(wanted))
        return self._show(project)

    @rpc(f"{API}/ListBillingAccounts", resource="")
    async def list(self, request: Any, _: Call) -> Any:
        return ListPb(billing_accounts=[_account()])

    @rpc(f"{API}/GetBillingAccount", resource="")
    async def get_account(self, request: Any, _: Call) -> Any:
        return _find(request.name)

    @rpc(f"{API}/ListProjectBillingInfo", resource="")
    async def list_projects(self, request: Any, call: Call) -> Any:
        _find(request.name)
        infos = (self._show(project) for project in self._projects.all())
        return ListInfoPb(project_billing_info=[info for info in infos if info.billing_enabled])

    @rpc(f"{API}/TestIamPermissions", resource="")
    async def test(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, _: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        _find(request.resource)
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=request.permissions)


def _account() -> Any:
    return AccountPb(name=ACCOUNT, open_=True, display_name="My Billing Account", currency_code="EUR")


def _find(name: str) -> Any:
    if name != ACCOUNT:
        raise not_found()
    return _account()
