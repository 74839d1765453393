"""What a release leaves in the Prefect UI: its summary, links to the services, and tables for other programs."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact

from tasks.model import Release, Request
from tasks.orchestration.artifacts import key, table
from tasks.orchestration.stage import Progress


def summary(release: Release, seconds: Mapping[str, float]) -> str:
    """The release summary in Markdown."""
    version = release.version
    proofs = {proof.place: proof for proof in release.proofs}
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
        proof, image = proofs[live.place], images[live.place.service]
        lines.append(
            f"| {live.place.service} | {live.place.region} | {live.url} | `{live.revision}` | `{image.digest[:19]}` "
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
            live.url, link_text=str(live.place), key=key(*prefix, live.place.service, live.place.region)
        )
    await table(request, "services", rows(release), f"{progress.title}: what serves now")
    await table(request, "stages", [{"stage": k, "seconds": round(v, 2)} for k, v in progress.seconds.items()], "Time")


def rows(release: Release) -> list[dict[str, str]]:
    """One row per service and region; other programs read this table, so its columns stay."""
    images = {image.service: image for image in release.images}
    return [
        {
            "service": live.place.service,
            "region": live.place.region,
            "url": live.url,
            "version": release.version.version,
            "revision": live.revision,
            "image": images[live.place.service].reference,
        }
        for live in release.live
    ]
