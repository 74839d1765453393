"""What a Cloud Run template makes a workload need: services, revisions, jobs and worker pools have it alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """What else has to exist for its containers to start."""

    images: tuple[str, ...] = ()  # of all containers, as they are written there
    account: str = ""  # e-mail of the service account that they run as
    buckets: tuple[str, ...] = ()  # names of those that are mounted as volumes


@dataclass(frozen=True, slots=True)
class Workload:
    """A job, a worker pool, or a revision of a worker pool."""

    name: str  # projects/{project}/locations/{region}/jobs/{id} or …/workerPools/{id}[/revisions/{id}]
    template: Template


def template_of(found: Any) -> Template:
    """`found`: the protobuf message that has containers: a revision template, a revision, a job's task template."""
    return Template(
        images=tuple(dict.fromkeys(container.image for container in found.containers if container.image)),
        account=found.service_account,
        buckets=tuple(volume.gcs.bucket for volume in found.volumes if volume.gcs.bucket),
    )
