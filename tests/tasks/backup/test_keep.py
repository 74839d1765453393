"""What cannot be kept stops a release, unless somebody says in whose name it goes on."""

from __future__ import annotations

import pytest
from prefect.logging import disable_run_logger

from tasks.backup.advice import MOST, advice, also, named
from tasks.backup.keep import unless_overridden
from tasks.failures.cause import Cause
from tasks.failures.errors import CloudError, NoBackup
from tasks.history.backup_record import BackupRecord, DatabaseRecord
from tasks.history.ledger import Ledger
from tasks.model import Override
from tests.tasks.builders import NOW, a_record

ADA = Override(who="Ada", why="the shop is down")
FOLDER = "gs://acme-prod-slipway/backups/shop/production/20260102T000000.000000Z-v1/"
MARK = DatabaseRecord(instance="projects/acme/instances/main", kind="mark", at=NOW, kept=True)
BACKUP = DatabaseRecord(
    instance="projects/acme/instances/old", kind="backup", backup="projects/acme/backups/7", kept=True
)
UNDER_WAY = DatabaseRecord(instance="projects/acme/instances/new", kind="backup")


@pytest.mark.parametrize("override", [None, ADA])
async def test_only_an_override_lets_a_release_go_on_without(override: Override | None) -> None:
    ledger = Ledger("bucket", "name", a_record("v1", 1, override=override), 0)
    failed = CloudError("The bucket cannot be written.", cause=Cause.PERMISSION)
    with disable_run_logger():
        if override:
            async with unless_overridden(ledger, "It could not be kept"):
                raise failed
            return
        with pytest.raises(NoBackup, match=r"It could not be kept: The bucket cannot be written\.") as raised:
            async with unless_overridden(ledger, "It could not be kept"):
                raise failed
        assert (raised.value.cause, "`override`" in raised.value.remedy) == (Cause.PERMISSION, True)


def kept(*databases: DatabaseRecord, things: int = 0) -> BackupRecord:
    paths = tuple(f"europe-west1/services/web{number}.yaml" for number in range(things))
    return BackupRecord(configuration=FOLDER if things else "", things=paths, databases=databases)


def test_who_goes_back_is_told_the_commands() -> None:
    release = a_record("v1.4.0", 1, backup=kept(MARK, BACKUP, UNDER_WAY, things=1))
    first, *commands = advice(release, "acme-prod")
    assert first.startswith(
        f"Kept before v1.4.0: its configuration in {FOLDER}; database main, as it was at 2026-11-21T12:00:00Z; "
        "database old in projects/acme/backups/7. "
    )
    assert commands == [
        "gcloud sql instances clone main main-restored --point-in-time=2026-11-21T12:00:00.000000Z --project=acme",
        "gcloud sql backups restore projects/acme/backups/7 --restore-instance=ANOTHER_INSTANCE --project=acme"
        "  # replaces all that ANOTHER_INSTANCE holds",
        f"gcloud storage cp --recursive {FOLDER} .",
        "gcloud run services replace 20260102T000000.000000Z-v1/europe-west1/services/web0.yaml --region=europe-west1 "
        "--project=acme-prod",
    ]
    assert also(release) == f" {named(release)}."


@pytest.mark.parametrize("backup", [None, BackupRecord(), kept(UNDER_WAY)])
def test_nothing_is_said_where_nothing_was_kept(backup: BackupRecord | None) -> None:
    release = a_record("v1.4.0", 1, backup=backup)
    assert (advice(release, "acme-prod"), named(release), also(release)) == ((), "", "")


def test_of_many_commands_the_first_are_told() -> None:
    lines = advice(a_record("v1.4.0", 1, backup=kept(things=MOST + 3)), "acme-prod")
    assert len([line for line in lines if "replace" in line]) == MOST
    assert "and so on for 3 more" in lines
