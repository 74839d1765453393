"""What is told of worker pools beside the services: which versions their instances are of."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.history.pool_record import PoolRecord
from tasks.history.record import State
from tasks.history.status import Standing, pool_status
from tests.tasks.builders import a_record, a_request
from tests.tasks.drift.test_pools import NAME, changed
from tests.tasks.rollout.test_pool import TEXT, live

ONE, TWO = "shop-mailer-one", "shop-mailer-two"


def splits(**percents: int) -> list[dict[str, Any]]:
    names = {"one": ONE, "two": TWO, "theirs": "shop-mailer-theirs"}
    return [
        {"type": "INSTANCE_SPLIT_ALLOCATION_TYPE_REVISION", "revision": names[name], "percent": percent}
        for name, percent in percents.items()
    ]


@pytest.mark.parametrize(
    ("shares", "state", "current", "standing"),
    [
        ({"two": 100}, State.RELEASED, {"v2": 100}, Standing.IN_STEP),
        ({"one": 66, "two": 34}, State.STARTED, {"v1": 66, "v2": 34}, Standing.MOVING),
        ({"theirs": 100}, State.RELEASED, {"shop-mailer-theirs": 100}, Standing.DIFFERS),
    ],
)
def test_instances_are_told_by_version(
    shares: dict[str, int], state: State, current: dict[str, int], standing: Standing
) -> None:
    request = a_request(text=TEXT.replace("POOL", "scaling: 3"))
    found = changed(live({"scaling": {"manualInstanceCount": 3}, "instanceSplits": splits(**shares)}))
    history = [
        a_record("v2", 2, state=state, pools=(PoolRecord(pool="mailer", name=NAME, revision=TWO),)),
        a_record("v1", 1, pools=(PoolRecord(pool="mailer", name=NAME, revision=ONE),)),
    ]
    told = pool_status(request.settings, request.pool("mailer"), history, found)
    assert (told.current, told.standing, told.kind, told.region) == (current, standing, "worker pool", "europe-west1")
    assert told.desired == ("v1" if state is State.STARTED else "v2")


def test_one_that_is_not_there_was_never_released() -> None:
    request = a_request(text=TEXT.replace("POOL", "scaling: 3"))
    told = pool_status(request.settings, request.pool("mailer"), [], None)
    assert (told.current, told.standing) == ({}, Standing.NEVER)
