"""Reads how everything of the app is set, and keeps it in the bucket before a release changes any of it.

In `backups/` of the bucket each release has a folder: a file for each service, job and worker pool as
`gcloud run … replace` takes it, beside it its IAM policy as `gcloud run … set-iam-policy` takes it, the jobs of Cloud
Scheduler as its API takes them, and last `backup.json`, which lists them all: without it the backup is not whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml
from prefect.logging import get_run_logger

from infra.gcp import scheduler, secrets
from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import exported
from infra.gcp.storage import objects
from tasks.backup import form
from tasks.backup.form import Kept
from tasks.failures.errors import NOT_DEPLOYED
from tasks.failures.explain import explain
from tasks.history.backup_record import BackupRecord
from tasks.history.record import ReleaseRecord
from tasks.history.store import record_name
from tasks.model import Request
from tasks.names.labels import label_value, owner_of
from tasks.names.resources import last
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

KINDS = ("services", "jobs", "workerPools")
ENVIRONMENT = "slipway-environment"  # the label
INDEX = "backup.json"
# What Cloud Scheduler says where it is not used, or where it is not at all.
NOT_THERE = ("PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT")


@dataclass(frozen=True, slots=True)
class Whole:
    """All that was found of the app."""

    things: tuple[Kept, ...]
    policies: Mapping[str, Mapping[str, Any]]  # by the path of what each is of
    notes: tuple[str, ...] = ()
    secrets: Mapping[str, int] = field(default_factory=dict)  # which version the latest is of those taken so


@step("keep how everything is set", attempts=3, timeout_s=180, state=NOT_DEPLOYED)
async def keep_configuration(request: Request, release: ReleaseRecord) -> BackupRecord:
    """Writes it into the bucket. Raises CloudError for what cannot be read or written."""
    whole = await read_whole(request)
    folder = folder_of(release)
    bucket = request.settings.bucket
    await all_of([objects.write_bytes(bucket, f"{folder}{name}", *file, None) for name, file in files(whole)])
    when = datetime.now(UTC)
    index = json.dumps(index_of(release, whole, when), indent=2).encode()
    await objects.write_bytes(bucket, f"{folder}{INDEX}", index, "application/json", None)
    get_run_logger().info("kept how %d things are set in gs://%s/%s", len(whole.things), bucket, folder)
    return BackupRecord(
        configuration=f"gs://{bucket}/{folder}",
        things=tuple(each.path for each in whole.things),
        notes=whole.notes,
        when=when,
    )


def folder_of(release: ReleaseRecord) -> str:
    """Named like the record, so that the one is found by the other."""
    return beside(record_name(release))


def beside(record: str) -> str:
    """The folder that belongs to the record of this name."""
    return f"backups/{record.removeprefix('releases/').removesuffix('.json')}/"


async def read_whole(request: Request) -> Whole:
    """All of the app in the environment's regions, also what this release does not touch. Raises GoogleError."""
    project, regions = request.project, regions_of(request)
    asked = [(kind, region) for kind in KINDS for region in regions]
    found = await all_of([exported.list_objects(kind, project, region) for kind, region in asked])
    own = {place: _own(request, *place, those) for place, those in zip(asked, found, strict=True)}
    things = tuple(form.kept(*place, each) for place, those in own.items() for each in those)
    policies = await all_of([exported.policy_of(f"projects/{project}/{each.resource}") for each in things])
    by_path = {each.path: policy for each, policy in zip(things, policies, strict=True)}
    urls = [*form.urls_of(each for (kind, _), those in own.items() if kind == "services" for each in those)]
    jobs = [f"projects/{project}/{each.resource}" for each in things if each.kind == "jobs"]
    schedules, notes = await _schedules(project, regions, urls, jobs)
    latest, unknown = await _latest(project, things)
    notes += unknown
    notes += tuple(f"{each.path}: {each.note}" for each in (*things, *schedules) if each.note)
    return Whole((*things, *schedules), by_path, notes, latest)


def regions_of(request: Request) -> list[str]:
    """Where the app has anything."""
    beside = [*map(request.run_job, request.manifest.jobs), *map(request.run_pool, request.manifest.worker_pools)]
    return list(dict.fromkeys([*request.settings.regions, *(name.split("/")[3] for name in beside)]))


def _own(request: Request, kind: str, region: str, found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What slipway.yaml names, and what says by its labels that it is the app's in this environment."""
    names = _names(request, kind, region)
    return [each for each in found if each["metadata"]["name"] in names or _is_labelled(request, each)]


def _names(request: Request, kind: str, region: str) -> set[str]:
    if kind == "services":
        return {last(request.run_service(request.place(name, region))) for name in request.manifest.services}
    jobs, pools = request.manifest.jobs, request.manifest.worker_pools
    full = map(request.run_job, jobs) if kind == "jobs" else map(request.run_pool, pools)
    return {last(name) for name in full if name.split("/")[3] == region}


def _is_labelled(request: Request, found: Mapping[str, Any]) -> bool:
    labels = found["metadata"].get("labels") or {}
    ours = owner_of(labels, request.app) == request.app
    return ours and labels.get(ENVIRONMENT) == label_value(request.environment)


async def _schedules(
    project: str, regions: Sequence[str], urls: Sequence[str], jobs: Sequence[str]
) -> tuple[tuple[Kept, ...], tuple[str, ...]]:
    """The jobs of Cloud Scheduler that call the app, and what is not known of them."""
    found: list[Kept] = []
    notes: list[str] = []
    for region in regions:
        try:
            listed = await scheduler.list_jobs(project, region)
        except GoogleError as error:
            if error.status not in NOT_THERE:
                raise
            notes.append(f"jobs of Cloud Scheduler in {region} are not in it: {explain(error).said}")
            continue
        found += [form.schedule(region, each) for each in listed if form.calls(each, urls, jobs)]
    return tuple(found), tuple(notes)


async def _latest(project: str, things: Iterable[Kept]) -> tuple[dict[str, int], tuple[str, ...]]:
    """The number of each secret's version that whoever takes the latest has now, and what is not known of them."""
    taken = (name for each in things for name, version in form.secrets(each.body) if version == "latest")
    found: dict[str, int] = {}
    notes = []
    for name in sorted(set(taken)):
        try:
            number = await secrets.enabled_version(project, name)
        except GoogleError as error:
            notes.append(f"the latest version of the secret {name} is not known: {explain(error).said}")
            continue
        if number is not None:
            found[name] = number
    return found, tuple(notes)


def files(whole: Whole) -> list[tuple[str, tuple[bytes, str]]]:
    """Name below the folder -> content and media type."""
    found = []
    for each in whole.things:
        text = json.dumps(each.body, indent=2) if each.path.endswith(".json") else yaml.safe_dump(each.body)
        kind = "application/json" if each.path.endswith(".json") else "application/yaml"
        found.append((each.path, (text.encode(), kind)))
        if each.path in whole.policies:
            policy = json.dumps(whole.policies[each.path], indent=2).encode()
            found.append((policy_path(each.path), (policy, "application/json")))
    return found


def policy_path(path: str) -> str:
    return f"{path.removesuffix('.yaml')}.policy.json"


def index_of(release: ReleaseRecord, whole: Whole, when: datetime) -> dict[str, Any]:
    return {
        "app": release.app,
        "environment": release.environment,
        "before": release.version,
        "run": release.run_id,
        "when": when.isoformat(),
        "files": [name for name, _ in files(whole)],
        "latest": dict(whole.secrets),
        "notes": list(whole.notes),
    }
