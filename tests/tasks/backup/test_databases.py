"""What is kept of a database: a moment where that can be gone back to, else a backup of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from prefect.logging import disable_run_logger

from infra.gcp.calls.polling import until
from infra.gcp.calls.rest import change, get_json
from infra.gcp.sql_backups import API, Database
from tasks.backup.advice import advice
from tasks.backup.databases import begin, description, finish, full_name, how, instances
from tasks.failures.errors import NoBackup
from tasks.history.backup_record import BackupRecord, DatabaseRecord
from tasks.history.record import ReleaseRecord
from tasks.manifest.backup import Backup
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import new_name
from tests.tasks.builders import NOW, a_record, a_request

NAME = "projects/acme/instances/main"
LATE, FRESH = NOW - timedelta(minutes=11), NOW - timedelta(minutes=9)
MANIFEST = """
app: shop
services:
  web: {cloudsql_instances: ["acme-prod:europe-west1:main"]}
jobs:
  migrate: {image: web, cloudsql_instances: ["acme-prod:europe-west1:main", "example.com:acme:europe-west1:other"]}
environments: {production: {project: acme-prod, regions: [europe-west1], backup: {}}}
"""


@pytest.mark.parametrize(
    ("mode", "recoverable", "latest", "kind"),
    [
        ("auto", True, FRESH, "mark"),
        ("auto", True, LATE, "backup"),
        ("auto", True, None, "backup"),
        ("auto", False, None, "backup"),
        ("mark", True, FRESH, "mark"),
        ("backup", True, FRESH, "backup"),
    ],
)
def test_a_moment_is_enough_where_the_database_can_go_back_to_it(
    mode: str, recoverable: bool, latest: object, kind: str
) -> None:
    assert how(mode, Database(NAME, recoverable, runs=True), latest, NOW) == kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "database", "latest", "said"),
    [
        ("mark", Database(NAME, recoverable=False, runs=True), None, "point-in-time recovery is off"),
        ("mark", Database(NAME, recoverable=True, runs=True), LATE, "it has come to 2026-11-21 11:49"),
        ("backup", Database(NAME, recoverable=True, runs=False), None, "is stopped"),
        ("auto", Database(NAME, recoverable=False, runs=False), None, "is stopped"),
    ],
)
def test_what_cannot_be_kept_stops_the_release(mode: str, database: Database, latest: object, said: str) -> None:
    with pytest.raises(NoBackup, match=said):
        how(mode, database, latest, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ({}, ("projects/acme-prod/instances/main", "projects/example.com:acme/instances/other")),
        ({"cloudsql": ["acme-prod:europe-west1:third"]}, ("projects/acme-prod/instances/third",)),
        ({"cloudsql": []}, ()),
        ({"mode": "never"}, ()),
    ],
)
def test_it_is_the_databases_that_the_release_reaches_unless_slipway_yaml_names_others(
    rules: dict[str, object], names: tuple[str, ...]
) -> None:
    assert instances(a_request(text=MANIFEST), Backup.model_validate(rules)) == names


def test_a_project_of_a_domain_has_a_colon_of_its_own() -> None:
    assert full_name("example.com:acme:europe-west1:main") == "projects/example.com:acme/instances/main"


RELEASE = a_record("v1.4.0", 1)
CALLED = description(RELEASE)


@pytest.fixture
async def database(cloud: LocalCloud, cloud_env: dict[str, str]) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Makes Cloud SQL instances, and answers their full names."""

    async def make(**kept: bool) -> str:
        name = new_name("kept-db")
        settings = {"tier": "db-f1-micro", "backupConfiguration": {"enabled": True, **kept}}
        body = {"name": name, "region": "europe-west1", "databaseVersion": "POSTGRES_16", "settings": settings}
        await change("cloudsql.instances.create", "POST", f"{API}/projects/{PROJECT}/instances", body)
        full = f"projects/{PROJECT}/instances/{name}"
        await until(lambda: is_there(full), limit_s=60, pause_s=0.05)
        return full

    yield make
    cloud.put("/latency", {"stages": {"sql.backup": 0, "sql.recovery": 0}})
    cloud.put("/faults", [])


async def is_there(name: str) -> bool:
    return bool((await get_json("cloudsql.instances.get", f"{API}/{name}"))["state"] == "RUNNABLE")


async def begun(name: str, mode: str = "auto") -> tuple[DatabaseRecord, ...]:
    rules = Backup.model_validate({"mode": mode})
    return await begin.fn((name,), rules, CALLED)  # type: ignore[attr-defined, no-any-return]


async def kept(records: tuple[DatabaseRecord, ...]) -> DatabaseRecord:
    with disable_run_logger():
        [found] = await finish.fn(records, Backup(), CALLED)  # type: ignore[attr-defined]
    return found  # type: ignore[no-any-return]


async def test_a_backup_is_begun_before_and_awaited_after(
    cloud: LocalCloud, database: Callable[..., Awaitable[str]]
) -> None:
    name = await database()
    cloud.put("/latency", {"stages": {"sql.backup": 60.0}})
    [record] = records = await begun(name)
    assert (record.kind, record.kept, bool(record.operation)) == ("backup", False, True)
    cloud.put("/latency", {"stages": {"sql.backup": 0.0}})
    done = await kept(records)
    backup = await get_json("cloudsql.backups.get", f"{API}/{done.backup}")
    assert (done.kept, backup["description"], backup["ttlDays"]) == (True, CALLED, "30")
    assert f"gcloud sql backups restore {done.backup}" in str(advice(with_(done), PROJECT))


async def test_a_backup_whose_answer_was_lost_is_found_again_and_no_second_one_is_made(
    cloud: LocalCloud, database: Callable[..., Awaitable[str]]
) -> None:
    name = await database()
    cloud.put("/latency", {"stages": {"sql.backup": 60.0}})
    await begun(name)
    lost = (DatabaseRecord(instance=name, kind="backup"),)  # what the record says when the run died before it was told
    assert not (await begun(name))[0].operation  # another operation is in the way: it is this one
    cloud.put("/latency", {"stages": {"sql.backup": 0.0}})
    done = await kept(lost)
    listed = (await get_json("cloudsql.backups.list", f"{API}/projects/{PROJECT}/backups")).get("backups", [])
    assert [each["name"] for each in listed if each["instance"] == name.rpartition("/")[2]] == [done.backup]


async def test_where_the_database_can_go_back_to_now_a_moment_is_kept(
    cloud: LocalCloud, database: Callable[..., Awaitable[str]]
) -> None:
    name = await database(pointInTimeRecoveryEnabled=True)
    [record] = records = await begun(name)
    assert (record.kind, record.at) == ("mark", None)
    done = await kept(records)
    assert done.kept and done.at is not None
    assert f"--point-in-time={done.at:%Y-%m-%dT%H:%M}" in str(advice(with_(done), PROJECT))
    with pytest.raises(NoBackup, match="no Cloud SQL instance"):
        await begun(f"{name}-not")


def with_(database: DatabaseRecord) -> ReleaseRecord:
    return RELEASE.model_copy(update={"backup": BackupRecord(databases=(database,))})
