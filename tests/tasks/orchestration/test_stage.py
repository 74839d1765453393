"""A run shows how far it is, in Prefect and to those who watch it elsewhere."""

from __future__ import annotations

import pytest
from prefect import flow

from tasks.orchestration.channel import Entry
from tasks.orchestration.mirror import mirrored
from tasks.orchestration.stage import shown_progress, stage
from tests.tasks.builders import a_request
from tests.tasks.orchestration.test_mirror import Keeping

pytestmark = pytest.mark.usefixtures("prefect")


@stage("build")
async def build(request: object) -> None:
    """Takes no time."""


@flow
async def ships() -> None:
    request = a_request()
    async with shown_progress(request):
        await build(request)


async def test_who_watches_is_told_when_a_run_begins_and_which_stage_it_is_in() -> None:
    sink = Keeping()
    async with mirrored([sink]):
        await ships()
    begun, building = [each for each in sink.arrived if each.standing]
    assert begun.standing is not None
    assert (begun.standing.status, begun.standing.progress) == ("running", 0.0)
    assert begun.standing.app
    assert building.standing is not None
    assert (building.standing.status, building.standing.stage, building.standing.progress) == (None, "build", 37.5)
    assert begun.run == building.run != ""
    assert all(line_is_of(each, begun) for each in sink.arrived if each.run and not each.task_run)


def line_is_of(line: Entry, begun: Entry) -> bool:
    return line.run == begun.run
