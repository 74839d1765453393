"""What the doors of Storage share: routes on both host names, queries, bodies, links and the caller's rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call, Form, route, service_of
from infra.emulator.projects.projects import Projects
from infra.emulator.storage.errors import bad_request, billing_disabled, forbidden, json_form
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.resources import Preconditions, Resource

HOSTS = ("storage.googleapis.com", "www.googleapis.com")
API = "/storage/v1"
KINDS = {"buckets": "Google Cloud Storage bucket", "objects": "Google Cloud Storage object"}
# Who an anonymous caller of the bare loopback address is: STORAGE_EMULATOR_HOST makes clients send no credentials.
LOOPBACK_OWNER = "you@example.com"


def api(verb: str, path: str, *, method: str, form: Form = json_form) -> Callable[[Any], Any]:
    """Marks `(self, request, call, **variables)` as a route of Storage on both hosts; its errors take `form`.

    Anonymous callers come through: what they may is for the bucket's policy to say.
    """

    def mark(handler: Any) -> Any:
        for host in HOSTS:
            handler = route(verb, path, method=method, host=host, anonymous=True, form=form)(handler)
        return handler

    return mark


class Access:
    """Whether a caller may."""

    def __init__(self, cloud: Cloud) -> None:
        self._objects, self._projects, self._policies = cloud.get(Objects), cloud.get(Projects), cloud.get(Policies)

    def principal(self, call: Call) -> str:
        return call.principal or ("" if service_of(call.host) else LOOPBACK_OWNER)

    def bucket(self, call: Call, permission: str, bucket: str) -> None:
        """Raises 404 for the bucket, 403 (401 without credentials) for the permission."""
        self.check(self.principal(call), permission, bucket)

    def check(self, principal: str, permission: str, bucket: str) -> None:
        project = self._objects.buckets.project_of(bucket)
        self._projects.require(self._projects.find(project), HOSTS[0])
        if not self._policies.allowed(principal, permission, policy_name(project, bucket)):
            on = "buckets" if permission == "storage.objects.list" else permission.split(".")[1]
            raise forbidden(principal, permission, KINDS.get(on, KINDS["buckets"]))
        if not permission.endswith((".get", ".list", "IamPolicy")):
            self.billing(project)

    def writing(self, call: Call, bucket: str, name: str) -> None:
        """Creating an object; replacing one takes the right to delete it, too."""
        self.bucket(call, "storage.objects.create", bucket)
        if self._objects.find(bucket, name):
            self.bucket(call, "storage.objects.delete", bucket)

    def project(self, call: Call, permission: str, project_id: str) -> None:
        principal = self.principal(call)
        self._projects.require(self._projects.find(project_id), HOSTS[0])
        if not self._policies.allowed(principal, permission, f"projects/{project_id}"):
            raise forbidden(principal, permission, "Google Cloud project")

    def billing(self, project_id: str) -> None:
        if not self._projects.billing(project_id):
            raise billing_disabled()


def policy_name(project: str, bucket: str) -> str:
    """Under which name a bucket's policy is kept: below its project, whose policy it inherits."""
    return f"projects/{project}/buckets/{bucket}"


def number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    try:
        return int(text) if text else None
    except ValueError:
        raise bad_request(f"Invalid value '{text}' for {name}.", "invalidParameter") from None


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() == "true"


def preconditions(query: Mapping[str, str], prefix: str = "if") -> Preconditions:
    """ifGenerationMatch and friends; with prefix `ifSource`, those of a copy's source."""
    return Preconditions(
        *(
            number(query, f"{prefix}{name}")
            for name in ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        )
    )


async def body(request: web.Request) -> Resource:
    return parsed(await request.read())


def parsed(text: bytes) -> Resource:
    try:
        value = json.loads(text or b"{}")
    except ValueError:
        raise bad_request("Parse Error", "parseError") from None
    if not isinstance(value, dict):
        raise bad_request("Parse Error", "parseError")
    return value


def origin(request: web.Request) -> str:
    """How the client reached us (through a batch, too): clients follow the links in our answers."""
    return f"{request.headers.get('X-Forwarded-Proto', request.scheme)}://{request.host}"


def bucket_view(request: web.Request, bucket: Resource) -> Resource:
    return {**bucket, "selfLink": f"{origin(request)}{API}/b/{bucket['name']}"}


def object_view(request: web.Request, resource: Resource) -> Resource:
    path = f"{API}/b/{resource['bucket']}/o/{quote(resource['name'], safe='')}"
    return {
        **resource,
        "selfLink": f"{origin(request)}{path}",
        "mediaLink": f"{origin(request)}/download{path}?generation={resource['generation']}&alt=media",
    }
