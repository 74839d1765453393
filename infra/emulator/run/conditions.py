"""Conditions of services and revisions, and the words in which Run explains a revision that does not start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.cloud import run_v2

from infra.emulator.run.names import OwnerName, PoolName, owner_of, short

ConditionPb: Any = run_v2.Condition.pb()
State = run_v2.Condition.State
CommonReason = run_v2.Condition.CommonReason
RevisionReason = run_v2.Condition.RevisionReason
TROUBLESHOOTING = "https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a revision or a route is not ready: the whole message, and one of the two kinds of reason."""

    message: str
    reason: int = 0  # Condition.CommonReason
    revision_reason: int = 0  # Condition.RevisionReason


class Unready(Exception):
    """A revision, or what it needs, cannot serve."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def condition(kind: str, state: int, failure: Failure | None = None) -> Any:
    """A condition that changes now."""
    made = ConditionPb(type_=kind, state=state)
    made.last_transition_time.GetCurrentTime()
    if failure is not None:
        made.message = failure.message
        if failure.reason:
            made.reason = failure.reason
        elif failure.revision_reason:
            made.revision_reason = failure.revision_reason
    return made


def internal(error: str) -> Failure:
    return Failure(f"Internal system error: {error}", reason=CommonReason.INTERNAL)


def image_missing(revision: str, image: str) -> Unready:
    return _unready(revision, f"Image '{image}' not found.", reason=CommonReason.CONTAINER_MISSING)


def image_denied(text: str, revision: str = "") -> Failure:
    before = f"Revision '{revision}' is not ready and cannot serve traffic. " if revision else ""
    return Failure(f"{before}{text}", CommonReason.CONTAINER_PERMISSION_DENIED)


def secret_missing(revision: str, field: str, version: str) -> Unready:
    """`field`: where the revision's specification asks for it; `version`: the secret version's full name."""
    return _unready(
        revision, f"{field}: Secret {version} was not found", reason=CommonReason.SECRETS_ACCESS_CHECK_FAILED
    )


def secret_denied(revision: str, field: str, version: str, account: str) -> Unready:
    return _unready(
        revision,
        f"{field}: Permission denied on secret: {version} for Revision service account {account}. The service account "
        "used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the "
        "secret, project or higher level.",
        reason=CommonReason.SECRETS_ACCESS_CHECK_FAILED,
    )


def not_prepared(revision: str, why: str) -> Unready:
    """The instance's files or its runtime could not be had: nothing that real Run has words for."""
    return _unready(revision, f"Cloud Run error: {why}", reason=CommonReason.INTERNAL)


def did_not_listen(revision: str, port: int) -> Unready:
    return _start_failure(
        revision,
        "The user-provided container failed to start and listen on the port defined provided by the "
        f"PORT={port} environment variable within the allocated timeout. This can happen when the container port is "
        "misconfigured or if the timeout is too short. The health check timeout can be extended.",
    )


def probe_failed(revision: str) -> Unready:
    return _start_failure(revision, "The user-provided container failed the configured startup probe checks.")


def _start_failure(revision: str, text: str) -> Unready:
    name = owner_of(revision)
    return _unready(
        revision,
        f"{text} Logs for this revision might contain more information.\n\n"
        f"Logs URL: {log_uri(name, short(revision))} \n"
        f"For more troubleshooting guidance, see {TROUBLESHOOTING}",
        revision_reason=RevisionReason.HEALTH_CHECK_CONTAINER_ERROR,
    )


def _unready(revision: str, text: str, *, reason: int = 0, revision_reason: int = 0) -> Unready:
    message = f"Revision '{short(revision)}' is not ready and cannot serve traffic. {text}"
    return Unready(Failure(message, reason, revision_reason))


def revision_gone(revision: str) -> Unready:
    """A traffic target that names no revision of the service."""
    return Unready(
        Failure(
            f"Revision '{short(revision)}' does not exist or is deleted. Update all traffic to route to currently "
            "available revisions.",
            CommonReason.REVISION_FAILED,
        )
    )


def log_uri(owner: OwnerName, revision: str) -> str:
    """Where the console shows a revision's log."""
    kind, label = log_resource(owner)
    query = f'resource.type="{kind}"\nresource.labels.{label}="{owner.id}"\nresource.labels.revision_name="{revision}"'
    return (
        f"https://console.cloud.google.com/logs/viewer?project={owner.project}&resource={kind}/"
        f"{label}/{owner.id}/revision_name/{revision}&advancedFilter={quote(query, safe='._')}"
    )


def log_resource(owner: OwnerName) -> tuple[str, str]:
    """The type of the monitored resource that writes its log, and the label by which it is known.

    https://cloud.google.com/logging/docs/api/v2/resource-list
    """
    if owner.kind == PoolName.kind:
        return "cloud_run_worker_pool", "worker_pool_name"
    return "cloud_run_revision", "service_name"
