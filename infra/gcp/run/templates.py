"""What a Cloud Run template makes a workload need: services, revisions, jobs and worker pools have it alike."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Template:
    """What else has to exist for its containers to start."""

    images: tuple[str, ...] = ()  # of all containers, as they are written there
    account: str = ""  # e-mail of the service account that they run as
    buckets: tuple[str, ...] = ()  # names of those that are mounted as volumes
    secrets: tuple[tuple[str, str], ...] = ()  # as they are written there, with the version: a number, alias or latest
    databases: tuple[str, ...] = ()  # project:region:instance of Cloud SQL
    network: bool = False  # whether they have a way into a VPC network
    tags: tuple[str, ...] = ()  # network tags that they have there
    words: tuple[str, ...] = ()  # values of variables and arguments, which may name anything


@dataclass(frozen=True, slots=True)
class Workload:
    """A job, an execution or an instance."""

    name: str  # projects/{project}/locations/{region}/jobs/{id}, or the like
    template: Template


def template_of(found: Any) -> Template:
    """`found`: the protobuf message that has containers: a revision template, a revision, a job's task template."""
    return Template(
        images=tuple(dict.fromkeys(container.image for container in found.containers if container.image)),
        account=found.service_account,
        buckets=tuple(volume.gcs.bucket for volume in found.volumes if volume.gcs.bucket),
        secrets=tuple(dict.fromkeys((*_read_by(found.containers), *_mounted(found.volumes)))),
        databases=tuple(name for volume in found.volumes for name in volume.cloud_sql_instance.instances),
        network=bool(found.vpc_access.connector or found.vpc_access.network_interfaces),
        tags=tuple(tag for each in found.vpc_access.network_interfaces for tag in each.tags),
        words=tuple(dict.fromkeys(map(sys.intern, _words(found.containers)))),  # many templates say the same
    )


def _read_by(containers: Iterable[Any]) -> Iterable[tuple[str, str]]:
    """https://cloud.google.com/run/docs/reference/rest/v2/Container#SecretKeySelector"""
    references = (each.value_source.secret_key_ref for container in containers for each in container.env)
    return ((each.secret, each.version or LATEST) for each in references if each.secret)


def _mounted(volumes: Iterable[Any]) -> Iterable[tuple[str, str]]:
    """A volume without items has the newest: .../rest/v2/projects.locations.services#SecretVolumeSource"""
    for volume in volumes:
        if name := volume.secret.secret:
            yield from ((name, item.version or LATEST) for item in volume.secret.items)
            if not volume.secret.items:
                yield name, LATEST


def _words(containers: Iterable[Any]) -> Iterable[str]:
    for container in containers:
        yield from (each.value for each in container.env if each.value)
        yield from container.args
