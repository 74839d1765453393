"""What Cloud Run fills in where a job says nothing, and what it refuses.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs, .../v2/TaskTemplate
"""

from __future__ import annotations

import re
from typing import Any

from google.api.launch_stage_pb2 import LaunchStage
from google.cloud import run_v2

from infra.emulator.kernel.errors import invalid
from infra.emulator.run.defaults import CPU, MEMORY, default_account
from infra.emulator.run.jobs.names import JobName
from infra.emulator.run.limits import check_sidecar, check_task_resources
from infra.emulator.run.validation import RESERVED_ENV, check_annotations, check_container, check_labels
from infra.emulator.run.wiring import check_wiring

JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
TOKEN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
MAX_RETRIES, TASK_TIMEOUT_S = 3, 600
MOST_TASKS = 10_000  # https://cloud.google.com/run/quotas#jobs
MOST_RETRIES = 10  # https://cloud.google.com/run/docs/configuring/max-retries
LONGEST_S = 7 * 24 * 3600  # https://cloud.google.com/run/docs/configuring/task-timeout
MOST_CONTAINERS = 10
NAME_AND_TOKEN = 63  # the lengths of a job's name and of a token stay below, together
# https://cloud.google.com/run/docs/container-contract#jobs-env-vars
RESERVED = (
    *RESERVED_ENV, "CLOUD_RUN_JOB", "CLOUD_RUN_EXECUTION", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_ATTEMPT",
    "CLOUD_RUN_TASK_COUNT",
)  # fmt: skip
GEN1, GEN2 = (
    run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN1,
    run_v2.ExecutionEnvironment.EXECUTION_ENVIRONMENT_GEN2,
)


def fill_in(job: Any, project_number: int) -> None:
    """Completes a job in place; what is set stays."""
    job.launch_stage = job.launch_stage or LaunchStage.GA
    job.template.task_count = job.template.task_count or 1
    task = job.template.template
    task.service_account = task.service_account or default_account(project_number)
    task.execution_environment = task.execution_environment or GEN2
    if task.WhichOneof("retries") is None:
        task.max_retries = MAX_RETRIES
    if not task.HasField("timeout"):
        task.timeout.FromSeconds(TASK_TIMEOUT_S)
    for container in task.containers[:1]:
        limits = container.resources.limits
        limits["memory"] = limits["memory"] or MEMORY
        limits["cpu"] = limits["cpu"] or CPU


def check_job_id(job_id: str) -> None:
    if not JOB_ID.fullmatch(job_id):
        field = "Violation in CreateJobRequest.job_id"
        rule = (
            "only lowercase, digits, and hyphens; must begin with letter, and cannot end with hyphen; "
            "must be less than 64 characters."
        )
        raise invalid(f"{field}: {rule}", field)


def check_job(job: Any) -> None:
    """Checks what a caller wrote, after defaults were filled in. Raises INVALID_ARGUMENT."""
    name = JobName.parse(job.name)
    for holder, field in ((job, "job"), (job.template, "job.template")):
        check_labels(holder.labels, f"{field}.labels")
        check_annotations(holder.annotations, f"{field}.annotations")
    check_execution(job.template, "job.template")
    _check_task(job.template.template, "job.template.template", name.location)
    token = token_of(job)
    if token and not (TOKEN.fullmatch(token) and len(name.id) + len(token) < NAME_AND_TOKEN):
        field = f"job.{job.WhichOneof('create_execution')}"
        raise invalid(
            f"{field}: only lowercase letters, digits and hyphens; together with the job's name less than "
            f"{NAME_AND_TOKEN} characters.",
            field,
        )


def check_execution(execution: Any, field: str) -> None:
    """What an execution's template, or an execution with its overrides, must have."""
    if not 1 <= execution.task_count <= MOST_TASKS:
        raise invalid(f"{field}.task_count: must be between 1 and {MOST_TASKS}.", f"{field}.task_count")
    if execution.parallelism < 0:
        raise invalid(f"{field}.parallelism: must not be negative.", f"{field}.parallelism")
    if not 0 < execution.template.timeout.ToTimedelta().total_seconds() <= LONGEST_S:
        where = f"{field}.template.timeout"
        raise invalid(f"{where}: must be between 1s and {LONGEST_S}s.", where)


def token_of(job: Any) -> str:
    """The suffix of the execution that is to begin with this version of the job; '' if none is."""
    which = job.WhichOneof("create_execution")
    return str(getattr(job, which)) if which else ""


def _check_task(task: Any, field: str, location: str) -> None:
    if not 1 <= len(task.containers) <= MOST_CONTAINERS:
        raise invalid(f"{field}.containers: must have 1 to {MOST_CONTAINERS} containers.", f"{field}.containers")
    for index, container in enumerate(task.containers):
        where = f"{field}.containers[{index}]"
        check_container(container, where, RESERVED)
        if container.ports:  # https://cloud.google.com/run/docs/container-contract#port-jobs
            raise invalid(f"{where}.ports: is not supported for jobs, which take no requests.", f"{where}.ports")
        if container.HasField("liveness_probe"):
            raise invalid(f"{where}.liveness_probe: is not supported for jobs.", f"{where}.liveness_probe")
        if index == 0:
            check_task_resources(task, container, where)
        else:
            check_sidecar(container, where)
    check_wiring(task, field, location)
    if not 0 <= task.max_retries <= MOST_RETRIES:
        raise invalid(f"{field}.max_retries: must be between 0 and {MOST_RETRIES}.", f"{field}.max_retries")
    if task.execution_environment == GEN1:
        where = f"{field}.execution_environment"
        raise invalid(f"{where}: jobs run in the second generation execution environment only.", where)
