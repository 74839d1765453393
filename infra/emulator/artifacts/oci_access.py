"""Where a registry request points and whether its caller may go there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from infra.emulator.artifacts import builtin
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.oci_errors import (
    RegistryError,
    as_registry_error,
    denied,
    name_invalid,
    name_unknown,
    unauthorized,
)
from infra.emulator.artifacts.references import HOST, IMAGE, Reference
from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call, route
from infra.emulator.projects.projects import Projects

API = "artifactregistry.googleapis.com"
PULL = "artifactregistry.repositories.downloadArtifacts"
PUSH = "artifactregistry.repositories.uploadArtifacts"
DELETE = "artifactregistry.repositories.deleteArtifacts"


def oci(verb: str, path: str, method: str) -> Callable[[Any], Any]:
    """Marks a handler of the registry: on any location's host, and on the plain loopback address.

    There the image's name begins with the host: 127.0.0.1:4711/us-docker.pkg.dev/project/repository/image.
    """
    name = f"artifactregistry.docker.{method}"
    return route(verb, f"/v2{path}", method=name, host="docker.pkg.dev", anonymous=True, form=as_registry_error)


class Access:
    def __init__(self, cloud: Cloud) -> None:
        self._images, self._projects, self._policies = cloud.get(Images), cloud.get(Projects), cloud.get(Policies)

    def enter(self, request: web.Request, call: Call, name: str, permission: str) -> Reference:
        """The image called `name`. Raises RegistryError unless its repository exists and the caller may use it."""
        reference = self._parse(request, name)
        if reference.repository != builtin.REPOSITORY or permission != PULL:
            self._require(reference, request, call, permission)
        try:
            self._images.catalogue.repository(reference.repository)
        except RpcError as error:
            raise name_unknown(reference.repository.rpartition("/")[2]) from error
        return reference

    def _parse(self, request: web.Request, name: str) -> Reference:
        path = f"{request.host}/{name}" if HOST.fullmatch(request.host.partition(":")[0]) else name
        host, _, rest = path.partition("/")
        location = HOST.fullmatch(host.partition(":")[0])
        parts = rest.split("/", 2)
        if location is None or len(parts) < 3 or not IMAGE.fullmatch(parts[2]):
            raise name_invalid()
        project, repository, image = parts
        return Reference(f"projects/{project}/locations/{location[1]}/repositories/{repository}", image)

    def _require(self, reference: Reference, request: web.Request, call: Call, permission: str) -> None:
        if not call.principal and "Authorization" not in request.headers:
            raise unauthorized()  # an anonymous caller has a token, too: it stands for nobody
        try:
            project = self._projects.find(reference.repository)
        except RpcError as error:
            raise denied(call.principal, permission, reference.repository) from error
        self._projects.require(project, API)
        if not self._policies.allowed(call.principal, permission, reference.repository):
            raise denied(call.principal, permission, reference.repository)


def check_digest(digest: str) -> str:
    """Raises RegistryError unless `digest` is a sha256."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise RegistryError(400, "DIGEST_INVALID", f"Invalid digest: {digest}")
    return digest
