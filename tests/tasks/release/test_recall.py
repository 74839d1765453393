"""Which slipway.yaml a rollback without the repository goes by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow
from prefect.variables import Variable

from infra.gcp.storage import buckets, objects
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import record_name
from tasks.release import recall
from tasks.release.recall import manifest_of, read_remembered, remember, remembered, variable_of
from tasks.source.source import Source
from tests.conftest import PROJECT
from tests.tasks.builders import a_record, a_request


def says(version: str, day: int, state: State = State.RELEASED) -> ReleaseRecord:
    return a_record(version, day, state=state, manifest={"app": version})


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.STARTED])
def test_what_a_release_changed_that_did_not_come_about_sends_no_rollback_elsewhere(state: State) -> None:
    assert manifest_of([says("v2", 2, state), says("v1", 1)]) == {"app": "v1"}


def test_where_none_was_good_the_newest_that_is_known_says_where_things_are() -> None:
    unknown = a_record("v3", 3, state=State.FAILED)
    assert manifest_of([unknown, says("v2", 2, State.FAILED), says("v1", 1, State.FAILED)]) == {"app": "v2"}


def test_where_no_record_keeps_one_the_repository_is_asked() -> None:
    assert manifest_of([a_record("v2", 2)]) is None
    assert manifest_of([]) is None


SHOP = Source(repository="/srv/shop")


async def test_every_environment_that_was_ever_released_to_is_known_without_any_run(prefect: None) -> None:
    """More of them than Prefect gives at once, and other variables among them."""
    environments = [f"Env-{number}" for number in range(5)]

    @flow(name="deploy")
    async def deploy() -> None:
        await Variable.aset("slipway_of_another_version", {"app": "shop", "bucket": "b"}, overwrite=True)
        await Variable.aset("another_thing", "1", overwrite=True)
        for each in environments:
            await remember(SHOP, replace(a_request(), environment=each))

    @flow(name="reconcile")
    async def reconcile() -> list[recall.Remembered]:
        return await remembered(page=2)

    await deploy()
    found = await reconcile()
    assert sorted(each.environment for each in found if each.environment in environments) == environments
    names = {each.name for each in found if each.environment in environments}
    assert names == {variable_of(SHOP, each) for each in environments}


async def test_the_records_alone_say_what_there_is_to_reconcile(prefect: None, tmp_path: Path) -> None:
    bucket, request = f"{PROJECT}-{uuid4().hex[:8]}", a_request()
    await buckets.create_bucket(bucket, PROJECT, "europe-west1", {})
    manifest = request.manifest.without_values()
    record = a_record("v1", 1, manifest=manifest)
    await objects.write_json(bucket, record_name(record), record.model_dump(mode="json"), 0)
    where = recall.Remembered(name="slipway_x", app="shop", bucket=bucket, environment="production")
    found = await read_remembered(where, tmp_path)
    assert found is not None
    assert (found.app, found.environment, found.services) == ("shop", "production", request.services)
