"""The request of an environment from what its releases have left behind, without the repository.

Every release keeps slipway.yaml in its record, without values of variables. Where an environment's records are is
written into a Prefect variable, once for each repository and environment: neither the git host nor HEAD is needed.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.variables import Variable
from pydantic import ValidationError

from tasks.failures.errors import SlipwayError
from tasks.history.store import read_until
from tasks.manifest.manifest import Manifest
from tasks.model import Request
from tasks.orchestration.step import step
from tasks.request.request import choose, read_request
from tasks.source.source import Source


@step("remember where the records are", attempts=3)
async def remember(source: Source, request: Request) -> None:
    """Raises nothing that a release would fail by: the repository knows it too."""
    found = {"app": request.app, "bucket": request.settings.bucket}
    try:
        await Variable.aset(_name(source, request.environment), found, overwrite=True)
    except Exception as error:  # whatever Prefect's client says
        get_run_logger().warning("a rollback will need the repository: %s", error)


async def read_released(source: Source, environment: str, folder: Path) -> Request:
    """As the newest release left it; from the repository where that is not known. Raises as `read_request` does."""
    return await recall(source, environment, folder) or await read_request(source, environment, [], folder)


@step("recall the request", attempts=3)
async def recall(source: Source, environment: str, folder: Path) -> Request | None:
    """None where no release is remembered, or its record keeps no slipway.yaml that can be read nowadays."""
    kept: object = await Variable.aget(_name(source, environment), default={})
    if not isinstance(kept, dict) or not kept:
        return None
    history = await read_until(kept["bucket"], kept["app"], environment, lambda found: any(r.manifest for r in found))
    text = next((record.manifest for record in history if record.manifest), None)
    if text is None:
        return None
    try:
        manifest = Manifest.model_validate(text)
        settings = manifest.environment(environment)
    except (ValidationError, SlipwayError) as error:
        get_run_logger().warning("the slipway.yaml of the last release cannot be read any more: %s", error)
        return None
    return Request(
        app=manifest.app,
        environment=environment,
        services=choose(manifest, []),
        manifest=manifest,
        settings=settings,
        folder=folder,
        scratch=folder,
        run_id=str(flow_run.id),
    )


def _name(source: Source, environment: str) -> str:
    """Of the Prefect variable: lower-case letters, digits and '_'."""
    repository = hashlib.sha256(source.place.encode()).hexdigest()[:16]
    return f"slipway_{repository}_{re.sub('[^a-z0-9]', '_', environment.lower())}"
