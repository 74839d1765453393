"""What people see in the Prefect UI: progress, tables, links and the release summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from prefect import get_client
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from tasks.model import Release, Request, Version
from tasks.orchestration.stage import Progress, key


async def table(request: Request, name: str, rows: Sequence[Mapping[str, object]], title: str) -> None:
    await acreate_table_artifact(
        [dict(row) for row in rows], key=key(request.app, request.environment, name), description=title
    )


async def name_run(request: Request, version: Version) -> None:
    """The run is called by what it ships: storefront v1.4.0 -> production."""
    name = f"{request.app} {version.version} -> {request.environment}"
    async with get_client() as client:
        await client.update_flow_run(UUID(str(flow_run.id)), name=name)
    get_run_logger().info("%s is %s (%s, commit %s)", request.app, version.version, version.kind, version.commit[:12])


def summary(release: Release, seconds: Mapping[str, float]) -> str:
    """The release summary in Markdown."""
    version = release.version
    proofs = {(proof.service, proof.region): proof for proof in release.proofs}
    images = {image.service: image for image in release.images}
    lines = [
        f"# {release.app} {version.version} -> {release.environment}",
        "",
        f"Commit `{version.commit}` ({version.kind}).",
        "",
        "| service | region | URL | revision | image | built | p50 ms | p95 ms |",
        "|---|---|---|---|---|---|---:|---:|",
    ]
    for live in release.live:
        proof, image = proofs[live.service, live.region], images[live.service]
        lines.append(
            f"| {live.service} | {live.region} | {live.url} | `{live.revision}` | `{image.digest[:19]}` "
            f"| {'now' if image.built else 'before'} | {proof.p50_ms or '-'} | {proof.p95_ms or '-'} |"
        )
    lines += ["", "| stage | seconds |", "|---|---:|"]
    lines += [f"| {stage} | {taken:.1f} |" for stage, taken in seconds.items()]
    return "\n".join(lines)


async def report(request: Request, release: Release, progress: Progress) -> None:
    """Summary, links to the services, and the tables that other programs read."""
    prefix = (request.app, request.environment)
    await acreate_markdown_artifact(
        summary(release, progress.seconds), key=key(*prefix, "release"), description=progress.title
    )
    for live in release.live:
        await acreate_link_artifact(
            live.url, link_text=f"{live.service} in {live.region}", key=key(*prefix, live.service, live.region)
        )
    await table(request, "services", rows(release), f"{progress.title}: what serves now")
    await table(request, "stages", [{"stage": k, "seconds": round(v, 2)} for k, v in progress.seconds.items()], "Time")


def rows(release: Release) -> list[dict[str, str]]:
    """One row per service and region; other programs read this table, so its columns stay."""
    images = {image.service: image for image in release.images}
    return [
        {
            "service": live.service,
            "region": live.region,
            "url": live.url,
            "version": release.version.version,
            "revision": live.revision,
            "image": images[live.service].reference,
        }
        for live in release.live
    ]
