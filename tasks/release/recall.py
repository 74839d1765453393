"""The request of an environment from what its releases have left behind, without the repository.

Every release keeps slipway.yaml in its record, without values of variables. Where an environment's records are is
written into a Prefect variable, once for each repository and environment: neither the git host nor HEAD is needed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import get_client
from prefect.client.orchestration import PrefectClient
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.variables import Variable
from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_until
from tasks.manifest.manifest import Manifest
from tasks.model import Request
from tasks.orchestration.step import step
from tasks.request.request import choose, read_request
from tasks.source.source import Source

PREFIX = "slipway_"
PAGE = 200  # as many as Prefect gives at once


class Remembered(BaseModel):
    """Where the records of an environment are, and the Prefect variable that says so."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    app: str
    bucket: str
    environment: str


@step("remember where the records are", attempts=3)
async def remember(source: Source, request: Request) -> None:
    """Raises nothing that a release would fail by: the repository knows it too."""
    found = {"app": request.app, "bucket": request.settings.bucket, "environment": request.environment}
    try:
        await Variable.aset(variable_of(source, request.environment), found, overwrite=True)
    except Exception as error:  # whatever Prefect's client says
        get_run_logger().warning("a rollback will need the repository: %s", error)


async def read_released(source: Source, environment: str, folder: Path) -> Request:
    """As the newest good release left it; from the repository where that is unknown. Raises as `read_request` does."""
    return await recall(source, environment, folder) or await read_request(source, environment, [], folder)


async def is_remembered(source: Source, environment: str) -> bool:
    """Whether anything was released there: it is remembered before the first record is written."""
    return bool(await Variable.aget(variable_of(source, environment), default={}))


@step("recall the request", attempts=3)
async def recall(source: Source, environment: str, folder: Path) -> Request | None:
    """None where no release is remembered, or its record keeps no slipway.yaml that can be read nowadays."""
    name = variable_of(source, environment)
    kept: object = await Variable.aget(name, default={})
    if not isinstance(kept, dict) or not kept:
        return None
    where = Remembered(name=name, app=kept["app"], bucket=kept["bucket"], environment=environment)
    return await read_remembered(where, folder)


@step("look where anything was ever released", attempts=3)
async def remembered(page: int = PAGE) -> list[Remembered]:
    """Every environment that a release has been to, however long ago; not those of a Slipway that did not say which."""
    async with get_client() as client:
        return await read_all(client, page)


async def read_all(client: PrefectClient, page: int = PAGE) -> list[Remembered]:
    """The same where no run is."""
    found: list[Any] = []
    while len(found) % page == 0:
        wanted = {"limit": page, "offset": len(found), "variables": {"name": {"like_": PREFIX}}}
        some = (await client.request("POST", "/variables/filter", json=wanted)).json()
        if not some:
            break
        found += some
    ours = (each for each in found if each["name"].startswith(PREFIX) and isinstance(each["value"], dict))
    return [
        Remembered(name=each["name"], **each["value"])
        for each in ours
        if {"app", "bucket", "environment"} <= each["value"].keys()
    ]


async def read_remembered(where: Remembered, folder: Path) -> Request | None:
    """The request from the records alone; None where they keep no slipway.yaml that can be read nowadays."""
    environment = where.environment
    history = await read_until(where.bucket, where.app, environment, lambda found: any(map(is_proven, found)))
    text = manifest_of(history)
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


def is_proven(record: ReleaseRecord) -> bool:
    """Whether it released what its slipway.yaml says."""
    return bool(record.manifest) and record.state is State.RELEASED


def manifest_of(history: Sequence[ReleaseRecord]) -> dict[str, Any] | None:
    """slipway.yaml as the newest good release left it, since a failed one may have named another project or bucket;
    as the newest of all where none was good. `history` is newest first.
    """
    known = [record for record in history if record.manifest]
    found = next(filter(is_proven, known), next(iter(known), None))
    return found.manifest if found else None


def variable_of(source: Source, environment: str) -> str:
    """The name of the Prefect variable: lower-case letters, digits and '_'."""
    repository = hashlib.sha256(source.place.encode()).hexdigest()[:16]
    return f"{PREFIX}{repository}_{re.sub('[^a-z0-9]', '_', environment.lower())}"
