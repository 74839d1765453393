"""Databases and their backups on the local cloud: what nobody connects to is stopped, and goes a week later."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from infra.gcp import sql
from infra.gcp.run.templates import Template
from tasks.cleanup.carry_out import said
from tasks.cleanup.kinds.sql_backups import SqlBackups
from tasks.cleanup.kinds.sql_instances import CONNECTIONS, SqlInstances, instance_item, locked
from tasks.cleanup.kinds.template_uses import TemplateUses
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import rest
from tests.infra.emulator.sql.test_sql import done
from tests.tasks.cleanup.estate import LATER, Estate, a_manifest, in_words
from tests.tasks.cleanup.looks import a_look, a_service

V1 = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}"
BODY = {"name": "standby", "createTime": "2026-01-01T00:00:00Z", "state": "RUNNABLE"}
_numbers = itertools.count(1)


class Databases:
    def __init__(self, web: Checked, cloud: LocalCloud) -> None:
        self.web, self.cloud, self.prefix = web, cloud, f"clean{next(_numbers)}-"

    def make(self, name: str, **settings: Any) -> str:
        """Its full name."""
        body = {"name": self.prefix + name, "region": "europe-west1", "databaseVersion": "POSTGRES_16"}
        operation = self.web.post(f"{V1}/instances", json={**body, "settings": {"tier": "db-f1-micro", **settings}})
        done(self.web, operation.raise_for_status().json())
        return f"projects/{PROJECT}/instances/{self.prefix}{name}"

    def turn(self, name: str, policy: str) -> None:
        body = {"settings": {"activationPolicy": policy}}
        done(self.web, self.web.patch(f"{V1}/instances/{self.prefix}{name}", json=body).raise_for_status().json())

    def back_up(self, name: str) -> str:
        operation = self.web.post(f"{V1}/instances/{self.prefix}{name}/backupRuns", json={})
        return str(done(self.web, operation.raise_for_status().json())["backupContext"]["backupId"])

    def age(self, kind: str, days: float) -> None:
        body = {"kind": kind, "prefix": f"{PROJECT}/{self.prefix}", "days": days}
        httpx.post(f"{self.cloud.admin}/age", json=body, trust_env=False).raise_for_status()

    def estate(
        self, template: Template | None = None, foreign: tuple[str, ...] = ("sql_instances", "sql_backups")
    ) -> Estate:
        service = a_service(f"projects/{PROJECT}/locations/europe-west1/services/api", template=template)
        look = a_look((a_manifest(PROJECT, foreign),), services=[service])
        now = datetime.now(UTC) + timedelta(days=2)
        return Estate((SqlInstances(), SqlBackups()), self.prefix, look, now, (TemplateUses(),))


@pytest.fixture
def databases(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Databases]:
    with rest(cloud) as session:
        yield Databases(session, cloud)
    cloud.put("/measurements", [])


async def test_a_database_that_nobody_uses_is_stopped_and_goes_with_a_last_backup(databases: Databases) -> None:
    name = databases.make("old")
    estate = databases.estate()
    (step,) = (await estate.plan()).steps
    assert f"undone by: gcloud sql instances patch {databases.prefix}old --activation-policy=ALWAYS" in said(step)
    assert await estate.carry_out() == [f"stop instances/{databases.prefix}old"]
    found = await sql.get_instance(name)
    assert found is not None
    assert not found.runs
    assert await estate.carry_out() == []
    estate.now += LATER
    assert await estate.carry_out() == [f"delete instances/{databases.prefix}old"]
    backups = databases.web.get(f"{V1}/backups").json()["backups"]
    assert [each["type"] for each in backups if each["instance"] == f"{databases.prefix}old"] == ["FINAL"]


async def test_a_database_that_a_person_has_stopped_is_not_half_way_to_its_end(databases: Databases) -> None:
    databases.make("asleep", activationPolicy="NEVER")
    estate, stopped = databases.estate(), [f"stop instances/{databases.prefix}asleep"]
    await estate.world()
    estate.now += LATER
    assert await estate.carry_out() == stopped  # now clean-up wants it, too, and says so in its journal
    assert await estate.carry_out() == []
    databases.turn("asleep", "ALWAYS")
    await estate.world()
    databases.turn("asleep", "NEVER")
    estate.now += LATER
    assert await estate.carry_out() == []  # whoever has started it may do so again
    estate.now += timedelta(days=366)
    assert await estate.carry_out() == stopped
    estate.now += LATER
    assert await estate.carry_out() == [f"delete instances/{databases.prefix}asleep"]


async def test_a_database_is_in_use_by_whatever_names_or_reaches_it(databases: Databases) -> None:
    names = [databases.make(name) for name in ("mounted", "told", "connected", "left")]
    databases.make("guarded", deletionProtectionEnabled=True)
    told = await sql.get_instance(names[1])
    assert told is not None
    connection = {"resource.labels.database_id": f"{PROJECT}:{databases.prefix}connected"}
    measured = {"project": PROJECT, "metric": CONNECTIONS[1], "resource": "cloudsql_database", "labels": connection}
    databases.cloud.put("/measurements", [{**measured, "value": 2, "days": 20}])
    template = Template(
        databases=(f"{PROJECT}:europe-west1:{databases.prefix}mounted",),
        words=(f"postgres://app@{told.addresses[0]}:5432/shop",),
    )
    assert [in_words(each) for each in (await databases.estate(template).plan()).steps] == [
        f"stop instances/{databases.prefix}left"
    ]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"masterInstanceName": "acme:main"}, "it is a replica of main"),
        ({"replicaNames": ["main-replica"]}, "it has replicas: main-replica"),
        ({"settings": {"deletionProtectionEnabled": True}}, "its deletion protection is on"),
        ({}, ""),
    ],
    ids=["replica", "primary", "protected", "neither"],
)
def test_a_replica_stands_by_though_nobody_connects_to_it(more: dict[str, Any], why: str) -> None:
    assert locked(sql._instance("acme", BODY | more)) == why


async def test_a_database_is_named_by_its_dns_name_too() -> None:
    look = a_look((a_manifest(PROJECT, ()),))
    item = instance_item(sql._instance("acme", BODY | {"dnsName": "1a2b.3c4d.europe-west1.sql.goog."}), look)
    keys = SqlInstances().keys(look, [item])
    assert keys("postgres://app@1a2b.3c4d.europe-west1.sql.goog:5432/shop") == (item.name,)
    assert keys("postgres://app@9z9z.3c4d.europe-west1.sql.goog:5432/shop") == ()


async def test_backups_go_when_they_are_old_and_not_among_the_newest(databases: Databases) -> None:
    databases.make("kept", deletionProtectionEnabled=True)
    first = databases.back_up("kept")
    databases.age("database backups", 200)
    for _ in range(10):  # as many as `keep`
        databases.back_up("kept")
    databases.age("database backups", 91)
    estate = databases.estate(foreign=("sql_backups",))
    assert await estate.carry_out() == [f"delete instances/{databases.prefix}kept/backupRuns/{first}"]
