"""The OCI registry's manifests, tags and tokens; the Docker host of Artifact Registry.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from aiohttp import web

from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.manifests import OCI_INDEX, parse_manifest
from infra.emulator.artifacts.oci_access import DELETE, PULL, PUSH, Access, check_digest, oci
from infra.emulator.artifacts.oci_errors import RegistryError, manifest_unknown, name_unknown, unauthorized
from infra.emulator.artifacts.references import TAG, Reference
from infra.emulator.iam.identity import Identity
from infra.emulator.iam.keys import LIFETIME_S
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call

VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}
MANIFEST_LIMIT_BYTES = 4 << 20
TAGS_PAGE = 10_000


class Registry:
    def __init__(self, cloud: Cloud) -> None:
        self._identity, self._catalogue = cloud.get(Identity), cloud.get(Images).catalogue
        self._access = Access(cloud)

    @oci("GET", "/", "ping")
    async def ping(self, request: web.Request, _: Call) -> web.Response:
        if "Authorization" not in request.headers:
            raise unauthorized()
        return web.json_response({}, headers=VERSION)

    @oci("GET", "/token", "token")
    async def token(self, request: web.Request, call: Call) -> web.Response:
        """A bearer token for whoever the Authorization header proves; for nobody without one."""
        token = self._identity.access_token(call.principal)
        issued = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return web.json_response({"token": token, "expires_in": LIFETIME_S, "issued_at": issued})

    @oci("GET", "/{name=**}/manifests/{reference=**}", "manifests.get")
    async def get(self, request: web.Request, call: Call, name: str, reference: str) -> web.Response:
        image = self._find(self._access.enter(request, call, name, PULL), reference)
        headers = VERSION | {"Docker-Content-Digest": image.digest}
        media_type = self._catalogue.image(image).media_type
        return web.Response(body=self._catalogue.blobs.read(image.digest), content_type=media_type, headers=headers)

    @oci("PUT", "/{name=**}/manifests/{reference=**}", "manifests.put")
    async def put(self, request: web.Request, call: Call, name: str, reference: str) -> web.Response:
        image = _named(self._access.enter(request, call, name, PUSH), reference)
        if (request.content_length or 0) > MANIFEST_LIMIT_BYTES:
            raise RegistryError(413, "MANIFEST_INVALID", f"The manifest is larger than {MANIFEST_LIMIT_BYTES} bytes.")
        data = await request.read()
        digest = self._catalogue.put(image, data, request.content_type)
        headers = VERSION | {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/manifests/{digest}"}
        if subject := parse_manifest(data, request.content_type).subject:
            headers["OCI-Subject"] = subject
        return web.Response(status=201, headers=headers)

    @oci("DELETE", "/{name=**}/manifests/{reference=**}", "manifests.delete")
    async def delete(self, request: web.Request, call: Call, name: str, reference: str) -> web.Response:
        """By digest the manifest, by tag only the tag."""
        package = self._access.enter(request, call, name, DELETE)
        named = _named(package, reference)
        self._find(package, reference)
        if named.tag:
            self._catalogue.delete_tag(named)
        else:
            self._catalogue.delete(named)
        return web.Response(status=202, headers=VERSION)

    @oci("GET", "/{name=**}/tags/list", "tags.list")
    async def tags(self, request: web.Request, call: Call, name: str) -> web.Response:
        package = self._access.enter(request, call, name, PULL)
        if package.package not in self._catalogue.packages:
            raise name_unknown(package.image)
        prefix = f"{package.package}/tags/"
        last = request.query.get("last", "")
        size = _size(request.query.get("n", ""))
        names = [key.removeprefix(prefix) for key in self._catalogue.tags.names(prefix)]
        after = [tag for tag in names if tag > last]
        headers = dict(VERSION)
        if len(after) > size:
            headers["Link"] = f'</v2/{name}/tags/list?n={size}&last={after[size - 1]}>; rel="next"'
        return web.json_response({"name": name, "tags": after[:size]}, headers=headers)

    @oci("GET", "/{name=**}/referrers/{digest=**}", "referrers.list")
    async def referrers(self, request: web.Request, call: Call, name: str, digest: str) -> web.Response:
        package = self._access.enter(request, call, name, PULL)
        manifests = self._catalogue.referrers(package.at(check_digest(digest)))
        headers = dict(VERSION)
        if wanted := request.query.get("artifactType"):
            manifests = [manifest for manifest in manifests if manifest.get("artifactType") == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return web.Response(body=json.dumps(index).encode(), content_type=OCI_INDEX, headers=headers)

    def _find(self, package: Reference, reference: str) -> Reference:
        try:
            return self._catalogue.find(_named(package, reference))
        except RpcError as error:
            raise manifest_unknown(reference) from error


def _named(package: Reference, reference: str) -> Reference:
    """The tag or digest `reference` of an image."""
    if ":" in reference:
        return package.at(check_digest(reference))
    if not TAG.fullmatch(reference):
        raise RegistryError(400, "TAG_INVALID", f"Invalid tag: {reference}")
    return Reference(package.repository, package.image, reference)


def _size(text: str) -> int:
    if text and not text.isdigit():
        raise RegistryError(400, "PAGINATION_NUMBER_INVALID", f"Invalid number of tags: {text}")
    return min(int(text), TAGS_PAGE) if text else TAGS_PAGE
