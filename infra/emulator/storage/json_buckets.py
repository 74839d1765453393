"""The JSON API's buckets. https://cloud.google.com/storage/docs/json_api/v1/buckets"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web
from google.iam.v1 import policy_pb2
from google.protobuf import json_format

from infra.emulator.iam.orgpolicy import OrgPolicies
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call
from infra.emulator.projects.projects import Projects
from infra.emulator.storage.errors import StorageError, bad_request, precondition_failed
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.resources import Resource, location_type, merged
from infra.emulator.storage.web import (
    API,
    Access,
    api,
    body,
    bucket_view,
    flag,
    number,
    policy_name,
    preconditions,
)

NAME = re.compile(r"(?!goog)(?!.*google)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
WRITABLE = {
    "acl", "autoclass", "billing", "cors", "customPlacementConfig", "defaultEventBasedHold", "encryption",
    "hierarchicalNamespace", "iamConfiguration", "labels", "lifecycle", "logging", "retentionPolicy", "rpo",
    "softDeletePolicy", "storageClass", "versioning", "website",
}  # fmt: skip
PUBLIC = {"allUsers", "allAuthenticatedUsers"}


class JsonBuckets:
    def __init__(self, cloud: Cloud) -> None:
        self._objects, self._access, self._projects = cloud.get(Objects), Access(cloud), cloud.get(Projects)
        self._org, self._policies = cloud.get(OrgPolicies), cloud.get(Policies)

    @api("POST", f"{API}/b", method="storage.buckets.insert")
    async def insert(self, request: web.Request, call: Call) -> web.Response:
        project = self._project(request)
        resource = await body(request)
        name, location = str(resource.get("name", "")), str(resource.get("location") or "US")
        if not NAME.fullmatch(name) or ("." not in name and len(name) > 63):
            raise bad_request(f"Invalid bucket name: '{name}'")
        location_type(location)
        self._access.project(call, "storage.buckets.create", project)
        self._access.billing(project)
        self._allow_location(project, location)
        settings = {key: value for key, value in resource.items() if key in WRITABLE}
        bucket = self._objects.buckets.create(name, project, location, settings)
        return web.json_response(bucket_view(request, bucket))

    def _project(self, request: web.Request) -> str:
        project = request.query.get("project", "")
        if not project:
            raise bad_request("Required parameter: project", "required")
        return self._projects.find(project).id

    def _allow_location(self, project: str, location: str) -> None:
        try:
            self._org.allow_location(project, location)
        except RpcError:
            message = f"'{location}' violates constraint 'constraints/gcp.resourceLocations'"
            raise precondition_failed(message=message) from None

    @api("GET", f"{API}/b", method="storage.buckets.list")
    async def list(self, request: web.Request, call: Call) -> web.Response:
        project = self._project(request)
        self._access.project(call, "storage.buckets.list", project)
        prefix, token = request.query.get("prefix", ""), request.query.get("pageToken", "")
        buckets = [
            bucket
            for bucket in self._objects.buckets.of_project(project)
            if bucket["name"].startswith(prefix) and bucket["name"] > token
        ]
        size = number(request.query, "maxResults") or 1000
        answer: Resource = {"kind": "storage#buckets"}
        if buckets and not flag(request.query, "softDeleted"):
            answer["items"] = [bucket_view(request, bucket) for bucket in buckets[:size]]
        if len(buckets) > size:
            answer["nextPageToken"] = buckets[size - 1]["name"]
        return web.json_response(answer)

    @api("GET", f"{API}/b/{{bucket}}", method="storage.buckets.get")
    async def get(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.get", bucket)
        resource = self._objects.buckets.get(bucket)
        preconditions(request.query).check(resource)
        return web.json_response(bucket_view(request, resource))

    @api("PATCH", f"{API}/b/{{bucket}}", method="storage.buckets.patch")
    async def patch(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.update", bucket)
        changes = {key: value for key, value in (await body(request)).items() if key in WRITABLE}
        return self._put(request, merged(self._objects.buckets.get(bucket), changes))

    @api("PUT", f"{API}/b/{{bucket}}", method="storage.buckets.update")
    async def update(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.update", bucket)
        wanted = {key: value for key, value in (await body(request)).items() if key in WRITABLE}
        kept = {key: value for key, value in self._objects.buckets.get(bucket).items() if key not in WRITABLE}
        keep = ("iamConfiguration", "softDeletePolicy", "storageClass", "rpo")
        defaults = {key: value for key, value in self._objects.buckets.get(bucket).items() if key in keep}
        return self._put(request, kept | defaults | wanted)

    def _put(self, request: web.Request, resource: Resource) -> web.Response:
        preconditions(request.query).check(resource)
        return web.json_response(bucket_view(request, self._objects.buckets.put(resource)))

    @api("DELETE", f"{API}/b/{{bucket}}", method="storage.buckets.delete")
    async def delete(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.delete", bucket)
        preconditions(request.query).check(self._objects.buckets.get(bucket))
        self._objects.delete_bucket(bucket)
        return web.Response(status=204)

    @api("GET", f"{API}/b/{{bucket}}/storageLayout", method="storage.buckets.getStorageLayout")
    async def layout(self, _: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.objects.list", bucket)
        resource = self._objects.buckets.get(bucket)
        return web.json_response(
            {
                "kind": "storage#storageLayout",
                "bucket": bucket,
                "location": resource["location"],
                "locationType": resource["locationType"],
                "hierarchicalNamespace": {"enabled": False},
            }
        )

    @api("GET", f"{API}/b/{{bucket}}/iam", method="storage.buckets.getIamPolicy")
    async def get_iam(self, _: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.getIamPolicy", bucket)
        return self._policy(bucket, self._policies.get(self._policy_name(bucket)))

    @api("PUT", f"{API}/b/{{bucket}}/iam", method="storage.buckets.setIamPolicy")
    async def set_iam(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        self._access.bucket(call, "storage.buckets.setIamPolicy", bucket)
        wanted = json_format.ParseDict(await body(request), policy_pb2.Policy(), ignore_unknown_fields=True)
        enforced = self._objects.buckets.get(bucket)["iamConfiguration"].get("publicAccessPrevention") == "enforced"
        if enforced and any(PUBLIC & set(binding.members) for binding in wanted.bindings):
            raise precondition_failed(
                message="The member bindings allUsers and allAuthenticatedUsers are not allowed since public access "
                "prevention is enforced."
            )
        if wanted.etag and wanted.etag != self._policies.get(self._policy_name(bucket)).etag:
            raise precondition_failed()
        return self._policy(bucket, self._policies.set(self._policy_name(bucket), wanted))

    def _policy_name(self, bucket: str) -> str:
        return policy_name(self._objects.buckets.project_of(bucket), bucket)

    def _policy(self, bucket: str, policy: Any) -> web.Response:
        view = json_format.MessageToDict(policy)
        return web.json_response(
            {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket}", "version": 1, **view}
        )

    @api("GET", f"{API}/b/{{bucket}}/iam/testPermissions", method="storage.buckets.testIamPermissions")
    async def test_iam(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        asked = request.query.getall("permissions", [])
        held = self._policies.granted(self._access.principal(call), asked, self._policy_name(bucket))
        answer: Resource = {"kind": "storage#testIamPermissionsResponse"}
        return web.json_response(answer | ({"permissions": held} if held else {}))

    @api("GET", f"{API}/projects/{{project}}/serviceAccount", method="storage.projects.serviceAccount.get")
    async def service_account(self, _: web.Request, call: Call, project: str) -> web.Response:
        found = self._projects.find(project)
        self._access.project(call, "resourcemanager.projects.get", found.id)
        email = f"service-{found.number}@gs-project-accounts.iam.gserviceaccount.com"
        return web.json_response({"kind": "storage#serviceAccount", "email_address": email})

    @api("GET", f"{API}/b/{{bucket}}/managedFolders", method="storage.managedFolders.list")
    async def managed_folders(self, _: web.Request, call: Call, bucket: str) -> web.Response:
        """There are none: nothing here makes any."""
        self._access.bucket(call, "storage.buckets.get", bucket)
        return web.json_response({"kind": "storage#managedFolders"})

    @api("GET", f"{API}/{{path=**}}", method="storage.unknown")
    @api("POST", f"{API}/{{path=**}}", method="storage.unknown")
    @api("PUT", f"{API}/{{path=**}}", method="storage.unknown")
    @api("PATCH", f"{API}/{{path=**}}", method="storage.unknown")
    @api("DELETE", f"{API}/{{path=**}}", method="storage.unknown")
    async def unknown(self, request: web.Request, _: Call, path: str) -> web.Response:
        """What is not emulated must not look like an object of a bucket called `storage`."""
        raise StorageError(404, "notFound", f"Not emulated: {request.method} {API}/{path}", "")
