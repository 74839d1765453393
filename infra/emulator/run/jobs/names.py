"""Names of jobs, executions and tasks, and those that Cloud Run makes up itself."""

from __future__ import annotations

import secrets

from infra.emulator.run.names import SUFFIX_LETTERS, Name


class JobName(Name):
    __slots__ = ()
    kind = "jobs"

    def execution(self, suffix: str) -> str:
        return f"{self}/executions/{self.id}-{suffix}"


def new_suffix() -> str:
    """migrate-x7k2p, as Run names an execution that nobody gave a token."""
    return "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


def task_of(execution: str, index: int) -> str:
    """The full name of one of an execution's tasks."""
    return f"{execution}/tasks/{execution.rpartition('/')[2]}-task{index}"


def execution_of(task: str) -> str:
    return task.partition("/tasks/")[0]
