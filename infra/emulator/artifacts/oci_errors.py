"""The registry's error answers: {"errors": [{"code", "message"}]} with Google's texts.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#error-codes
"""

from __future__ import annotations

import json

from aiohttp import web
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import RpcError

# HTTP status -> the canonical code that the journal and callers inside the emulator see.
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    416: Code.OUT_OF_RANGE,
}
# The registry's code for errors that the catalogue, a fault or the project raised.
OCI_CODES = {
    Code.INVALID_ARGUMENT: "MANIFEST_INVALID",
    Code.FAILED_PRECONDITION: "MANIFEST_INVALID",
    Code.NOT_FOUND: "MANIFEST_UNKNOWN",
    Code.PERMISSION_DENIED: "DENIED",
    Code.RESOURCE_EXHAUSTED: "TOOMANYREQUESTS",
}


class RegistryError(RpcError):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(CODES.get(status, Code.UNKNOWN), message)
        self._http_status, self.code, self.message = status, code, message

    @property
    def http_status(self) -> int:
        return self._http_status

    def rendered(self) -> tuple[str, str]:
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}), "application/json"


def as_registry_error(error: RpcError, request: web.Request) -> RegistryError:
    """Any error in the registry's form; one about a missing or bad identity tells where to get a token."""
    if error.status.code == Code.UNAUTHENTICATED:
        error = unauthorized()
    elif not isinstance(error, RegistryError):
        code, message = OCI_CODES.get(error.status.code, "UNKNOWN"), error.status.message
        if message.startswith("GOOGLE_"):
            code, _, message = message.partition(": ")
        error = RegistryError(error.http_status, code, message)
    if error.http_status == 401:
        error.headers["WWW-Authenticate"] = _challenge(request)
    return error


def _challenge(request: web.Request) -> str:
    challenge = f'Bearer realm="{request.scheme}://{request.host}/v2/token",service="{request.host.partition(":")[0]}"'
    name = request.path.removeprefix("/v2/")
    for end in ("/manifests/", "/blobs/", "/tags/", "/referrers/"):
        if end in name:
            action = "pull" if request.method in ("GET", "HEAD") else "push,pull"
            return f'{challenge},scope="repository:{name.rpartition(end)[0]}:{action}"'
    return challenge


def unauthorized() -> RegistryError:
    return RegistryError(
        401,
        "UNAUTHORIZED",
        "authentication failed. To authenticate your request, follow the steps in: "
        "https://cloud.google.com/artifact-registry/docs/docker/authentication",
    )


def denied(principal: str, permission: str, repository: str) -> RegistryError:
    if not principal:
        return RegistryError(
            403,
            "DENIED",
            f'Unauthenticated request. Unauthenticated requests do not have permission "{permission}" on resource '
            f'"{repository}" (or it may not exist)',
        )
    return RegistryError(403, "DENIED", f"Permission '{permission}' denied on resource (or it may not exist).")


def name_unknown(repository_id: str) -> RegistryError:
    return RegistryError(404, "NAME_UNKNOWN", f'Repository "{repository_id}" not found')


def name_invalid() -> RegistryError:
    return RegistryError(
        400,
        "NAME_INVALID",
        "Missing image name. Pushes should be of the form docker push HOST-NAME/PROJECT-ID/REPOSITORY/IMAGE",
    )


def manifest_unknown(reference: str) -> RegistryError:
    return RegistryError(404, "MANIFEST_UNKNOWN", f'Failed to fetch "{reference}"')


def blob_unknown(digest: str) -> RegistryError:
    return RegistryError(404, "BLOB_UNKNOWN", f"Requested blob {digest} was not found.")


def digest_invalid(message: str) -> RegistryError:
    return RegistryError(400, "DIGEST_INVALID", message)


def upload_unknown(upload_id: str) -> RegistryError:
    return RegistryError(404, "BLOB_UPLOAD_UNKNOWN", f"Upload {upload_id} was not found.")
