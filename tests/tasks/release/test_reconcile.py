"""What of a run that ended badly the scheduled reconcile has to do with."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, get_client
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.client.schemas.objects import State as RunState
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.runtime import flow_run
from prefect.states import Crashed, Running

from tasks.failures.errors import (
    CloudError,
    ManifestError,
    NotReconciled,
    ParameterError,
    PrefectUnavailable,
    SlipwayError,
    SourceError,
)
from tasks.history.record import State
from tasks.history.run import why_gone
from tasks.release.reconcile import Destination, destination_of, distinct, may_owe, told_apart, unattended
from tasks.source.source import Source
from tests.tasks.builders import a_record


def a_run(**parameters: Any) -> FlowRun:
    return FlowRun(flow_id=uuid4(), parameters=parameters)


@pytest.mark.parametrize("kind", [SourceError, ManifestError, ParameterError])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_mistyped_folder_or_environment_fails_no_reconcile(kind: type[SlipwayError], *, remembered: bool) -> None:
    assert not may_owe(kind("what", "do"), remembered=remembered)


@pytest.mark.parametrize("kind", [CloudError, PrefectUnavailable])
def test_what_cannot_be_read_of_a_place_where_nothing_was_released_fails_none_either(kind: type[SlipwayError]) -> None:
    assert not may_owe(kind("what", "do"), remembered=False)
    assert may_owe(kind("what", "do"), remembered=True)


@pytest.mark.parametrize("remembered", [True, False])
def test_traffic_that_could_not_be_given_back_always_fails_it(*, remembered: bool) -> None:
    assert may_owe(NotReconciled("what", "do"), remembered=remembered)


@pytest.mark.parametrize("source", [{"repository": 5}, {"repo": "x"}, "x"])
def test_one_run_whose_parameters_cannot_be_read_keeps_no_other_from_being_looked_at(source: object) -> None:
    good = a_run(source={"repository": "/srv/shop"}, environment="staging")
    assert destination_of(a_run(source=source, environment="staging")) is None
    assert [each.environment for each in distinct([a_run(source=source, environment="qa"), good])] == ["staging"]


def an_own(environment: str | None = None, *, paused: bool = False, active: bool = True) -> DeploymentResponse:
    """A deployment that `slipway register` has made for /srv/shop."""
    said = {"source": {"repository": "/srv/shop", "credentials": "git-token"}, "environment": environment}
    return DeploymentResponse(
        name="shop",
        flow_id=uuid4(),
        parameters={name: value for name, value in said.items() if value},
        paused=paused,
        schedules=[DeploymentSchedule(schedule=CronSchedule(cron="0 * * * *"), active=active)],
        labels={},
    )


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ([], ["staging", "production"]),
        ([an_own("staging")], ["production"]),
        ([an_own()], []),
        ([an_own("staging", active=False), an_own("production", paused=True)], ["staging", "production"]),
    ],
    ids=["none of its own", "one environment", "all of them", "switched off"],
)
def test_what_an_app_looks_at_itself_is_left_to_it(own: list[DeploymentResponse], left: list[str]) -> None:
    shop = [Destination(Source(repository="/srv/shop"), environment) for environment in ("staging", "production")]
    other = Destination(Source(repository="/srv/other"), "staging")
    assert unattended([*shop, other], own) == [*(each for each in shop if each.environment in left), other]


async def test_a_release_by_its_tag_is_gone_with_the_run_that_it_is_within(prefect: None) -> None:
    """The one within counts as running still where the process was killed."""
    within: list[str] = []

    @flow(name="deploy")
    async def deploy() -> None:
        within.append(str(flow_run.id))

    @flow(name="ship")
    async def ship() -> str:
        await deploy()
        return str(flow_run.id)

    outer = await ship()
    running: RunState[Any] = Running()
    crashed: RunState[Any] = Crashed()
    async with get_client() as client:
        await client.set_flow_run_state(UUID(within[0]), running, force=True)
        record = a_record("v1", 1, state=State.STARTED, run_id=within[0])
        await client.set_flow_run_state(UUID(outer), running, force=True)
        assert (await why_gone(record))[0] is None
        await client.set_flow_run_state(UUID(outer), crashed, force=True)
    assert (await why_gone(record))[0] is State.FAILED


def test_where_runs_have_only_ever_failed_nothing_need_have_been_shipped() -> None:
    """One deploy from a mistyped folder failed the scheduled drift and clean-up of all apps for three months."""
    shop, mistyped = {"repository": "/srv/shop"}, {"repository": "/srv/shpo"}
    runs = [
        a_run(source=mistyped, environment="staging").model_copy(update={"state_type": StateType.FAILED}),
        a_run(source=shop, environment="staging").model_copy(update={"state_type": StateType.FAILED}),
        a_run(source=shop, environment="staging").model_copy(update={"state_type": StateType.COMPLETED}),
    ]
    well, others = told_apart(runs)
    assert [each.source.repository for each in well] == ["/srv/shop"]
    assert [each.source.repository for each in others] == ["/srv/shpo"]
