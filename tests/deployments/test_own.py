"""Which deployments an app has of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.states import Paused, Pending, Running

from deployments.forms import Form, narrowed
from deployments.generic import generic_deployments
from deployments.own import App, app_of, minute_of, origin_of, own_deployments, own_names
from deployments.wanted import RECOVERY
from tasks.names.tags import BRANCH, REGISTERED, told_by
from tasks.source.source import Source
from tests.servers import used_by_prefect
from tests.tasks.builders import a_request

SCHEMA = {"type": "object", "properties": {"source": {}, "environment": {"type": "string", "title": "environment"}}}
APP = App("shop", {"staging": "project s, r1", "production": "project p, r1, r2"}, Source(repository="/shop"), "pool")


def a_form(entrypoint: str) -> Form:
    return Form(entrypoint.rpartition(".")[2], entrypoint, SCHEMA)


@pytest.mark.parametrize(
    ("environments", "origins"),
    [
        (["staging", "production"], [None, "staging"]),
        (["production", "staging"], ["staging", None]),
        (["qa", "staging", "production"], [None, "qa", "staging"]),
        (["dev", "live"], [None, "dev"]),
        (["production"], [None]),
        (["production", "canary"], [None, None]),
    ],
)
def test_a_release_is_promoted_from_the_environment_before_and_never_from_production(
    environments: list[str], origins: list[str | None]
) -> None:
    assert [origin_of(name, environments) for name in environments] == origins


def test_every_environment_has_what_a_person_starts_there() -> None:
    wanted = {each.full_name: each for each in own_deployments(APP, a_form)}
    each = {"deploy", "rollback", "drift", "reconcile", "doctor"}
    assert set(wanted) == (
        {f"{flow}/shop-staging" for flow in each}
        | {f"{flow}/shop-production" for flow in {*each, "promote"}}
        | {"cleanup/shop"}
    )
    assert own_names(APP) == set(wanted)


def test_where_terraform_makes_something_it_is_planned_every_day_and_made_by_whoever_starts_it() -> None:
    app = replace(APP, provisioned=frozenset({"staging"}))
    wanted = {each.full_name: each for each in own_deployments(app, a_form)}
    made = wanted["provision/shop-staging"]
    assert made.timetable is not None
    assert dict(made.timetable.parameters) == {"plan_only": True}
    assert "plan_only" not in made.parameters
    assert made.limit is None  # a person's run waits for the one that plans
    assert wanted["destroy/shop-staging"].parameters["dry_run"] is True
    assert "provision/shop-production" not in wanted
    assert own_names(app) == set(wanted)


def test_its_forms_are_filled_in_and_are_for_no_other_environment() -> None:
    for wanted in own_deployments(APP, a_form):
        assert wanted.parameters["source"] == {"repository": "/shop"}
        assert wanted.description.endswith(".")
        if wanted.flow != "cleanup":
            environment = wanted.name.removeprefix("shop-")
            assert wanted.parameters["environment"] == environment
            assert wanted.schema["properties"]["environment"]["enum"] == [environment]
            assert APP.environments[environment] in wanted.description
            assert told_by(wanted.tags) == ["shop", environment]
        assert {"slipway", "app:shop", REGISTERED, wanted.flow} <= set(wanted.tags)


def test_what_starts_by_itself_changes_nothing_and_never_overlaps() -> None:
    timed = {each.full_name: each for each in own_deployments(APP, a_form) if each.timetable}
    flows = {name.partition("/")[0] for name in timed}
    assert flows == {"drift", "reconcile", "cleanup"}
    assert all(each.limit == 1 for each in timed.values())
    assert timed["cleanup/shop"].parameters["dry_run"] is True
    assert timed["drift/shop-production"].parameters["refresh"] is False
    assert all(each.limit is None for each in own_deployments(APP, a_form) if not each.timetable)


def test_what_recovers_has_a_queue_of_its_own() -> None:
    queues = {each.flow: each.queue for each in own_deployments(APP, a_form)}
    assert {flow for flow, queue in queues.items() if queue == RECOVERY} == {"rollback", "reconcile"}
    generic = {each.flow: each.queue for each in generic_deployments()}
    assert {flow for flow, queue in generic.items() if queue == RECOVERY} == {"rollback", "reconcile"}


async def test_a_run_that_waits_for_a_person_keeps_none_waiting_and_no_run_keeps_a_rollback(
    prefect_server: dict[str, str],
) -> None:
    """Eight releases that waited for an approval kept a rollback waiting, as long as nobody answered."""
    with used_by_prefect(prefect_server):
        await _keeps_none_waiting()


async def _keeps_none_waiting() -> None:
    async with get_client() as client:
        pool = await client.create_work_pool(WorkPoolCreate(name="limited", type="process"))
        queue = await client.read_work_queue_by_name("default", pool.name)
        await client.update_work_queue(queue.id, concurrency_limit=1)

        async def a_run(flow: str, queue: str | None, *states: State[Any]) -> UUID:
            made = await client.create_flow_from_name(flow)
            deployment = await client.create_deployment(
                made, f"limited-{flow}", work_pool_name=pool.name, work_queue_name=queue, entrypoint="x"
            )
            run = await client.create_flow_run_from_deployment(deployment)
            for state in states:
                await client.set_flow_run_state(run.id, state, force=True)
            return run.id

        async def due() -> set[UUID]:
            """As a worker of all queues asks."""
            later = datetime.now(UTC) + timedelta(seconds=60)
            found = await client.get_scheduled_flow_runs_for_work_pool(pool.name, scheduled_before=later)
            return {each.flow_run.id for each in found}

        busy = await a_run("deploy", None, Pending(), Running())
        release, rollback = await a_run("deploy", None), await a_run("rollback", RECOVERY)
        assert await due() == {rollback}
        await client.set_flow_run_state(busy, Paused(timeout_seconds=600), force=True)
        assert await due() == {rollback, release}


def test_a_deploy_says_which_branch_is_shipped_when_it_is_pushed() -> None:
    app = replace(APP, branches={"staging": "main"})
    tagged = {each.full_name for each in own_deployments(app, a_form) if f"{BRANCH}main" in each.tags}
    assert tagged == {"deploy/shop-staging"}


def test_the_ref_of_one_start_is_not_kept() -> None:
    source = Source(repository="https://host/shop.git", ref="v1.0.0", folder="apps/shop", credentials="git-token")
    app = app_of(a_request().manifest, source, "pool")
    said: dict[str, Any] = dict(own_deployments(app, a_form)[0].parameters["source"])
    assert said == {"repository": "https://host/shop.git", "folder": "apps/shop", "credentials": "git-token"}
    assert app.environments["production"] == "project acme-prod, europe-west1, us-central1"


def test_a_narrowed_form_leaves_the_flows_own_as_it_was() -> None:
    narrowed(SCHEMA, environment="staging")
    assert SCHEMA["properties"] == {"source": {}, "environment": {"type": "string", "title": "environment"}}


@given(st.text(), st.text(), st.integers(1, 60))
def test_an_app_has_a_minute_of_its_own_and_always_the_same(app: str, environment: str, of: int) -> None:
    assert minute_of(app, environment, of=of) == minute_of(app, environment, of=of) in range(of)


def test_apps_do_not_all_begin_at_once() -> None:
    assert len({minute_of(f"app{number}", "production") for number in range(60)}) > 30
