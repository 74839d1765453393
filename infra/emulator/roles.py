"""Predefined IAM roles as permission patterns: the ones a deployer, a builder or a runtime account is given."""

from __future__ import annotations

ROLES: dict[str, tuple[str, ...]] = {
    "roles/owner": ("*",),
    "roles/run.invoker": ("run.routes.invoke", "run.jobs.run"),
}
