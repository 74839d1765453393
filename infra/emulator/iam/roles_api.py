"""IAM: predefined and custom roles. https://cloud.google.com/iam/docs/reference/rest/v1/roles"""

from __future__ import annotations

import base64
import time
from typing import Any

from google.cloud.iam_admin_v1 import types

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.roles import permissions, predefined
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import aborted, already_exists, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Projects

API = "google.iam.admin.v1.IAM"
CUSTOM = "/v1/{name=projects/*/roles/*}"
RolePb: Any = types.Role.pb()
PermissionPb: Any = types.Permission.pb()
ListPb: Any = types.ListRolesResponse.pb()
GrantablePb: Any = types.QueryGrantableRolesResponse.pb()
TestablePb: Any = types.QueryTestablePermissionsResponse.pb()
GA = types.Role.RoleLaunchStage.GA


class Roles:
    """Custom roles are rows {title, description, permissions, stage, etag, deleted} that `Policies` reads, too."""

    def __init__(self, cloud: Cloud) -> None:
        self._projects, self._admission = cloud.get(Projects), cloud.get(Admission)
        self._custom = cloud.store.values("custom-roles")  # projects/{id}/roles/{role}

    @rpc(
        f"{API}/ListRoles",
        resource="",
        rest=(("GET", "/v1/roles", ""), ("GET", "/v1/{parent=projects/*}/roles", "")),
    )
    async def list(self, request: Any, call: Call) -> Any:
        if request.parent:
            parent = self._projects.canonical(request.parent)
            self._admission.require(call.principal, "iam.roles.list", parent, "iam.googleapis.com")
            roles = [self._show(name) for name in self._custom.names(f"{parent}/roles/")]
            roles = [role for role in roles if request.show_deleted or not role.deleted]
        else:
            roles = [self._show(name) for name in sorted(predefined())]
        return _page(ListPb, roles, request)

    @rpc(f"{API}/GetRole", resource="", rest=(("GET", "/v1/{name=roles/*}", ""), ("GET", CUSTOM, "")))
    async def get(self, request: Any, call: Call) -> Any:
        if not request.name.startswith("roles/"):
            self._admission.require(call.principal, "iam.roles.get", request.name, "iam.googleapis.com")
        return self._show(self._projects.canonical(request.name))

    def _show(self, name: str) -> Any:
        if role := predefined().get(name):
            held = sorted(role.permissions)
            return RolePb(name=name, title=role.title, included_permissions=held, stage=GA, etag=b"\x00")
        row = self._custom.get(name)
        if row is None:
            raise not_found(f"The role named {name} was not found.")
        return RolePb(
            name=name,
            title=row["title"],
            description=row["description"],
            included_permissions=row["permissions"],
            stage=row["stage"],
            etag=base64.b64decode(row["etag"]),
            deleted=row["deleted"],
        )

    @rpc(
        f"{API}/CreateRole",
        permission="iam.roles.create",
        resource="parent",
        rest=(("POST", "/v1/{parent=projects/*}/roles", "*"),),
    )
    async def create(self, request: Any, _: Call) -> Any:
        name = f"{request.parent}/roles/{request.role_id}"
        if name in self._custom:
            raise already_exists(f"A role named {request.role_id} in {request.parent} already exists.")
        return self._put(name, request.role)

    def _put(self, name: str, role: Any) -> Any:
        if unknown := sorted(set(role.included_permissions) - permissions()):
            raise invalid(f"Permission {unknown[0]} is not valid.")
        row = {
            "title": role.title,
            "description": role.description,
            "permissions": sorted(role.included_permissions),
            "stage": role.stage,
            "etag": base64.b64encode(str(time.time_ns()).encode()).decode(),
            "deleted": role.deleted,
        }
        self._custom.put(name, row)
        return self._show(name)

    @rpc(f"{API}/UpdateRole", permission="iam.roles.update", rest=(("PATCH", CUSTOM, "role"),))
    async def update(self, request: Any, _: Call) -> Any:
        role = self._current(request.name, request.role.etag)
        if request.update_mask.paths:
            request.update_mask.MergeMessage(request.role, role, True, True)
        else:
            role.MergeFrom(request.role)
        return self._put(request.name, role)

    @rpc(f"{API}/DeleteRole", permission="iam.roles.delete", rest=(("DELETE", CUSTOM, ""),))
    async def delete(self, request: Any, _: Call) -> Any:
        role = self._current(request.name, request.etag)
        role.deleted = True
        return self._put(request.name, role)

    @rpc(f"{API}/UndeleteRole", permission="iam.roles.undelete", rest=(("POST", f"{CUSTOM}:undelete", "*"),))
    async def undelete(self, request: Any, _: Call) -> Any:
        role = self._current(request.name, request.etag)
        role.deleted = False
        return self._put(request.name, role)

    def _current(self, name: str, etag: bytes) -> Any:
        role = self._show(name)
        if etag and etag != role.etag:
            raise aborted("There were concurrent policy changes. Please retry the whole read-modify-write.")
        return role

    @rpc(f"{API}/QueryGrantableRoles", resource="", rest=(("POST", "/v1/roles:queryGrantableRoles", "*"),))
    async def grantable(self, request: Any, _: Call) -> Any:
        return _page(GrantablePb, [self._show(name) for name in sorted(predefined())], request)

    @rpc(
        f"{API}/QueryTestablePermissions",
        resource="",
        rest=(("POST", "/v1/permissions:queryTestablePermissions", "*"),),
    )
    async def testable(self, request: Any, _: Call) -> Any:
        names = sorted(name for name in permissions() if name > request.page_token)
        size = request.page_size or 1000
        token = names[size - 1] if len(names) > size else ""
        return TestablePb(permissions=[PermissionPb(name=n, stage=3) for n in names[:size]], next_page_token=token)


def _page(response: Any, roles: list[Any], request: Any) -> Any:
    """A page of roles, without their permissions unless the request's view is FULL; the token is the last name."""
    left = [role for role in roles if role.name > request.page_token]
    size = request.page_size or 300
    token = left[size - 1].name if len(left) > size else ""
    if request.view != types.RoleView.FULL:
        for role in left:
            role.ClearField("included_permissions")
    return response(roles=left[:size], next_page_token=token)
