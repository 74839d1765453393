"""One service in one region as it is now: read once, and asked by all who decide about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from prefect.logging import get_run_logger

from infra.gcp.run import services
from infra.gcp.run.revisions import Revision, list_revisions
from infra.gcp.run.services import RunService
from infra.gcp.run.traffic import TrafficTarget
from tasks.failures.cause import Transient
from tasks.failures.errors import NOT_MOVED, TrafficConflict
from tasks.model import Place, Request, Snapshot
from tasks.names.labels import MANAGED_BY
from tasks.names.references import PLACEHOLDER_IMAGE, ImageReference
from tasks.rollout.split import Traffic, stable_revision

SETTLE_TIMEOUT_S = 360.0  # as long as the change that is waited for may take


@dataclass(frozen=True, slots=True)
class LiveService:
    """What Cloud Run said of a service at one moment."""

    place: Place
    service: RunService
    revisions: tuple[Revision, ...]  # newest first

    @property
    def traffic(self) -> Traffic:
        """What the next split is decided from."""
        latest = self.service.latest_ready
        return Traffic(
            targets=self.service.traffic,
            latest_ready=latest or None,
            ready=frozenset(revision.name for revision in self.revisions if revision.ready),
            observed=tuple(TrafficTarget(t.revision or latest, t.percent, t.tag) for t in self.service.live),
        )

    @property
    def snapshot(self) -> Snapshot:
        """What is live, by revision name, before anything is written."""
        placeholders = {revision.name for revision in self.revisions if is_placeholder(revision)}
        stable = stable_revision(self.traffic) or ""
        return Snapshot(
            place=self.place,
            traffic=self.service.traffic,
            latest_ready=self.service.latest_ready,
            serving="" if stable in placeholders else stable,
            serving_url="" if stable in placeholders else self.service.uri_of(stable),
            serving_tag="" if stable in placeholders else self.service.tag_of(stable),
            config=self.service.body.get("template", {}),
            stands_for=self.service.latest_created,
            service=self.service,
            whole=self.service.whole,
        )

    @property
    def own_tags(self) -> frozenset[str]:
        """The traffic tags that our own revisions say they were given."""
        ours = (revision.labels for revision in self.revisions if _is_ours(revision))
        return frozenset(labels["slipway-tag"] for labels in ours if "slipway-tag" in labels)

    def own_tag_of(self, revision: str) -> str:
        """The one that a revision of ours was given when it was released; '' where it tells of none."""
        found = self.revision(revision)
        return found.labels.get("slipway-tag", "") if found and _is_ours(found) else ""

    @property
    def strangers_latest(self) -> bool:
        """Whether somebody else made the newest revision that is ready."""
        latest = self.revision(self.service.latest_ready)
        return latest is not None and not _is_ours(latest) and not is_placeholder(latest)

    def revision(self, name: str) -> Revision | None:
        return next((revision for revision in self.revisions if revision.name == name), None)


async def read_live(request: Request, place: Place) -> LiveService:
    """Raises TrafficConflict if the service is gone."""
    name = request.run_service(place)
    service, revisions = await asyncio.gather(services.get_service(name), list_revisions(name))
    if service is None:
        raise TrafficConflict(
            f"The Cloud Run service {name} does not exist any more.",
            "ship with the deploy flow, which creates it anew.",
            state=NOT_MOVED,
        )
    return LiveService(place, service, tuple(revisions))


async def read_settled(request: Request, place: Place) -> LiveService:
    """The same once nothing is going on there: an earlier attempt, or somebody else, may have begun a change."""
    live = await read_live(request, place)
    if live.service.settled:
        return live
    get_run_logger().info("%s is being changed: waiting", live.service.id)
    await services.until_settled(live.service, SETTLE_TIMEOUT_S)
    return await read_live(request, place)


def refuse_others(request: Request, service: RunService) -> None:
    """Raises TrafficConflict for a service that another app or environment has shipped: its name fits both."""
    theirs = {name: service.labels.get(name, "") for name in request.labels}
    if theirs["managed-by"] == MANAGED_BY and theirs != request.labels:
        owner = f"{theirs['slipway-app']} in {theirs['slipway-environment']}"
        raise TrafficConflict(
            f"The Cloud Run service {service.name} is {owner}, not {request.app} in {request.environment}.",
            "give each environment a project, regions or names of its own, and apps names that do not begin alike; if "
            "it was renamed, set the labels slipway-app and slipway-environment with gcloud run services update.",
            state=NOT_MOVED,
        )


def changed_meanwhile(service: str) -> TrafficConflict:
    return TrafficConflict(
        f"Somebody else changed {service} while this run was working on it.",
        "look at who changed it (gcloud run services describe shows the last modifier), then start the run again.",
        state="Their change was not overwritten.",
        transient=Transient.MAYBE,
    )


def _is_ours(revision: Revision) -> bool:
    return revision.labels.get("managed-by") == MANAGED_BY


def is_placeholder(revision: Revision) -> bool:
    return ImageReference.parse(revision.image).uri == PLACEHOLDER_IMAGE
