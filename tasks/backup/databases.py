"""Keeps what Cloud SQL instances hold before a release: the moment to go back to, or a backup of its own.

Begun before the build, since a backup takes minutes to hours, and awaited before the first hook, which may migrate.
What was begun is found again by its description, which names the run: after a crash, or when Google's answer was lost.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from prefect.logging import get_run_logger

from infra.gcp import sql_backups
from infra.gcp.calls.errors import GoogleError
from infra.gcp.calls.polling import until
from infra.gcp.sql_backups import Database
from tasks.failures.cause import Cause
from tasks.failures.errors import NOT_DEPLOYED, NoBackup
from tasks.history.backup_record import DatabaseRecord
from tasks.history.record import ReleaseRecord
from tasks.manifest.backup import Backup
from tasks.model import Request
from tasks.orchestration.gather import all_of
from tasks.orchestration.step import step

FRESH = timedelta(minutes=10)
DAY_S = 86400.0
FIRST_POLL_S, LONGEST_POLL_S = 0.2, 15.0
LONGEST_S = 12.5 * 3600
POINT_IN_TIME = (
    "switch point-in-time recovery on (gcloud sql instances patch INSTANCE --enable-point-in-time-recovery, for MySQL "
    "--enable-bin-log), or say `mode: auto` under `backup` of the environment."
)


def instances(request: Request, rules: Backup) -> tuple[str, ...]:
    """Full names: those that `backup` names, else those that what is released reaches."""
    if rules.mode == "never":
        return ()
    reached = (each for part in request.parts for each in part.cloudsql_instances)
    return tuple(dict.fromkeys(full_name(each) for each in (reached if rules.cloudsql is None else rules.cloudsql)))


def full_name(connection: str) -> str:
    """project:region:name as the API has it; projects of a domain have a colon of their own."""
    project, _, name = connection.rsplit(":", 2)
    return f"projects/{project}/instances/{name}"


def description(release: ReleaseRecord) -> str:
    """Of its backups; no other run's are called so."""
    return f"slipway: before {release.app} {release.version} in {release.environment}, run {release.run_id}"


@step("begin to keep the databases", attempts=3, timeout_s=180, state="No build was started.")
async def begin(names: tuple[str, ...], rules: Backup, called: str) -> tuple[DatabaseRecord, ...]:
    """Raises NoBackup or CloudError."""
    return await all_of([_begin(name, rules, called) for name in names])


async def _begin(name: str, rules: Backup, called: str) -> DatabaseRecord:
    found = await sql_backups.get_database(name)
    if found is None:
        raise NoBackup(f"There is no Cloud SQL instance {name}.", "correct its name in slipway.yaml.", Cause.NOT_FOUND)
    recoverable = found.recoverable and rules.mode in ("auto", "mark")
    latest = await sql_backups.latest_recovery(name) if recoverable else None
    kind = how(rules.mode, found, latest, datetime.now(UTC))
    record = DatabaseRecord(instance=name, kind=kind)
    return record if kind == "mark" else await _ask(record, rules, called)


def how(mode: str, database: Database, latest: datetime | None, now: datetime) -> Literal["mark", "backup"]:
    """What is kept of a database. latest: the last moment that it can go back to. Raises NoBackup. Pure."""
    fresh = database.recoverable and latest is not None and now - latest <= FRESH
    if mode == "backup" or (mode == "auto" and not fresh):
        if not database.runs:
            raise NoBackup(
                f"{database.name} is stopped: no backup can be made of it.",
                "start it, or say `mode: never` under `backup` of the environment.",
                Cause.CONFLICT,
            )
        return "backup"
    if not fresh:
        off = "point-in-time recovery is off" if not database.recoverable else f"it has come to {latest or 'nowhere'}"
        raise NoBackup(f"{database.name} cannot be brought back to this moment: {off}.", POINT_IN_TIME, Cause.CONFLICT)
    return "mark"


async def _ask(record: DatabaseRecord, rules: Backup, called: str) -> DatabaseRecord:
    """Has the backup begun, once; where another operation is in the way it is asked for again when it is awaited."""
    known = await sql_backups.find_backup(record.instance, called)
    if known is not None and known.state == "FAILED":
        raise NoBackup(f"The backup {known.name} of {record.instance} failed: {known.error or 'nobody says why'}")
    if known is not None:
        return record.model_copy(update={"backup": known.name, "kept": known.state == "SUCCESSFUL"})
    try:
        begun = await sql_backups.begin_backup(record.instance, called, int(rules.keep_s // DAY_S))
    except GoogleError as error:
        if not sql_backups.is_busy(error):
            raise
        return record
    return record.model_copy(update={"operation": begun.name, "backup": begun.backup})


@step("wait for the databases to be kept", timeout_s=LONGEST_S, state=NOT_DEPLOYED)
async def finish(begun: tuple[DatabaseRecord, ...], rules: Backup, called: str) -> tuple[DatabaseRecord, ...]:
    """All kept; marks are of the moment when the last backup was done. Raises NoBackup or CloudError."""
    backups = [each for each in begun if each.kind != "mark"]
    if backups:
        get_run_logger().info("waiting for backups of %s", ", ".join(each.instance for each in backups))
    done = await all_of([_finish(each, rules, called) for each in backups])
    now = datetime.now(UTC)
    marks = [each.model_copy(update={"at": now, "kept": True}) for each in begun if each.kind == "mark"]
    return (*marks, *done)


async def _finish(record: DatabaseRecord, rules: Backup, called: str) -> DatabaseRecord:
    async def further() -> bool:
        nonlocal record
        record = await _further(record, rules, called)
        return record.kept

    try:
        await until(further, limit_s=rules.wait_s, pause_s=FIRST_POLL_S, longest_s=LONGEST_POLL_S)
    except TimeoutError:
        raise NoBackup(
            f"The backup of {record.instance} was not done after {rules.wait_s:g} s.",
            "start the run again when it is; `backup.wait` of the environment says how long to wait.",
            Cause.TIMEOUT,
        ) from None
    return record


async def _further(record: DatabaseRecord, rules: Backup, called: str) -> DatabaseRecord:
    if record.kept or not record.operation:
        return record if record.kept else await _ask(record, rules, called)
    seen = await sql_backups.get_operation(record.operation)
    if seen.done and seen.error:
        raise NoBackup(f"The backup of {record.instance} failed: {seen.error}")
    backup = seen.backup or record.backup
    return record.model_copy(update={"kept": seen.done, "backup": backup})
