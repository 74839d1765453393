"""An app that the first version of Slipway has released, in the hands of today's: nothing of it is lost or doubled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prefect import flow

from infra.gcp.storage import objects
from tasks.history.record import ReleaseRecord
from tasks.history.store import read_history, record_name
from tasks.release.rollback import narrowed, revive_one
from tasks.release.target import choose
from tasks.rollout.dark import snapshots
from tasks.rollout.sent import Sent
from tasks.rollout.shift import shift_at_once
from tests.tasks.history.test_early import first
from tests.tasks.rollout.two import BUCKET, Two, bucket

__all__ = ["bucket"]  # fixture
pytestmark = pytest.mark.usefixtures("cloud_env")


async def kept(*records: dict[str, Any]) -> None:
    """In the bucket, as its own version wrote them."""
    for record in records:
        name = record_name(ReleaseRecord.model_validate(record))
        await objects.write_text(BUCKET, name, json.dumps(record).encode(), 0)


async def test_a_rollback_to_a_first_record_gives_its_revision_all_traffic_and_takes_nothing_from_the_service(
    prefect: None,
) -> None:
    two = await Two().made()
    await two.move(two=100)
    await kept(first(two.app, "v1", two.one), first(two.app, "v2", two.two))
    before_template = (await two.live()).service.body["template"]

    @flow(name="rollback")
    async def rollback() -> ReleaseRecord:
        history = await read_history(BUCKET, two.app, "test")
        chosen, serving = choose(history, {two.place: two.two}, None, None)
        chosen = narrowed(two.request, chosen)
        assert (chosen.version, serving.version) == ("v1", "v2")
        (before,) = await snapshots(two.request, [two.place])
        candidate = await revive_one(two.request, chosen.version, chosen.targets[0], before)
        await shift_at_once(two.request, [candidate], {two.place: (candidate.split,)}, Sent())
        return chosen

    chosen = await rollback()
    assert chosen.images == first()["images"]
    live = await two.live()
    assert live.service.routed == {two.one: 100}
    assert live.service.body["template"] == before_template
    assert {revision.name for revision in live.revisions} == {two.one, two.two}
