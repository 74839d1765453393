"""What a clean-up covers: one app, in every environment of its slipway.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prefect.runtime import flow_run

from infra.gcp.storage import buckets
from tasks.failures.cause import Cause
from tasks.failures.errors import NeverReleased
from tasks.manifest.manifest import Manifest
from tasks.model import Request
from tasks.orchestration.step import step
from tasks.request.request import choose
from tasks.source.described import read_manifest
from tasks.source.source import Source, open_source


@dataclass(frozen=True, slots=True)
class Scope:
    """One request per environment. An image may serve all of them, so none can be cleaned up without the others."""

    requests: tuple[Request, ...]
    bucket: str  # that plans, journals and memory are kept in

    @property
    def app(self) -> str:
        return self.requests[0].app

    @property
    def manifest(self) -> Manifest:
        return self.requests[0].manifest


@step("read the request", attempts=3)
async def read_scope(source: Source, folder: Path) -> Scope:
    """Raises SourceError or ManifestError; SlipwayError when nothing was ever released from this repository."""
    checkout = await open_source(source, folder / "checkout")
    manifest = await read_manifest(checkout)
    requests = tuple(
        Request(
            app=manifest.app,
            environment=name,
            services=choose(manifest, ()),
            manifest=manifest,
            settings=settings,
            folder=checkout,
            scratch=folder,
            run_id=str(flow_run.id),
        )
        for name, settings in manifest.environments.items()
    )
    return Scope(requests, await _bucket(requests))


async def _bucket(requests: tuple[Request, ...]) -> str:
    for request in requests:
        if await buckets.get_bucket(request.settings.bucket) is not None:
            return request.settings.bucket
    raise NeverReleased(
        f"{requests[0].app} was never released: none of its environments has a bucket yet.",
        "ship it with the deploy flow first.",
        Cause.NOT_FOUND,
    )
