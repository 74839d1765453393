"""Cloud Functions, of both generations: those of the second are services of Cloud Run as well.

https://cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.cloud import functions_v2

from infra.gcp.calls.clients import client
from infra.gcp.calls.paging import each


async def told(project: str) -> dict[str, list[str]]:
    """The secrets that each function reads, by version, and the values of its variables, by its full name.

    Raises GoogleError, also where a region has not answered.
    """
    request = {"parent": f"projects/{project}/locations/-"}
    method = client(functions_v2.FunctionServiceAsyncClient).list_functions
    found = each("cloudfunctions.functions.list", method, request, "functions", unreachable="unreachable")
    return {function.name: list(_texts(function)) async for function in found}


def _texts(function: Any) -> Iterator[str]:
    service = function.service_config
    for variable in service.secret_environment_variables:
        yield f"projects/{variable.project_id}/secrets/{variable.secret}/versions/{variable.version}"
    for volume in service.secret_volumes:
        for version in volume.versions:
            yield f"projects/{volume.project_id}/secrets/{volume.secret}/versions/{version.version}"
    yield from service.environment_variables.values()
    yield from function.build_config.environment_variables.values()
