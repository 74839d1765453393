"""What a run was asked for: the parameters checked again, the repository opened, the manifest read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from infra.gcp.calls.attempts import calling
from tasks.failures.errors import ParameterError
from tasks.failures.redact import redact
from tasks.manifest.manifest import MANIFEST_NAME, Manifest
from tasks.model import Request
from tasks.names.naming import service_name
from tasks.orchestration.credentials import use_credentials_block
from tasks.orchestration.mirror import mirrored
from tasks.orchestration.plain_errors import say_errors_plainly
from tasks.orchestration.sinks import VARIABLE, sinks_of
from tasks.orchestration.step import step
from tasks.source.described import read_manifest
from tasks.source.source import Source, open_source


@asynccontextmanager
async def workspace() -> AsyncIterator[Path]:
    """A folder for the run's files; within, calls to Google carry the run's id and its log tells of repeated ones."""
    say_errors_plainly()
    await use_credentials_block()
    sinks, unknown = sinks_of(os.environ.get(VARIABLE, ""))
    if unknown:
        get_run_logger().warning("%s names no place for logs: %s", VARIABLE, ", ".join(unknown))
    async with mirrored(sinks):
        with TemporaryDirectory(prefix="slipway-") as folder, calling(f"slipway/{flow_run.id}", _notice):
            yield Path(folder)


def _notice(said: str) -> None:
    get_run_logger().warning("%s", redact(said))


@step("read the request", attempts=3)
async def read_request(source: Source, environment: str, services: Sequence[str], folder: Path) -> Request:
    """Raises ParameterError, SourceError or ManifestError, before anything in the cloud is asked."""
    checkout = await open_source(source, folder / "checkout")
    manifest = await read_manifest(checkout)
    return Request(
        app=manifest.app,
        environment=environment,
        services=choose(manifest, services),
        manifest=manifest,
        settings=manifest.environment(environment),
        folder=checkout,
        scratch=folder,
        run_id=str(flow_run.id),
    )


def choose(manifest: Manifest, wanted: Sequence[str]) -> tuple[str, ...]:
    """The services to ship, dependencies first; all of them when none is named."""
    unknown = sorted(set(wanted) - set(manifest.services))
    if unknown:
        raise ParameterError(
            f"services: {', '.join(unknown)} not in {MANIFEST_NAME}, which knows {', '.join(manifest.services)}.",
            "start the run with services of the manifest, or with none to ship all.",
        )
    for name, service in manifest.services.items():
        if not service.run_name:
            service_name(manifest.app, name)  # raises when the name is too long for Cloud Run
    chosen = set(wanted) or set(manifest.services)
    return tuple(name for wave in manifest.order() for name in wave if name in chosen)
