"""Values that several tests start from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.history.record import ReleaseRecord, State, TargetRecord
from tasks.manifest.loading import parse_manifest
from tasks.model import Image, Request, Version, VersionKind

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MANIFEST = """
app: shop
services:
  api: {source: api, port: 9000, env: {LEVEL: info}, secrets: {KEY: key, OLD: "old:7"}, memory: 1Gi}
  web: {depends_on: [api], public: true}
environments:
  staging: {project: acme-staging, regions: [europe-west1]}
  production:
    project: acme-prod
    regions: [europe-west1, us-central1]
    service_account: runner@acme-prod.iam.gserviceaccount.com
"""


def a_request(environment: str = "production", text: str = MANIFEST, folder: Path = Path()) -> Request:
    manifest = parse_manifest(text)
    return Request(
        app=manifest.app,
        environment=environment,
        services=tuple(name for wave in manifest.order() for name in wave),
        manifest=manifest,
        settings=manifest.environment(environment),
        folder=folder,
        scratch=folder,
        run_id="0f3a6f0e-6a56-4b0c-9a35-3f6f4f0f6f0e",
    )


def a_version(version: str = "v1.4.0", kind: VersionKind = VersionKind.RELEASE, *, dirty: bool = False) -> Version:
    return Version(version, kind, "0613260" + "0" * 33, version, dirty, version)


def an_image(service: str = "api", digest: str = "sha256:" + "a" * 64) -> Image:
    return Image(service, f"europe-west1-docker.pkg.dev/acme-prod/shop/{service}", digest, "v1.4.0")


def a_record(version: str, day: int, **more: Any) -> ReleaseRecord:
    """A release of the api in one region, so many days before or after 1 January."""
    targets = (a_target("api", f"api-{version}"),)
    given: dict[str, Any] = {"state": State.RELEASED, "targets": targets, "run_id": version, **more}
    started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return ReleaseRecord(
        app="shop", environment="production", version=version, kind="release", commit="c", started=started, **given
    )


def a_target(service: str, revision: str, region: str = "europe-west1") -> TargetRecord:
    image = f"europe-west1-docker.pkg.dev/acme-staging/shop/{service}@sha256:{revision}"
    return TargetRecord(service=service, region=region, revision=revision, image=image, outcome="live")
