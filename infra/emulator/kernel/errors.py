"""Google's error answers: a canonical status code, a message and typed details (google.rpc.*)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from google.rpc.code_pb2 import Code

# https://cloud.google.com/apis/design/errors#handling_errors
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class RpcError(Exception):
    """What a handler raises to answer with an error; both doors turn it into their own form."""

    def __init__(self, code: int, message: str, *details: Message) -> None:
        super().__init__(message)
        self.headers: dict[str, str] = {}  # to send along over REST
        self.status = status_pb2.Status(code=code, message=message)
        for detail in details:
            self.status.details.add().Pack(detail)

    @property
    def http_status(self) -> int:
        return HTTP_STATUS[self.status.code]

    def rendered(self) -> tuple[str, str]:
        """The answer's body and media type: the form of https://cloud.google.com/apis/design/errors#http_mapping."""
        status = json_format.MessageToDict(self.status)
        body = {"code": self.http_status, "message": self.status.message, "status": Code.Name(self.status.code)}
        if details := status.get("details"):
            body["details"] = details
        return json.dumps({"error": body}), "application/json"


def error_info(reason: str, domain: str, **metadata: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def not_found(message: str = "Requested entity was not found.") -> RpcError:
    return RpcError(Code.NOT_FOUND, message)


def already_exists(message: str) -> RpcError:
    return RpcError(Code.ALREADY_EXISTS, message)


def aborted(message: str) -> RpcError:
    return RpcError(Code.ABORTED, message)


def failed_precondition(message: str, *details: Message) -> RpcError:
    return RpcError(Code.FAILED_PRECONDITION, message, *details)


def invalid(message: str, field: str = "") -> RpcError:
    if not field:
        return RpcError(Code.INVALID_ARGUMENT, message)
    request = error_details_pb2.BadRequest()
    # gcloud shows the field before the description: it is not to be named twice
    request.field_violations.add(field=field, description=message.removeprefix(f"{field}: "))
    return RpcError(Code.INVALID_ARGUMENT, message, request)


def unimplemented(what: str) -> RpcError:
    return RpcError(Code.UNIMPLEMENTED, f"{what.lstrip('/')} is not emulated by the local Google Cloud.")


def api_not_emulated(host: str, emulated: Iterable[str]) -> RpcError:
    """What no API of Google's ever answers: that it is the local cloud, and not the caller, that lacks something."""
    known = ", ".join(emulated)
    text = f"The API {host} is not emulated by the local Google Cloud, which has {known}."
    return RpcError(Code.UNIMPLEMENTED, text)


def unauthenticated() -> RpcError:
    return RpcError(
        Code.UNAUTHENTICATED,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED", "googleapis.com"),
    )


def permission_denied(permission: str, resource: str, service: str) -> RpcError:
    """`service` is the API's host, e.g. artifactregistry.googleapis.com, which is also the ErrorInfo domain."""
    return RpcError(
        Code.PERMISSION_DENIED,
        f"Permission '{permission}' denied on resource '//{service}/{resource}' (or it may not exist).",
        error_info("IAM_PERMISSION_DENIED", service, permission=permission, resource=resource),
    )


def service_disabled(service: str, title: str, project: str, number: int) -> RpcError:
    """What any call answers while its API is off; the text is the one real projects show."""
    url = f"https://console.developers.google.com/apis/api/{service}/overview?project={project}"
    message = (
        f"{title} has not been used in project {project} before or it is disabled. Enable it by visiting {url} then "
        "retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems "
        "and retry."
    )
    info = _not_enabled("SERVICE_DISABLED", service, title, number, url)
    return RpcError(Code.PERMISSION_DENIED, message, info, _help("Google developers console API activation", url))


def billing_disabled(service: str, title: str, project: str, number: int) -> RpcError:
    """What a call that costs money answers while the project has no billing account."""
    url = f"https://console.developers.google.com/billing/enable?project={project}"
    message = (
        f"This API method requires billing to be enabled. Please enable billing on project #{number} by visiting {url} "
        "then retry. If you enabled billing for this project recently, wait a few minutes for the action to propagate "
        "to our systems and retry."
    )
    info = _not_enabled("BILLING_DISABLED", service, title, number, url)
    return RpcError(Code.PERMISSION_DENIED, message, info, _help("Google developers console billing", url))


def _not_enabled(reason: str, service: str, title: str, number: int, url: str) -> error_details_pb2.ErrorInfo:
    consumer = f"projects/{number}"
    return error_info(
        reason, "googleapis.com", service=service, consumer=consumer, serviceTitle=title, activationUrl=url
    )


def _help(description: str, url: str) -> error_details_pb2.Help:
    said = error_details_pb2.Help()
    said.links.add(description=description, url=url)
    return said
