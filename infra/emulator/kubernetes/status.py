"""What an API server answers when it refuses: `Status`, with the reasons and messages of kube-apiserver.

https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.33/#status-v1-meta
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import HTTP_STATUS, RpcError
from infra.emulator.kubernetes.kinds import Kind

CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    409: Code.ABORTED,
    410: Code.OUT_OF_RANGE,
    415: Code.INVALID_ARGUMENT,
    422: Code.INVALID_ARGUMENT,
}
# https://github.com/kubernetes/apiserver/blob/master/pkg/storage/etcd3/errors.go
EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)
RULES = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotSupported": "Unsupported value",
}


class Refusal(RpcError):
    """An answer that says no; to faults and the journal an error like any API's."""

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(CODES.get(status, Code.UNKNOWN), message)
        self.code, self.reason, self.message, self.details = status, reason, message, details

    @property
    def http_status(self) -> int:
        return self.code

    def rendered(self) -> tuple[str, str]:
        return json.dumps(self.said()), "application/json"

    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        said |= {"message": self.message, "reason": self.reason, "code": self.code}
        return said if self.details is None else said | {"details": dict(self.details)}


class NoSuchPath(Refusal):
    """What is no part of the API is answered by the server beneath, in plain text."""

    def __init__(self) -> None:
        super().__init__(404, "NotFound", "404 page not found\n")

    def rendered(self) -> tuple[str, str]:
        return self.message, "text/plain"


def of_error(error: RpcError) -> Refusal:
    """An injected fault as the API server would say it."""
    if isinstance(error, Refusal):
        return error
    if error.status.code == Code.OUT_OF_RANGE:
        return Refusal(410, "Expired", EXPIRED)
    status = HTTP_STATUS[error.status.code]
    reasons = {403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "TooManyRequests", 503: "ServiceUnavailable"}
    return Refusal(status, reasons.get(status, "InternalError"), error.status.message)


def about(kind: Kind, name: str = "", *, by_kind: bool = False) -> dict[str, Any]:
    """`details` of an answer about an object. Most messages say the resource, those of validation the kind."""
    group = {"group": kind.group} if kind.group else {}
    return {**({"name": name} if name else {}), **group, "kind": kind.kind if by_kind else kind.plural}


def not_found(kind: Kind, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{kind.qualified} "{name}" not found', about(kind, name))


def no_such_resource() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', about(kind, name))


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def method_not_allowed() -> Refusal:
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def conflict(kind: Kind, name: str, why: str, *, by_kind: bool = False) -> Refusal:
    shown = kind.kind if by_kind else kind.qualified
    details = {"name": name, "kind": kind.kind} if by_kind else about(kind, name)
    return Refusal(409, "Conflict", f'Operation cannot be fulfilled on {shown} "{name}": {why}', details)


def modified(kind: Kind, name: str) -> Refusal:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(kind, name, why)


def forbidden(kind: Kind, name: str, why: str, causes: Sequence[Mapping[str, str]] = ()) -> Refusal:
    details = {**about(kind, name), **({"causes": list(causes)} if causes else {})}
    return Refusal(403, "Forbidden", f'{kind.qualified} "{name}" is forbidden: {why}', details)


def invalid(kind: str, group: str, name: str, field: str, reason: str, what: str) -> Refusal:
    """One broken rule; what: "is required", 'Bad_Name": must …', as the rule's own text goes on."""
    text = f"{RULES[reason]}: {what}"
    said = {"name": name} if name else {}
    said |= {"group": group} if group else {}
    details = {**said, "kind": kind, "causes": [{"field": field, "message": text, "reason": reason}]}
    shown = f"{kind}.{group}" if group else kind
    return Refusal(422, "Invalid", f'{shown} "{name}" is invalid: {field}: {text}', details)


def invalid_object(kind: Kind, name: str, field: str, reason: str, what: str) -> Refusal:
    return invalid(kind.kind, kind.group, name, field, reason, what)
