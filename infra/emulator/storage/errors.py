"""Cloud Storage's error answers: an HTTP status, a reason and a text of its own (not google.rpc.Status)."""

from __future__ import annotations

import json
from typing import Literal
from xml.sax.saxutils import escape

from google.rpc.code_pb2 import Code

from infra.emulator.errors import RpcError

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


class StorageError(RpcError):
    """`reason` is the JSON API's (notFound), `xml_code` the XML API's (NoSuchKey).

    `form` is how to answer: the JSON API's way, the XML API's, or the bare text that a download answers.
    https://cloud.google.com/storage/docs/json_api/v1/status-codes
    """

    form: Literal["json", "xml", "text"] = "json"

    def __init__(self, status: int, reason: str, message: str, xml_code: str, location: str = "") -> None:
        super().__init__(CODES[status], message)
        self._reason, self._message, self._xml_code, self._location = reason, message, xml_code, location
        self._http_status = status

    @property
    def http_status(self) -> int:
        return self._http_status

    def rendered(self) -> tuple[str, str]:
        if self.form == "xml":
            return self._xml(), "application/xml"
        if self.form == "text":
            return self._message, "text/plain"
        entry = {"message": self._message, "domain": "global", "reason": self._reason}
        if self._location:
            entry |= {"locationType": "header", "location": self._location}
        body = {"code": self._http_status, "message": self._message, "errors": [entry]}
        return json.dumps({"error": body}), "application/json"

    def _xml(self) -> str:
        message = XML_MESSAGES.get(self._xml_code, self._message)
        return (
            f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{self._xml_code}</Code>"
            f"<Message>{escape(message)}</Message><Details>{escape(self._message)}</Details></Error>"
        )


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
