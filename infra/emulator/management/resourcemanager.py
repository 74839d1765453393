"""Resource Manager: projects and their policies. v3 for the client libraries, v1 for gcloud."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from google.cloud import resourcemanager_v3
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import json_format

from infra.emulator.iam.admission import Admission
from infra.emulator.iam.policies import EVERYBODY, Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import invalid
from infra.emulator.kernel.handlers import Call, route, rpc
from infra.emulator.kernel.transcoding import to_json
from infra.emulator.projects.projects import ORGANIZATION, Project, Projects

API = "google.cloud.resourcemanager.v3.Projects"
HOST = "cloudresourcemanager.googleapis.com"
V1 = "/v1/projects/{project}"
GET = "resourcemanager.projects.get"
ProjectPb: Any = resourcemanager_v3.Project.pb()
ListPb: Any = resourcemanager_v3.ListProjectsResponse.pb()
SearchPb: Any = resourcemanager_v3.SearchProjectsResponse.pb()
UpdateMetadataPb: Any = resourcemanager_v3.UpdateProjectMetadata.pb()


class ProjectsV3:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._projects, self._policies = cloud, cloud.get(Projects), cloud.get(Policies)

    @rpc(f"{API}/GetProject", permission=GET)
    async def get(self, request: Any, _: Call) -> Any:
        return self._show(self._projects.find(request.name))

    def _show(self, project: Project) -> Any:
        row = self._projects.row(project.id)
        shown = ProjectPb(
            name=f"projects/{project.number}",
            parent=ORGANIZATION,
            project_id=project.id,
            state=resourcemanager_v3.Project.State.ACTIVE,
            display_name=row["name"],
            labels=row["labels"],
            etag=f'W/"{row["etag"]}"',
        )
        shown.create_time.FromSeconds(int(row["created"]))
        shown.update_time.FromSeconds(int(row["created"]))
        return shown

    @rpc(f"{API}/ListProjects", resource="")
    async def list(self, request: Any, call: Call) -> Any:
        return ListPb(projects=[self._show(project) for project in visible(self._cloud, call, "")])

    @rpc(f"{API}/SearchProjects", resource="")
    async def search(self, request: Any, call: Call) -> Any:
        return SearchPb(projects=[self._show(project) for project in visible(self._cloud, call, request.query)])

    @rpc(f"{API}/UpdateProject", permission="resourcemanager.projects.update", resource="project.name")
    async def update(self, request: Any, _: Call) -> operations_pb2.Operation:
        project = self._projects.find(request.project.name)
        shown = self._show(project)
        request.update_mask.MergeMessage(request.project, shown, True, True)
        self._projects.describe(project.id, name=shown.display_name, labels=dict(shown.labels))
        name = f"operations/up.{self._cloud.operations.new_id()}"
        return self._cloud.operations.done(name, self._show(project), UpdateMetadataPb())

    @rpc(f"{API}/GetIamPolicy", permission="resourcemanager.projects.getIamPolicy", resource="resource")
    async def get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        return self._policies.get(request.resource)

    @rpc(f"{API}/SetIamPolicy", permission="resourcemanager.projects.setIamPolicy", resource="resource")
    async def set_policy(self, request: iam_policy_pb2.SetIamPolicyRequest, _: Call) -> policy_pb2.Policy:
        _refuse_public(request.policy)
        return self._policies.set(request.resource, request.policy)

    @rpc(f"{API}/TestIamPermissions", resource="resource")
    async def test(
        self, request: iam_policy_pb2.TestIamPermissionsRequest, call: Call
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        return self._policies.test(call.principal, request.permissions, request.resource)


class ProjectsV1:
    """https://cloud.google.com/resource-manager/reference/rest/v1/projects, which no client package describes."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._projects, self._policies = cloud, cloud.get(Projects), cloud.get(Policies)
        self._admission = cloud.get(Admission)

    @route("GET", "/v1/projects", method="cloudresourcemanager.projects.list", host=HOST)
    async def list(self, request: web.Request, call: Call) -> web.Response:
        found = [self._show(project) for project in visible(self._cloud, call, request.query.get("filter", ""))]
        return web.json_response({"projects": found} if found else {})

    @route("GET", V1, method="cloudresourcemanager.projects.get", host=HOST)
    async def get(self, _: web.Request, call: Call, project: str) -> web.Response:
        return web.json_response(self._show(self._admitted(call, GET, project)))

    @route("PUT", V1, method="cloudresourcemanager.projects.update", host=HOST)
    async def update(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._admitted(call, "resourcemanager.projects.update", project)
        wanted = await request.json()
        self._projects.describe(found.id, name=wanted.get("name") or found.id, labels=wanted.get("labels") or {})
        return web.json_response(self._show(found))

    def _admitted(self, call: Call, permission: str, name: str) -> Project:
        project = self._projects.find(name)
        self._projects.require(project, HOST)
        if permission:
            self._admission.require(call.principal, permission, f"projects/{project.id}", HOST)
        return project

    def _show(self, project: Project) -> dict[str, Any]:
        row = self._projects.row(project.id)
        created = datetime.datetime.fromtimestamp(row["created"], datetime.UTC)
        kind, _, organization = ORGANIZATION.partition("/")
        shown = {
            "projectNumber": str(project.number),
            "projectId": project.id,
            "lifecycleState": "ACTIVE",
            "name": row["name"],
            "createTime": created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "parent": {"type": kind.removesuffix("s"), "id": organization},
        }
        return shown | ({"labels": row["labels"]} if row["labels"] else {})

    @route("POST", f"{V1}:getIamPolicy", method="cloudresourcemanager.projects.getIamPolicy", host=HOST)
    async def get_policy(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._admitted(call, "resourcemanager.projects.getIamPolicy", project)
        return _answer(self._policies.get(f"projects/{found.id}"), request)

    @route("POST", f"{V1}:setIamPolicy", method="cloudresourcemanager.projects.setIamPolicy", host=HOST)
    async def set_policy(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._admitted(call, "resourcemanager.projects.setIamPolicy", project)
        asked = json_format.Parse(
            await request.read(), iam_policy_pb2.SetIamPolicyRequest(), ignore_unknown_fields=True
        )
        _refuse_public(asked.policy)
        return _answer(self._policies.set(f"projects/{found.id}", asked.policy), request)

    @route("POST", f"{V1}:testIamPermissions", method="cloudresourcemanager.projects.testIamPermissions", host=HOST)
    async def test(self, request: web.Request, call: Call, project: str) -> web.Response:
        found = self._admitted(call, "", project)
        asked = json_format.Parse(await request.read(), iam_policy_pb2.TestIamPermissionsRequest())
        return _answer(self._policies.test(call.principal, asked.permissions, f"projects/{found.id}"), request)

    @route("POST", f"{V1}:getAncestry", method="cloudresourcemanager.projects.getAncestry", host=HOST)
    async def ancestry(self, _: web.Request, call: Call, project: str) -> web.Response:
        found = self._admitted(call, GET, project)
        chain = [("project", found.id), ("organization", ORGANIZATION.partition("/")[2])]
        return web.json_response({"ancestor": [{"resourceId": {"type": kind, "id": name}} for kind, name in chain]})


def _refuse_public(policy: policy_pb2.Policy) -> None:
    """A project is never open to everybody, whatever the role.

    https://cloud.google.com/resource-manager/reference/rest/v1/projects/setIamPolicy
    """
    if any(member in EVERYBODY for binding in policy.bindings for member in binding.members):
        raise invalid("Request contains an invalid argument.")


def visible(cloud: Cloud, call: Call, query: str) -> Iterator[Project]:
    """The projects that the caller may see, of those that `id:x`, `projectId=x` or `lifecycleState:ACTIVE` choose."""
    projects, policies = cloud.get(Projects), cloud.get(Policies)
    wanted = re.search(r"(?:projectId|id|name)\s*[:=]\s*\"?([\w*-]+)\"?", query)
    for project in projects.all():
        if wanted and not re.fullmatch(wanted[1].replace("*", ".*"), project.id):
            continue
        if policies.allowed(call.principal, GET, f"projects/{project.id}"):
            yield project


def _answer(message: Any, request: web.Request) -> web.Response:
    return web.Response(body=to_json(message, request), content_type="application/json")
