"""Cloud Storage's error answers: an HTTP status, a reason and a text of its own (not google.rpc.Status)."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

from aiohttp import web
from google.protobuf import json_format
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.errors import RpcError

# HTTP status -> the canonical code that callers inside the emulator (a build fetching its source) see.
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    412: Code.FAILED_PRECONDITION,
    416: Code.OUT_OF_RANGE,
}
# https://cloud.google.com/storage/docs/xml-api/reference-status
XML_MESSAGES = {
    "AccessDenied": "Access denied.",
    "InvalidArgument": "Invalid argument.",
    "InvalidRange": "The requested range cannot be satisfied.",
    "NoSuchKey": "The specified key does not exist.",
}


# What the JSON API calls errors that other parts of the cloud raise: a fault, a disabled API, a bad token.
REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    429: "rateLimitExceeded",
}
XML_CODES = {400: "InvalidArgument", 401: "AuthenticationRequired", 403: "AccessDenied", 429: "SlowDown"}


class StorageError(RpcError):
    """`reason` is the JSON API's (notFound), `xml_code` the XML API's (NoSuchKey).

    https://cloud.google.com/storage/docs/json_api/v1/status-codes
    """

    def __init__(self, status: int, reason: str, message: str, xml_code: str, location: str = "") -> None:
        super().__init__(CODES.get(status, Code.UNKNOWN), message)
        self.reason, self.message, self.xml_code, self.location = reason, message, xml_code, location
        self._http_status = status

    @classmethod
    def of(cls, error: RpcError) -> StorageError:
        """Any error as one of Storage, with its details kept."""
        if isinstance(error, StorageError):
            return error
        status = error.http_status
        made = cls(
            status, REASONS.get(status, "backendError"), error.status.message, XML_CODES.get(status, "InternalError")
        )
        made.status.CopyFrom(error.status)
        return made

    @property
    def http_status(self) -> int:
        return self._http_status

    def rendered(self) -> tuple[str, str]:
        entry = {"message": self.message, "domain": "global", "reason": self.reason}
        if self.location:
            entry |= {"locationType": "header", "location": self.location}
        body = {"code": self.http_status, "message": self.message, "errors": [entry]}
        if details := json_format.MessageToDict(self.status).get("details"):
            body["details"] = details
        return json.dumps({"error": body}), "application/json"


class TextForm(RpcError):
    """The bare text that a download answers."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(error.status.code, error.message)
        self.error, self.headers = error, error.headers

    @property
    def http_status(self) -> int:
        return self.error.http_status

    def rendered(self) -> tuple[str, str]:
        return self.error.message, "text/plain"


class XmlForm(TextForm):
    """https://cloud.google.com/storage/docs/xml-api/reference-status#errorformat"""

    def rendered(self) -> tuple[str, str]:
        error = self.error
        return (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{error.xml_code}</Code>"
            f"<Message>{escape(XML_MESSAGES.get(error.xml_code, error.message))}</Message>"
            f"<Details>{escape(error.message)}</Details></Error>"
        ), "application/xml"


def json_form(error: RpcError, request: web.Request) -> RpcError:
    """How the JSON API answers an error: to a download in text."""
    found = StorageError.of(error)
    return TextForm(found) if request.query.get("alt") == "media" else found


def xml_form(error: RpcError, _: web.Request) -> RpcError:
    return XmlForm(StorageError.of(error))


def no_bucket() -> StorageError:
    return StorageError(404, "notFound", "The specified bucket does not exist.", "NoSuchBucket")


def no_object(bucket: str, name: str) -> StorageError:
    return StorageError(404, "notFound", f"No such object: {bucket}/{name}", "NoSuchKey")


def bucket_exists(*, own: bool) -> StorageError:
    if own:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        return StorageError(409, "conflict", message, "BucketAlreadyOwnedByYou")
    message = (
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
        "Please select a different name and try again."
    )
    return StorageError(409, "conflict", message, "BucketAlreadyExists")


def bucket_not_empty() -> StorageError:
    return StorageError(409, "conflict", "The bucket you tried to delete is not empty.", "BucketNotEmpty")


def precondition_failed(header: str = "If-Match", message: str = "") -> StorageError:
    message = message or "At least one of the pre-conditions you specified did not hold."
    return StorageError(412, "conditionNotMet", message, "PreconditionFailed", header)


def bad_request(message: str, reason: str = "invalid") -> StorageError:
    return StorageError(400, reason, message, "InvalidArgument")


def forbidden(principal: str, permission: str, kind: str) -> StorageError:
    """`kind` is what the permission is needed on: Google Cloud Storage bucket, … object, Google Cloud project."""
    message = (
        f"{principal or 'Anonymous caller'} does not have {permission} access to the {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    if principal:
        return StorageError(403, "forbidden", message, "AccessDenied")
    return StorageError(401, "required", message, "AccessDenied", "Authorization")


def billing_disabled() -> StorageError:
    message = "The billing account for the owning project is disabled in state absent"
    return StorageError(403, "accountDisabled", message, "UserProjectAccountProblem", "Authorization")


def range_not_satisfiable() -> StorageError:
    return StorageError(416, "requestedRangeNotSatisfiable", "Request range not satisfiable", "InvalidRange", "Range")
