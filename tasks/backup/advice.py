"""What was kept before a release, in words and commands for whoever has to put more back than traffic. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.history.backup_record import BackupRecord, DatabaseRecord
from tasks.history.record import ReleaseRecord

COMMANDS = {
    "services": "gcloud run services replace",
    "jobs": "gcloud run jobs replace",
    "workerPools": "gcloud beta run worker-pools replace",
}
MOST = 10  # commands; who needs more sees how they go on


def named(release: ReleaseRecord) -> str:
    """In a few words; '' where nothing was kept."""
    kept = release.backup or BackupRecord()
    said = [f"its configuration in {kept.configuration}"] if kept.configuration else []
    said += [_of_database(each) for each in kept.databases if each.kept]
    return f"Kept before {release.version}: {'; '.join(said)}" if said else ""


def _of_database(database: DatabaseRecord) -> str:
    if database.kind == "mark":
        return f"database {database.id}, as it was at {database.at:%Y-%m-%dT%H:%M:%SZ}"
    return f"database {database.id} in {database.backup or 'a backup'}"


def also(release: ReleaseRecord) -> str:
    """The same as one more sentence."""
    return f" {said}." if (said := named(release)) else ""


def advice(release: ReleaseRecord, project: str) -> tuple[str, ...]:
    """Lines, without any where nothing was kept."""
    said, kept = named(release), release.backup
    if kept is None or not said:
        return ()
    commands = list(_commands(kept, project))
    more = [f"and so on for {len(commands) - MOST} more"] if len(commands) > MOST else []
    copied = [f"gcloud storage cp --recursive {kept.configuration} ."] if kept.configuration else []
    return (
        f"{said}. Traffic, jobs and worker pools are given back without it; for what else has changed:",
        *(_restored(each) for each in kept.databases if each.kept),
        *copied,
        *commands[:MOST],
        *more,
        *kept.notes,
    )


def _restored(database: DatabaseRecord) -> str:
    """A mark into a new instance, beside what is there; a backup can only replace what an instance holds."""
    where = f"--project={database.project}"
    if database.kind == "mark":
        moment = f"--point-in-time={database.at:%Y-%m-%dT%H:%M:%S.%fZ}"
        return f"gcloud sql instances clone {database.id} {database.id}-restored {moment} {where}"
    return (
        f"gcloud sql backups restore {database.backup} --restore-instance=ANOTHER_INSTANCE {where}"
        "  # replaces all that ANOTHER_INSTANCE holds"
    )


def _commands(kept: BackupRecord, project: str) -> Iterator[str]:
    """Run where the folder was copied to."""
    folder = kept.configuration.rstrip("/").rpartition("/")[2]
    for path in kept.things:
        region, kind, _ = path.split("/")
        if kind in COMMANDS:
            # of worker pools gcloud reads the region from the file alone
            where = "" if kind == "workerPools" else f" --region={region}"
            yield f"{COMMANDS[kind]} {folder}/{path}{where} --project={project}"
