"""Keeps before a release what the environment's `backup` asks for, and says where it is to whoever may need it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.artifacts import acreate_markdown_artifact
from prefect.logging import get_run_logger

from tasks.backup import databases
from tasks.backup.advice import advice
from tasks.backup.configuration import keep_configuration
from tasks.failures.errors import NoBackup, SlipwayError
from tasks.history.backup_record import BackupRecord, DatabaseRecord
from tasks.history.ledger import Ledger
from tasks.history.record import ReleaseRecord
from tasks.model import Request
from tasks.orchestration.artifacts import key


async def begin_to_keep(request: Request, ledger: Ledger) -> None:
    """Begins what takes long, the backups of databases, so that it goes on beside the build. Raises NoBackup."""
    rules = request.settings.backup
    names = databases.instances(request, rules) if rules else ()
    if rules and names:
        begun: tuple[DatabaseRecord, ...] = ()
        async with unless_overridden(ledger, "Databases could not be kept"):
            begun = await databases.begin(names, rules, databases.description(ledger.release))
        await ledger.backed_up(BackupRecord(databases=begun))


@asynccontextmanager
async def kept_before(request: Request, ledger: Ledger) -> AsyncIterator[None]:
    """Within, what is to be kept is kept; when the block fails, the log says where. Raises NoBackup."""
    rules = request.settings.backup
    known = ledger.release.backup or BackupRecord()
    kept = known.databases
    if rules and kept:
        async with unless_overridden(ledger, "Databases could not be kept"):
            kept = await databases.finish(kept, rules, databases.description(ledger.release))
    if rules and rules.configuration:
        async with unless_overridden(ledger, "How everything is set could not be kept"):
            known = await keep_configuration(request, ledger.release)
    if rules:
        await ledger.backed_up(known.model_copy(update={"databases": kept}))
    try:
        yield
    except Exception:
        for line in advice(ledger.release, request.project):
            get_run_logger().warning(line)
        raise


@asynccontextmanager
async def unless_overridden(ledger: Ledger, what: str) -> AsyncIterator[None]:
    """Raises NoBackup for what goes wrong within, unless somebody overrides it."""
    try:
        yield
    except SlipwayError as error:
        problem, override = f"{what}: {error.problem}", ledger.release.override
        if override is None:
            remedy = (
                f"{error.remedy.rstrip('.')}; or fill in `override` with your name and reason." if error.remedy else ""
            )
            raise NoBackup(problem, remedy, error.cause, error.link, error.state, error.transient) from error
        get_run_logger().warning("%s\nOverridden by %s", problem, override)


async def tell_what_was_kept(request: Request, left: ReleaseRecord) -> None:
    """Of the release that a rollback has turned away from: in the log, and as an artifact. Fails nothing."""
    lines = advice(left, request.project)
    if not lines:
        return
    try:
        for line in lines:
            get_run_logger().info(line)
        first, *rest = lines
        said = f"# Kept before {left.version}\n\n{first}\n\n```text\n" + "\n".join(rest) + "\n```\n"
        await acreate_markdown_artifact(
            said, key=key(request.app, request.environment, "backup"), description=f"Kept before {left.version}"
        )
    except Exception as error:
        get_run_logger().warning("what was kept cannot be shown: %s", error)
