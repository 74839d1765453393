"""Backups and records on the local cloud: a backup goes after its record, whole, and never one that a record names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets, objects
from tasks.backup.configuration import INDEX, folder_of
from tasks.cleanup.engine.model import Plan, Policy, RetentionRule, Why
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.kinds.own_files import BACKUP, RECORD, Backups, Records
from tasks.history.backup_record import BackupRecord
from tasks.history.record import ReleaseRecord
from tasks.history.store import record_name
from tests.conftest import PROJECT
from tests.tasks.builders import a_record, a_request
from tests.tasks.cleanup.estate import Estate
from tests.tasks.cleanup.looks import a_look

_numbers = itertools.count(1)
KEEP = 3


class Kept:
    """A bucket of its own, with a record for each release and what was kept before it."""

    def __init__(self) -> None:
        self.bucket = f"{PROJECT}-own-files-{next(_numbers)}"
        self.kinds = (Records(), Backups())
        self.releases = [a_record(f"v1.{number}.0", number) for number in range(6)]

    async def fill(self) -> None:
        await buckets.create_bucket(self.bucket, PROJECT, "europe-west1", {})
        for each in self.releases:
            await self.write(record_name(each))
            for name in ("services/web.yaml", "services/web.policy.json", INDEX):
                await self.write(f"{folder_of(each)}{name}")

    async def write(self, name: str) -> None:
        await objects.write_text(self.bucket, name, b"{}", None)

    async def names(self, start: str) -> list[str]:
        return [each.name for each in await objects.list_objects(self.bucket, start)]

    def estate(self, read: Iterable[ReleaseRecord] = ()) -> Estate:
        """A year later, where these are the records that are read."""
        text = f"""
app: shop
services: {{api: {{}}}}
environments: {{production: {{project: {PROJECT}, regions: [europe-west1], bucket: {self.bucket}}}}}
"""
        look = a_look((a_request(text=text),), histories={"production": tuple(read)})
        return Estate(self.kinds, "", look, datetime.now(UTC) + timedelta(days=365))

    async def planned(self, read: Iterable[ReleaseRecord] = (), protect: tuple[str, ...] = ()) -> Plan:
        estate = self.estate(read)
        rules = dict.fromkeys((RECORD, BACKUP), RetentionRule(keep=KEEP, max_percent=100.0))
        return plan(await estate.world(), Policy("shop", estate.now, rules, protect, min_live=0))

    def record(self, number: int) -> str:
        return f"gs://{self.bucket}/{record_name(self.releases[number])}"

    def backup(self, number: int) -> str:
        return f"gs://{self.bucket}/{folder_of(self.releases[number])}"


@pytest.fixture
async def kept(cloud_env: dict[str, str]) -> Kept:
    made = Kept()
    await made.fill()
    return made


def going(planned: Plan) -> Sequence[str]:
    assert planned.refusals == ()
    return [step.item.name for step in planned.steps]


async def test_the_newest_stay_and_each_old_one_goes_after_its_record(kept: Kept) -> None:
    old = range(len(kept.releases) - KEEP)
    found = going(await kept.planned())
    assert sorted(found) == sorted([*map(kept.record, old), *map(kept.backup, old)])
    assert all(found.index(kept.record(each)) < found.index(kept.backup(each)) for each in old)


async def test_while_a_record_stays_its_backup_does(kept: Kept) -> None:
    planned = await kept.planned(protect=("*v1.0.0.json",))
    assert set(going(planned)) == {each(n) for each in (kept.record, kept.backup) for n in (1, 2)}
    assert {each.why for each in planned.kept if each.name == kept.backup(0)} == {Why.NEEDED}


async def test_the_backup_of_every_release_that_is_read_stays(kept: Kept) -> None:
    found = going(await kept.planned(read=kept.releases[:2]))
    assert set(found) == {kept.record(2), kept.backup(2)}


async def test_one_that_a_record_names_stays_wherever_it_is(kept: Kept) -> None:
    """An approved release may have been taken up by another run, under another name."""
    named = BackupRecord(configuration=kept.backup(1))
    reader = kept.releases[5].model_copy(update={"backup": named})
    planned = await kept.planned(read=[reader])
    assert kept.backup(1) not in going(planned)
    assert {each.why for each in planned.kept if each.name == kept.backup(1)} == {Why.IN_USE}


async def test_of_an_environment_that_slipway_yaml_lacks_nothing_goes(kept: Kept) -> None:
    await kept.write("backups/shop/canada/20200101T000000.000000Z-x/backup.json")
    await kept.write("backups/shopping/production/20200101T000000.000000Z-x/backup.json")
    assert not [name for name in going(await kept.planned()) if "canada" in name or "shopping" in name]


async def test_it_goes_whole_and_not_once_a_file_of_it_has_changed(kept: Kept) -> None:
    kind, folder = Backups(), folder_of(kept.releases[0])
    (item,) = [step.item for step in (await kept.planned()).steps if step.item.name == kept.backup(0)]
    assert await kind.again(item) == item
    await kept.write(f"{folder}services/web.yaml")
    changed = await kind.again(item)
    assert changed is not None and changed.etag != item.etag
    with pytest.raises(GoogleError, match="has changed since the plan was made"):
        await kind.delete(item)
    assert await kind.delete(changed)
    assert (await kept.names(folder), await kind.again(item), await kind.delete(item)) == ([], None, False)
    assert len(await kept.names(folder_of(kept.releases[1]))) == 3


async def test_what_a_delete_that_was_cut_off_has_left_goes_later(kept: Kept) -> None:
    folder = folder_of(kept.releases[0])
    for name in (f"{folder}{INDEX}", record_name(kept.releases[0])):
        found = await objects.find_object(kept.bucket, name)
        assert found
        assert await objects.delete_object(kept.bucket, name, found.generation)
    assert kept.backup(0) in going(await kept.planned())
