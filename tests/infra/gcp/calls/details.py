"""A status with every detail that Google gives, and what an error must have kept of it."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from infra.gcp.calls.errors import GoogleError, Violation


def packed(*details: Any) -> list[any_pb2.Any]:
    answer = []
    for detail in details:
        answer.append(any_pb2.Any())
        answer[-1].Pack(detail)
    return answer


DISABLED = status_pb2.Status(
    code=code_pb2.PERMISSION_DENIED,
    message="Cloud Run Admin API has not been used in project 42 before or it is disabled.",
    details=packed(
        error_details_pb2.ErrorInfo(
            reason="SERVICE_DISABLED", domain="googleapis.com", metadata={"service": "run.googleapis.com"}
        ),
        error_details_pb2.Help(links=[error_details_pb2.Help.Link(url="https://console.example/enable")]),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3, nanos=500_000_000)),
        error_details_pb2.PreconditionFailure(
            violations=[error_details_pb2.PreconditionFailure.Violation(type="T", subject="S", description="D")]
        ),
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="name", description="too long")]
        ),
        error_details_pb2.QuotaFailure(
            violations=[error_details_pb2.QuotaFailure.Violation(subject="project:42", description="CPU")]
        ),
    ),
)


def check_details(error: GoogleError) -> None:
    assert (error.status, error.reason, error.domain) == ("PERMISSION_DENIED", "SERVICE_DISABLED", "googleapis.com")
    assert error.metadata == {"service": "run.googleapis.com"}
    assert error.help_links == ("https://console.example/enable",)
    assert error.retry_after_s == 3.5
    assert error.violations == (
        Violation("S", "D", "T"),
        Violation("project:42", "CPU"),
        Violation("name", "too long"),
    )
