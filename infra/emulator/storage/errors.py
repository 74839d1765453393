"""Cloud Storage's error answers: an HTTP status, a reason and a text of its own (not google.rpc.Status)."""

from __future__ import annotations

from google.rpc.code_pb2 import Code

from infra.emulator.errors import RpcError

# HTTP status -> the canonical code that callers inside the emulator (a build fetching its source) see.
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ALREADY_EXISTS,
    410: Code.NOT_FOUND,
    412: Code.FAILED_PRECONDITION,
    416: Code.OUT_OF_RANGE,
}
TAKEN = (
    "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
    "Please select a different name and try again."
)


class StorageError(RpcError):
    """`reason` is the JSON API's (notFound), `xml_code` the XML API's (NoSuchKey).

    https://cloud.google.com/storage/docs/json_api/v1/status-codes
    """

    def __init__(self, status: int, reason: str, message: str, xml_code: str = "", location: str = "") -> None:
        super().__init__(CODES[status], message)
        self.reason, self.message, self.xml_code, self.location = reason, message, xml_code, location
        self._http_status = status

    @property
    def http_status(self) -> int:
        return self._http_status


def no_bucket() -> StorageError:
    return StorageError(404, "notFound", "The specified bucket does not exist.", "NoSuchBucket")


def no_object(bucket: str, name: str) -> StorageError:
    return StorageError(404, "notFound", f"No such object: {bucket}/{name}", "NoSuchKey")


def bucket_exists(*, own: bool) -> StorageError:
    if own:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        return StorageError(409, "conflict", message, "BucketAlreadyOwnedByYou")
    return StorageError(409, "conflict", TAKEN, "BucketAlreadyExists")


def precondition_failed(header: str = "If-Match") -> StorageError:
    message = "At least one of the pre-conditions you specified did not hold."
    return StorageError(412, "conditionNotMet", message, "PreconditionFailed", header)


def bad_request(message: str, reason: str = "invalid") -> StorageError:
    return StorageError(400, reason, message, "InvalidArgument")


def forbidden(principal: str, permission: str) -> StorageError:
    kind = {"buckets": "bucket", "objects": "object"}.get(permission.split(".")[1], "resource")
    who = principal or "Anonymous caller"
    message = (
        f"{who} does not have {permission} access to the Google Cloud Storage {kind}. "
        f"Permission '{permission}' denied on resource (or it may not exist)."
    )
    return StorageError(403 if principal else 401, "forbidden" if principal else "required", message, "AccessDenied")
