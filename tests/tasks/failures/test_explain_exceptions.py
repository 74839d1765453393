"""An exception of any layer is explained by what is certain about it: Google's reason, its status, then its words."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError, Violation
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import CloudError, ReleaseBusy, SlipwayError
from tasks.failures.explain import explain, to_slipway


def google(status: str, message: str = "no words", **more: Any) -> GoogleError:
    return GoogleError("run.Services.GetService", status, message, **more)


@pytest.mark.parametrize(
    ("status", "cause", "transient"),
    [
        ("UNAVAILABLE", Cause.SERVICE_UNAVAILABLE, Transient.YES),
        ("INTERNAL", Cause.SERVICE_UNAVAILABLE, Transient.YES),
        ("DEADLINE_EXCEEDED", Cause.TIMEOUT, Transient.YES),
        ("RESOURCE_EXHAUSTED", Cause.RATE_LIMIT, Transient.YES),
        ("ABORTED", Cause.CONFLICT, Transient.YES),
        ("PERMISSION_DENIED", Cause.PERMISSION, Transient.NO),
        ("UNAUTHENTICATED", Cause.PERMISSION, Transient.NO),
        ("NOT_FOUND", Cause.NOT_FOUND, Transient.NO),
        ("ALREADY_EXISTS", Cause.ALREADY_EXISTS, Transient.NO),
        ("INVALID_ARGUMENT", Cause.INVALID_CONFIG, Transient.NO),
        ("FAILED_PRECONDITION", Cause.INVALID_CONFIG, Transient.NO),
        ("OUT_OF_RANGE", Cause.INVALID_CONFIG, Transient.NO),
        ("UNIMPLEMENTED", Cause.INVALID_CONFIG, Transient.NO),
        ("CANCELLED", Cause.OTHER, Transient.NO),
        ("DATA_LOSS", Cause.OTHER, Transient.NO),
        ("UNKNOWN", Cause.OTHER, Transient.NO),
    ],
)
def test_a_bare_status_has_a_cause(status: str, cause: Cause, transient: Transient) -> None:
    said = explain(google(status))
    assert (said.cause, said.transient) == (cause, transient)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("SERVICE_DISABLED", Cause.API_DISABLED),
        ("BILLING_DISABLED", Cause.BILLING),
        ("UREQ_PROJECT_BILLING_NOT_FOUND", Cause.BILLING),
        ("IAM_PERMISSION_DENIED", Cause.PERMISSION),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", Cause.PERMISSION),
        ("ACCESS_TOKEN_EXPIRED", Cause.PERMISSION),
        ("CREDENTIALS_MISSING", Cause.PERMISSION),
        ("API_KEY_INVALID", Cause.PERMISSION),
        ("API_KEY_SERVICE_BLOCKED", Cause.PERMISSION),
        ("USER_PROJECT_DENIED", Cause.PERMISSION),
        ("CONSUMER_SUSPENDED", Cause.PERMISSION),
        ("CONSUMER_INVALID", Cause.NOT_FOUND),
        ("RATE_LIMIT_EXCEEDED", Cause.RATE_LIMIT),
        ("RESOURCE_QUOTA_EXCEEDED", Cause.QUOTA),
        ("SECURITY_POLICY_VIOLATED", Cause.ORG_POLICY),
        ("LOCATION_ORG_POLICY_VIOLATED", Cause.ORG_POLICY),
        ("ORG_RESTRICTION_VIOLATION", Cause.ORG_POLICY),
        ("RESOURCE_USAGE_RESTRICTION_VIOLATED", Cause.ORG_POLICY),
    ],
)
def test_googles_reason_goes_before_status_and_words(reason: str, cause: Cause) -> None:
    assert explain(google("FAILED_PRECONDITION", "Image 'x' not found.", reason=reason)).cause is cause


def test_the_type_of_a_violation_goes_before_the_words() -> None:
    violation = Violation("orgpolicy:projects/p", "not here", "constraints/gcp.resourceLocations")
    said = explain(google("FAILED_PRECONDITION", "The request was not found.", violations=(violation,)))
    assert said.cause is Cause.ORG_POLICY
    assert "constraints/gcp.resourceLocations" in said.problem


@pytest.mark.parametrize(
    ("status", "message", "cause"),
    [
        ("NOT_FOUND", "Image 'gcr.io/a/b' not found.", Cause.IMAGE_MISSING),
        ("UNAVAILABLE", "failed to connect to all addresses", Cause.NETWORK),
        ("PERMISSION_DENIED", "Project x has billing disabled.", Cause.BILLING),
        ("RESOURCE_EXHAUSTED", "Maximum number of service accounts on project reached.", Cause.QUOTA),
        ("INTERNAL", "Revision 'a-1' failed to start and listen on the port", Cause.CONTAINER_PORT),
        ("NOT_FOUND", "the quota service was not found: permission denied", Cause.NOT_FOUND),
        ("DEADLINE_EXCEEDED", "permission denied on resource", Cause.TIMEOUT),
    ],
)
def test_words_refine_a_status_only_where_it_leaves_room(status: str, message: str, cause: Cause) -> None:
    assert explain(google(status, message)).cause is cause


def test_the_details_of_a_google_error_fill_the_remedy() -> None:
    error = google(
        "PERMISSION_DENIED",
        "denied",
        reason="SERVICE_DISABLED",
        metadata={"service": "run.googleapis.com", "consumer": "projects/415104041262"},
    )
    assert "gcloud services enable run.googleapis.com --project 415104041262" in explain(error).remedy


def test_exceptions_of_the_socket_layer_are_explained_too() -> None:
    assert explain(ConnectionResetError("[Errno 104] Connection reset by peer")).cause is Cause.NETWORK
    assert explain(TimeoutError()).transient is Transient.YES


def test_an_exception_group_is_explained_by_its_first_error() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [google("NOT_FOUND")]), ValueError("x")])
    assert explain(group).cause is Cause.NOT_FOUND


def test_a_bug_of_our_own_is_not_retried_nor_taken_for_the_users_container() -> None:
    with pytest.raises(TypeError) as caught:
        len(3)  # type: ignore[arg-type]
    error = to_slipway(caught.value, "Deploying web")
    assert (error.cause, error.transient) == (Cause.OTHER, Transient.NO)
    assert "Slipway itself has a bug (TypeError: object of type 'int' has no len()" in error.problem
    assert f"failures/test_explain_exceptions.py line {caught.tb.tb_lineno}" in error.problem
    assert explain("TypeError: object of type 'int' has no len()").cause is Cause.CONTAINER_CRASH  # pasted from a log


def test_an_error_of_our_own_explains_itself() -> None:
    error = ReleaseBusy("Another run deploys.", "Wait.", link="https://x", transient=Transient.YES)
    said = explain(error)
    assert (said.cause, said.transient, said.problem) == (Cause.STATE_LOCK, Transient.YES, "Another run deploys.")


def test_to_slipway_says_what_was_tried_what_is_wrong_and_what_google_said() -> None:
    error = to_slipway(google("ABORTED", "etag mismatch"), "Moving traffic of api", "Traffic is as it was.")
    assert isinstance(error, CloudError)
    assert error.problem.startswith("Moving traffic of api failed. ")
    assert "etag mismatch" in error.problem
    assert (error.cause, error.transient) == (Cause.CONFLICT, Transient.YES)
    assert error.state == "Traffic is as it was."
    assert pickle.loads(pickle.dumps(error)).transient is Transient.YES


def test_to_slipway_passes_an_error_of_our_own_through() -> None:
    error = SlipwayError("as it is")
    assert to_slipway(error, "anything") is error


@pytest.mark.parametrize(
    ("last_line", "cause"),
    [
        ("AttributeError: module 'app' has no attribute 'main'", Cause.CONTAINER_CRASH),
        ('exec: "gunicorn": executable file not found in $PATH', Cause.CONTAINER_CRASH),
        ("sh: 1: npm: not found", Cause.CONTAINER_CRASH),
        ("Listening on port 3000", Cause.CONTAINER_PORT),
        ("Connecting to quota-service (rate limit 100 per second)", Cause.CONTAINER_PORT),
    ],
)
def test_the_containers_own_last_lines_say_why_it_did_not_start(last_line: str, cause: Cause) -> None:
    error = google("INTERNAL", "Revision 'a-1' is not ready: failed to start and listen on the port defined by PORT")
    assert explain(error, log=f"starting\n{last_line}").cause is cause


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Unable to acquire impersonated credentials", "Tokens of a service account may not be made"),
        (
            "('Unable to acquire impersonated credentials', 'invalid_grant: Bad Request')",
            "No usable Google credentials",
        ),
        ("Caller does not have required permission to use project acme-prod.", "may not have calls counted against"),
        (
            "The run.googleapis.com API requires a quota project, which is not set by default.",
            "The login names no project",
        ),
    ],
)
def test_who_lacks_what_of_an_identity_is_told_apart(text: str, said: str) -> None:
    assert said in explain(text).problem
