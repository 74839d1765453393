"""What APIs have in common that no client package describes: JSON in and out, admission, and the older form of errors.

https://cloud.google.com/compute/docs/reference/rest/v1: {"error": {"code", "message", "errors": [{"message", "domain",
"reason"}]}}, without a status of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web
from google.protobuf import json_format
from google.rpc.code_pb2 import Code

from infra.emulator.iam.admission import Admission
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call
from infra.emulator.projects.projects import Project, Projects

Resource = dict[str, Any]
T = TypeVar("T")
_REASONS = {
    Code.NOT_FOUND: "notFound",
    Code.PERMISSION_DENIED: "forbidden",
    Code.UNAUTHENTICATED: "authError",
    Code.INVALID_ARGUMENT: "invalid",
    Code.UNIMPLEMENTED: "notImplemented",
}


class LegacyError(RpcError):
    """An error in the older form."""

    def __init__(self, http_status: int, reason: str, message: str, details: Sequence[Any] = ()) -> None:
        super().__init__(_CODES.get(http_status, Code.UNKNOWN), message)
        self._http_status, self.reason, self._details = http_status, reason, details

    @property
    def http_status(self) -> int:
        return self._http_status

    def rendered(self) -> tuple[str, str]:
        message = self.status.message
        one = {"message": message, "domain": "global", "reason": self.reason}
        body: Resource = {"code": self._http_status, "message": message, "errors": [one]}
        if self._details:
            body |= {"status": Code.Name(self.status.code), "details": self._details}
        return json.dumps({"error": body}), "application/json"


_CODES = {400: Code.INVALID_ARGUMENT, 403: Code.PERMISSION_DENIED, 404: Code.NOT_FOUND, 409: Code.ABORTED,
          412: Code.FAILED_PRECONDITION}  # fmt: skip


def legacy_form(error: RpcError, _: web.Request) -> RpcError:
    """Whatever was raised, in the older form; what Google's front end says of disabled APIs keeps its details."""
    if isinstance(error, LegacyError):
        return error
    details = json_format.MessageToDict(error.status).get("details", ())
    reason = _REASONS.get(error.status.code, "backendError")
    if any(each.get("reason") == "SERVICE_DISABLED" for each in details):
        reason = "accessNotConfigured"
    return LegacyError(error.http_status, reason, error.status.message, details)


class Door:
    """The way into one such API: who may, and in which project."""

    def __init__(self, cloud: Cloud, host: str) -> None:
        self._projects, self._admission, self._host = cloud.get(Projects), cloud.get(Admission), host

    def admit(self, call: Call, project: str, permission: str, rest: str = "") -> Project:
        """The project, by id or number. rest: of the resource's name, below the project."""
        found = self._projects.find(project)
        name = f"projects/{found.id}" + (f"/{rest}" if rest else "")
        self._admission.require_usable(name, self._host, permission)
        self._admission.require(call.principal, permission, name, self._host)
        return found


async def read_body(request: web.Request) -> Resource:
    """The JSON object that was sent; {} for nothing."""
    raw = await request.read()
    try:
        found = json.loads(raw or b"{}")
    except ValueError as error:
        raise LegacyError(400, "parseError", "Parse Error") from error
    if not isinstance(found, dict):
        raise LegacyError(400, "parseError", "Parse Error")
    return found


def paged(
    request: web.Request, found: Sequence[T], key: Callable[[T], str], size: str = "maxResults", most: int = 500
) -> tuple[Sequence[T], str]:
    """One page of what is sorted by `key`, and the token of the next: the last key of this one."""
    token, asked = request.query.get("pageToken", ""), request.query.get(size, "")
    if asked and not asked.isdigit():
        raise LegacyError(400, "invalidParameter", f"Invalid value '{asked}' for {size}.")
    left = [each for each in found if key(each) > token]
    count = min(int(asked or 0) or most, most)
    return left[:count], key(left[count - 1]) if len(left) > count else ""


def known_only(body: Resource, known: frozenset[str], where: str) -> None:
    """Raises for a field that the resource does not have: Google's parser refuses what it does not know."""
    if unknown := sorted(body.keys() - known):
        message = f"Invalid JSON payload received. Unknown name \"{unknown[0]}\" at '{where}': Cannot find field."
        raise LegacyError(400, "badRequest", message)


def timestamp(moment: datetime | None = None) -> str:
    return (moment or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
