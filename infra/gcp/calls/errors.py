"""Every way a call to Google can fail, as one picklable exception of plain values.

The official clients raise google.api_core's exceptions (other ones over gRPC than over REST), google.auth's
and whatever the socket layer throws; long-running operations report failures as a google.rpc.Status.
`translated` turns all of them into a `GoogleError`, so that nobody above this package needs to know them.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import grpc
import httpx
import requests
import urllib3
from google.api_core import exceptions as core
from google.auth import exceptions as auth
from google.cloud.storage import exceptions as storage
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

# Canonical name for an HTTP status: google/rpc/code.proto, read backwards. 409 has two, see `_conflict`.
_HTTP_TO_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    412: "FAILED_PRECONDITION",
    416: "OUT_OF_RANGE",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRY_AFTER = urllib3.Retry(retry_after_max=30 * 86_400)  # its own most is 6 h, shorter than a daily quota's
_DENIED = re.compile(r"""['"]status['"]: ?['"]PERMISSION_DENIED['"]""")  # in an answer that google-auth only quotes
_DETAILS = "google.rpc."  # the package of google/rpc/error_details.proto


@dataclass(frozen=True, slots=True)
class Violation:
    """One line of a PreconditionFailure, BadRequest or QuotaFailure."""

    subject: str  # the field, project or resource that offends
    description: str
    type: str = ""  # e.g. constraints/run.allowedIngress; only preconditions have one


@dataclass(eq=False)
class GoogleError(Exception):
    """A failed call to Google Cloud.

    `status` is a canonical name such as PERMISSION_DENIED. `http_status` is None when the connection itself
    failed or the failure is an operation's. `reason`, `domain` and `metadata` come from google.rpc.ErrorInfo,
    `retry_after_s` from google.rpc.RetryInfo or the Retry-After header.
    """

    method: str
    status: str
    message: str
    http_status: int | None = None
    reason: str = ""
    domain: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    help_links: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        """Hand all fields to Exception, so that the error survives pickling between processes."""
        super().__init__(*(getattr(self, each.name) for each in fields(self)))

    def __str__(self) -> str:
        return f"{self.method}: {self.status}: {self.message}"


# Plain OSError is left out on purpose: a missing local file is not a cloud error.
_CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    ssl.SSLError,
    http.client.HTTPException,
    httpx.TransportError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
)
_FOREIGN: tuple[type[Exception], ...] = (
    core.GoogleAPIError,
    auth.GoogleAuthError,
    grpc.RpcError,
    storage.InvalidResponse,
    storage.DataCorruption,
    httpx.HTTPStatusError,
    *_CONNECTION_ERRORS,
)
_TIMEOUTS = (TimeoutError, requests.Timeout, httpx.TimeoutException, urllib3.exceptions.TimeoutError)


def is_foreign(exc: BaseException) -> bool:
    """Whether `from_exception` has something to say about this exception."""
    return isinstance(exc, (GoogleError, *_FOREIGN))


@contextmanager
def translated(method: str) -> Iterator[None]:
    """Raise every failure of the enclosed call as a `GoogleError`. Works around `await` as well.

    `method` names the call for people and for the circuit breaker, e.g. `run.Services.UpdateService`.
    """
    try:
        yield
    except _FOREIGN as exc:
        raise from_exception(exc, method) from exc


def from_exception(exc: BaseException, method: str) -> GoogleError:
    """The same failure as plain values; an exception that no client raises becomes UNKNOWN."""
    if isinstance(exc, GoogleError):
        return exc
    if isinstance(exc, core.RetryError):
        return _from_retry_error(exc, method)
    if isinstance(exc, core.GoogleAPICallError):
        return _from_call_error(exc, method)
    if isinstance(exc, grpc.RpcError) and hasattr(exc, "code"):
        return _from_call_error(core.from_grpc_error(exc), method)
    if isinstance(exc, auth.GoogleAuthError):
        return _from_auth_error(exc, method)
    response = getattr(exc, "response", None)
    if response is not None and hasattr(response, "status_code"):
        return _from_response(response, str(exc), method)
    return GoogleError(method, _status_without_answer(exc), _text(exc))


def from_status(status: status_pb2.Status, method: str) -> GoogleError:
    """The error of a finished long-running operation; details of unknown types are skipped."""
    details = [_unpacked(each) for each in status.details]
    return _build(method, _code_name(status.code), status.message, details, http_status=None)


def _from_retry_error(exc: core.RetryError, method: str) -> GoogleError:
    """The client's own retry ran out of time: what matters is what it kept running into."""
    if exc.cause is None:
        return GoogleError(method, "DEADLINE_EXCEEDED", _text(exc))
    return from_exception(exc.cause, method)


def _from_call_error(exc: core.GoogleAPICallError, method: str) -> GoogleError:
    operation_status = next((each for each in exc.errors if isinstance(each, status_pb2.Status)), None)
    if operation_status is not None:
        return from_status(operation_status, method)
    details = [_as_dict(each) for each in exc.details]
    return _build(
        method,
        _status_of(exc),
        exc.message,
        details,
        http_status=exc.code,
        retry_after_s=_retry_after_s(getattr(exc.response, "headers", None)),
    )


def _from_response(response: requests.Response | httpx.Response, text: str, method: str) -> GoogleError:
    """An HTTP error that no client has parsed; what is read here is the same in both libraries."""
    body = _error_body(response)
    return _build(
        method,
        body.get("status") or _status_of_http(response.status_code, text),
        body.get("message") or text,
        body.get("details", ()),
        http_status=response.status_code,
        retry_after_s=_retry_after_s(response.headers),
    )


def _from_auth_error(exc: auth.GoogleAuthError, method: str) -> GoogleError:
    """No credentials, or credentials that Google turned down, or the token server could not be reached."""
    if isinstance(exc, auth.TransportError) or exc.retryable:
        return GoogleError(method, "UNAVAILABLE", _text(exc))
    if _DENIED.search(_text(exc)):  # the credentials are good, but not allowed to act as whom they name
        return GoogleError(method, "PERMISSION_DENIED", _text(exc), http_status=403)
    reason = "CREDENTIALS_MISSING" if isinstance(exc, auth.DefaultCredentialsError) else "ACCESS_TOKEN_EXPIRED"
    return GoogleError(method, "UNAUTHENTICATED", _text(exc), reason=reason, domain="googleapis.com")


def _build(
    method: str,
    status: str,
    message: str,
    details: Sequence[Mapping[str, Any]],
    *,
    http_status: int | None,
    retry_after_s: float | None = None,
) -> GoogleError:
    by_type: dict[str, list[Mapping[str, Any]]] = {}
    for detail in details:
        by_type.setdefault(str(detail.get("@type", "")).rpartition(_DETAILS)[2], []).append(detail)
    info = next(iter(by_type.get("ErrorInfo", ())), {})
    delay = next(iter(by_type.get("RetryInfo", ())), {}).get("retryDelay", "")
    return GoogleError(
        method,
        status,
        message,
        http_status=http_status,
        reason=info.get("reason", ""),
        domain=info.get("domain", ""),
        metadata=dict(info.get("metadata", {})),
        help_links=tuple(link["url"] for help_ in by_type.get("Help", ()) for link in help_.get("links", ())),
        violations=tuple(_violations(by_type)),
        retry_after_s=float(delay.removesuffix("s")) if delay else retry_after_s,
    )


def _violations(by_type: Mapping[str, list[Mapping[str, Any]]]) -> Iterator[Violation]:
    for kind in ("PreconditionFailure", "QuotaFailure"):
        for detail in by_type.get(kind, ()):
            for each in detail.get("violations", ()):
                yield Violation(each.get("subject", ""), each.get("description", ""), each.get("type", ""))
    for detail in by_type.get("BadRequest", ()):
        for each in detail.get("fieldViolations", ()):
            yield Violation(each.get("field", ""), each.get("description", ""))


def _as_dict(detail: Any) -> Mapping[str, Any]:
    """gRPC gives messages, REST gives JSON: both become JSON."""
    if isinstance(detail, Message):
        known = detail.DESCRIPTOR.file.package == error_details_pb2.DESCRIPTOR.package
        return {**json_format.MessageToDict(detail), "@type": detail.DESCRIPTOR.full_name} if known else {}
    return detail if isinstance(detail, Mapping) else {}


def _unpacked(detail: Any) -> Mapping[str, Any]:
    """One google.protobuf.Any of a Status."""
    name = detail.TypeName().removeprefix(_DETAILS)
    if name not in error_details_pb2.DESCRIPTOR.message_types_by_name:
        return {}
    message = getattr(error_details_pb2, name)()
    detail.Unpack(message)
    return _as_dict(message)


def _status_of(exc: core.GoogleAPICallError) -> str:
    """The canonical name; the body of a REST answer says it exactly, the exception's class only roughly."""
    body = _error_body(exc.response)
    if body.get("status"):
        return str(body["status"])
    if exc.grpc_status_code is not None:
        return str(exc.grpc_status_code.name)
    return _status_of_http(exc.code, exc.message)


def _status_of_http(code: int | None, text: str) -> str:
    if code == http.client.CONFLICT:
        return "ALREADY_EXISTS" if "already" in text else "ABORTED"
    return _HTTP_TO_STATUS.get(code or 0, "UNKNOWN")


def _error_body(response: Any) -> dict[str, Any]:
    """The `error` object of a Google JSON error answer, empty if the answer is anything else."""
    try:
        error = response.json()["error"]
    except (AttributeError, TypeError, KeyError, ValueError):
        return {}
    return error if isinstance(error, dict) else {}


def _retry_after_s(headers: Mapping[str, str] | None) -> float | None:
    """RFC 9110, section 10.2.3: a number of seconds, or a date."""
    try:
        return _RETRY_AFTER.parse_retry_after((headers or {}).get("Retry-After", ""))
    except urllib3.exceptions.InvalidHeader:
        return None


def _status_without_answer(exc: BaseException) -> str:
    if isinstance(exc, _TIMEOUTS):
        return "DEADLINE_EXCEEDED"
    if isinstance(exc, (*_CONNECTION_ERRORS, storage.DataCorruption)):
        return "UNAVAILABLE"
    return "UNKNOWN"


def _code_name(code: int) -> str:
    return str(code_pb2.Code.Name(code)) if code in code_pb2.Code.values() else "UNKNOWN"


def _text(exc: BaseException) -> str:
    """The exception's message, never empty: bare socket time-outs say nothing themselves."""
    return str(exc) or type(exc).__name__
