"""What one execution has otherwise than its job says.

https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.jobs/run#Overrides
"""

from __future__ import annotations

from typing import Any

from infra.emulator.kernel.errors import invalid

FIELD = "overrides.container_overrides"


def overridden(template: Any, overrides: Any) -> Any:
    """A copy of the job's execution template with the overrides in it. Raises INVALID_ARGUMENT."""
    made = type(template)()
    made.CopyFrom(template)
    if overrides.task_count:
        made.task_count = overrides.task_count
    if overrides.HasField("timeout"):
        made.template.timeout.CopyFrom(overrides.timeout)
    for given in overrides.container_overrides:
        container = _container(made.template.containers, given.name)
        if given.args and given.clear_args:
            raise invalid(f"{FIELD}: args must be empty if clear_args is set.", FIELD)
        if given.args or given.clear_args:
            container.args[:] = given.args
        replaced = {variable.name for variable in given.env}
        kept = [variable for variable in container.env if variable.name not in replaced]
        del container.env[:]
        container.env.extend([*kept, *given.env])
    return made


def _container(containers: Any, name: str) -> Any:
    """The one of that name; without a name the only one."""
    if not name and len(containers) == 1:
        return containers[0]
    for container in containers:
        if container.name == name:
            return container
    raise invalid(f"{FIELD}: container '{name}' not found.", FIELD)
