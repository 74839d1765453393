"""How executions and tasks stand, in the words of Cloud Run.

https://cloud.google.com/run/docs/reference/rest/v2/Condition
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.cloud import run_v2
from google.rpc.code_pb2 import Code

from infra.emulator.run.conditions import CommonReason, ConditionPb, Failure, State
from infra.emulator.run.jobs.names import JobName

ExecutionReason = run_v2.Condition.ExecutionReason


@dataclass(frozen=True, slots=True)
class Result:
    """How one attempt of a task has ended."""

    code: int = Code.OK  # google.rpc.Code
    exit_code: int = 0
    message: str = ""

    @property
    def good(self) -> bool:
        return bool(self.code == Code.OK)


EXITED = "The container exited with an error."  # as gcloud shows it: googlecodelabs/feedback#1369
TIMED_OUT = "The configured timeout was reached."


def by_exit(exit_code: int) -> Result:
    return Result() if exit_code == 0 else Result(Code.INTERNAL, exit_code, EXITED)


def timed_out() -> Result:
    return Result(Code.DEADLINE_EXCEEDED, 0, TIMED_OUT)


def cancelled() -> Result:
    return Result(Code.CANCELLED, 0, "The execution was cancelled.")


def set_condition(message: Any, kind: str, state: int, text: str = "", reason: int = 0, common: int = 0) -> None:
    """Sets the condition of that kind, in its place; its transition is now unless its state was so already.

    reason: an ExecutionReason; common: a CommonReason.
    """
    found = next((c for c in message.conditions if c.type_ == kind), None)
    if found is None:
        found = message.conditions.add(type_=kind)
    changed = found.state != state
    since = ConditionPb.FromString(found.SerializeToString()).last_transition_time
    found.CopyFrom(ConditionPb(type_=kind, state=state, message=text))
    if reason:
        found.execution_reason = reason
    if common:
        found.reason = common
    if changed:
        found.last_transition_time.GetCurrentTime()
    else:
        found.last_transition_time.CopyFrom(since)


def pend(message: Any, *kinds: str) -> None:
    for kind in kinds:
        set_condition(message, kind, State.CONDITION_PENDING)


def succeed(message: Any, kind: str, text: str = "") -> None:
    set_condition(message, kind, State.CONDITION_SUCCEEDED, text)


def fail(message: Any, kind: str, text: str, reason: int = 0, common: int = 0) -> None:
    set_condition(message, kind, State.CONDITION_FAILED, text, reason, common)


def condition_of(message: Any, kind: str) -> Any:
    return next((c for c in message.conditions if c.type_ == kind), ConditionPb())


def image_missing(image: str) -> Failure:
    return Failure(f"Image '{image}' not found.", CommonReason.CONTAINER_MISSING)


def secret_unreadable(field: str, version: str, account: str, *, denied: bool) -> Failure:
    text = f"{field}: Secret {version} was not found"
    if denied:
        text = (
            f"{field}: Permission denied on secret: {version} for Revision service account {account}. The service "
            "account used must be granted the 'Secret Manager Secret Accessor' role "
            "(roles/secretmanager.secretAccessor) at the secret, project or higher level."
        )
    return Failure(text, CommonReason.SECRETS_ACCESS_CHECK_FAILED)


def log_uri(execution: str) -> str:
    """Where the console shows an execution's log."""
    name = JobName.parse(execution)
    query = (
        'resource.type="cloud_run_job"\n'
        f'resource.labels.job_name="{name.id}"\nlabels."run.googleapis.com/execution_name"="{execution.split("/")[7]}"'
    )
    return f"https://console.cloud.google.com/logs/viewer?project={name.project}&advancedFilter={quote(query, safe='')}"
