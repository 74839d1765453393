"""What a release leaves in the Prefect UI: its summary, links to the services, and tables for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping

from prefect.artifacts import acreate_link_artifact, acreate_markdown_artifact
from prefect.logging import get_run_logger

from tasks.cost.limit import Estimate
from tasks.cost.limit import rows as rows_of
from tasks.model import Release, Request, Serving
from tasks.orchestration.artifacts import key, table
from tasks.orchestration.stage import Progress


def summary(release: Release, seconds: Mapping[str, float], cost: Estimate | None = None) -> str:
    """The release summary in Markdown."""
    version = release.version
    proofs = {proof.place: proof for proof in release.proofs}
    images = {image.service: image for image in release.images}
    lines = [
        f"# {release.app} {version.version} -> {release.environment}",
        "",
        f"Commit `{version.commit}` ({version.kind}).",
        "",
        "| service | region | URL | p50 ms | p95 ms | revision | image |",
        "|---|---|---|---:|---:|---|---|",
    ]
    for live in release.live:
        proof, image = proofs[live.place], images[live.place.service]
        lines.append(
            f"| {live.place.service} | {live.place.region} | {live.url} "
            f"| {proof.p50_ms or '-'} | {proof.p95_ms or '-'} | `{live.revision}` "
            f"| `{image.digest[:19]}`, built {'by this run' if image.built else 'earlier'} |"
        )
    if cost and cost.parts:
        lines += ["", *_cost(cost)]
    lines += ["", "| stage | seconds |", "|---|---:|"]
    lines += [f"| {stage} | {taken:.1f} |" for stage, taken in seconds.items()]
    return "\n".join(lines)


def _cost(cost: Estimate) -> list[str]:
    found = rows_of(cost)
    head = [f"| {' | '.join(found[0])} |", f"|---{'|---:' * (len(found[0]) - 1)}|"]
    said = "What it costs by Google's price list, before free tiers, discounts, network and storage:"
    return [said, "", *head, *(f"| {' | '.join(row.values())} |" for row in found)]


async def report(request: Request, release: Release, progress: Progress, cost: Estimate | None = None) -> None:
    """Summary, links to the services, and the table of these that other programs read. As `report_stages`."""
    text = summary(release, progress.seconds, cost)
    name = key(request.app, request.environment, "release")
    await _shown(acreate_markdown_artifact(text, key=name, description=progress.title))  # stands first
    await _shown(
        asyncio.gather(
            *(_link(request, live) for live in release.live),
            table(request, "services", rows(release), f"{progress.title}: what serves now"),
        )
    )


async def report_stages(request: Request, progress: Progress) -> None:
    """The table of seconds, once all stages have ended.

    What Prefect does not take is logged: the release stands, whether it can be shown or not.
    """
    stages = [{"stage": name, "seconds": round(seconds, 2)} for name, seconds in progress.seconds.items()]
    await _shown(table(request, "stages", stages, f"{progress.title}: seconds of each stage"))


async def _shown(work: Awaitable[object]) -> None:
    try:
        await work
    except Exception as error:
        get_run_logger().warning("released, but that cannot all be shown: %s", error)


async def _link(request: Request, live: Serving) -> None:
    name = key(request.app, request.environment, live.place.service, live.place.region)
    said = f"Where {live.place} answers"
    await acreate_link_artifact(live.url, link_text=str(live.place), key=name, description=said)


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
