"""An app's own deployments, made, changed and taken away in a real Prefect."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import PrefectHTTPStatusError

from deployments.apps import gone, read_registered, register_app, unregister
from deployments.automations import read_all
from deployments.generic import generic_deployments, register_generic
from deployments.own import App, own_names
from deployments.register import Change, Outcome, read_named
from tasks.failures.errors import ParameterError
from tasks.source.source import Source
from tests.cli.command import refusal, slipway
from tests.cli.conftest import POOL

pytestmark = pytest.mark.usefixtures("warm")

ROOT = Path(__file__).parent.parent.parent
STAGING = {"staging": "project acme-staging, europe-west1"}
PRODUCTION = {"production": "project acme-prod, europe-west1"}
FLOWS = ("deploy", "rollback", "drift", "reconcile", "doctor")
MANIFEST = """\
app: NAME
services: {web: {source: web}}
environments:
  production: {project: acme-prod, regions: [europe-west1]}
"""
_numbers: Iterator[int] = count(1)


@pytest.fixture
def app() -> App:
    """An app that no other test has, in one environment."""
    name = f"shop{next(_numbers)}"
    return App(name, PRODUCTION, Source(repository=f"https://host/{name}.git"), POOL)


def changes(outcomes: list[Outcome]) -> dict[str, Change]:
    return {each.name: each.change for each in outcomes}


def different(outcomes: list[Outcome]) -> dict[str, tuple[str, ...]]:
    """What was not left alone, with the fields that differed."""
    return {each.name: each.fields for each in outcomes if each.change is not Change.UNCHANGED}


async def one(prefect: PrefectClient, name: str) -> DeploymentResponse:
    return await prefect.read_deployment_by_name(name)


async def test_a_form_is_filled_in_and_takes_no_other_environment(prefect: PrefectClient, app: App) -> None:
    outcomes = await register_app(prefect, app)
    assert {name for name, change in changes(outcomes).items() if change is Change.CREATED} > own_names(app)
    made = await one(prefect, f"deploy/{app.name}-production")
    assert made.parameters == {"source": {"repository": app.source.repository}, "environment": "production"}
    run = await prefect.create_flow_run_from_deployment(made.id)
    assert run.parameters == made.parameters
    assert {f"app:{app.name}", "environment:production"} <= set(run.tags)
    with pytest.raises(PrefectHTTPStatusError, match="409"):
        await prefect.create_flow_run_from_deployment(made.id, parameters={"environment": "staging"})


async def test_what_runs_by_itself_is_scheduled_and_does_not_overlap(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, app)
    drift = await one(prefect, f"drift/{app.name}-production")
    assert drift.global_concurrency_limit is not None
    assert (drift.global_concurrency_limit.limit, drift.schedules[0].active) == (1, True)
    assert drift.concurrency_options is not None
    assert drift.concurrency_options.collision_strategy == "CANCEL_NEW"
    cleanup = await one(prefect, f"cleanup/{app.name}")
    assert cleanup.parameters["dry_run"] is True
    assert isinstance(cleanup.schedules[0].schedule, CronSchedule)
    assert not (await one(prefect, f"deploy/{app.name}-production")).schedules


async def test_where_nothing_has_changed_nothing_is_written(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, app)
    before = await read_named(prefect, {f"{app.name}-production", app.name})
    assert set(changes(await register_app(prefect, app)).values()) == {Change.UNCHANGED}
    after = await read_named(prefect, {f"{app.name}-production", app.name})
    assert {name: each.updated for name, each in after.items()} == {name: each.updated for name, each in before.items()}


async def test_what_has_changed_is_changed_and_told(prefect: PrefectClient, app: App) -> None:
    app = replace(app, environments=STAGING | PRODUCTION)
    await register_app(prefect, app)
    elsewhere = {"staging": "project acme-qa, europe-west1", **PRODUCTION}
    outcomes = different(await register_app(prefect, replace(app, environments=elsewhere)))
    assert outcomes == {f"{flow}/{app.name}-staging": ("description",) for flow in FLOWS}
    locked = replace(app, source=app.source.model_copy(update={"credentials": "git-token"}))
    assert set(different(await register_app(prefect, locked))[f"cleanup/{app.name}"]) == {"parameter source"}


async def test_what_a_person_has_set_in_the_ui_stays(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, app)
    drift = await one(prefect, f"drift/{app.name}-production")
    await prefect.update_deployment_schedule(
        drift.id, drift.schedules[0].id, active=False, schedule=CronSchedule(cron="0 6 * * *", timezone="Europe/Berlin")
    )
    update = DeploymentUpdate(paused=True, job_variables={"env": {"LEVEL": "debug"}}, description="mine")
    await prefect.update_deployment(drift.id, update)
    assert different(await register_app(prefect, app)) == {f"drift/{app.name}-production": ("description",)}
    after = await one(prefect, f"drift/{app.name}-production")
    assert (after.paused, after.job_variables, after.schedules[0].active) == (True, {"env": {"LEVEL": "debug"}}, False)
    assert after.schedules[0].schedule == CronSchedule(cron="0 6 * * *", timezone="Europe/Berlin")


async def test_who_was_stopped_in_the_middle_runs_it_again(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, app)
    lost = await one(prefect, f"rollback/{app.name}-production")
    await prefect.delete_deployment(lost.id)
    outcomes = changes(await register_app(prefect, app))
    assert [name for name, change in outcomes.items() if change is Change.CREATED] == [
        f"rollback/{app.name}-production"
    ]


async def test_an_environment_that_has_gone_is_told_and_taken_away_alone(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, replace(app, environments=STAGING | PRODUCTION))
    smaller = replace(app, environments=PRODUCTION)
    told = {name for name, change in changes(await register_app(prefect, smaller)).items() if change is Change.GONE}
    assert told == {
        *(f"{flow}/{app.name}-staging" for flow in FLOWS),
        f"promote/{app.name}-production",  # there is nowhere to promote from any more
        f"automation 'slipway: tidy up {app.name}-staging'",
    }
    there = await read_registered(prefect, app.name)
    assert {each.name for each in await unregister(prefect, gone(smaller, there))} == told
    assert set((await read_registered(prefect, app.name)).deployments) == own_names(smaller)


async def test_taking_an_app_away_leaves_all_others(prefect: PrefectClient, app: App) -> None:
    other = replace(app, name=f"{app.name}-b")
    await register_app(prefect, app)
    await register_app(prefect, other)
    await unregister(prefect, await read_registered(prefect, app.name))
    assert not (await read_registered(prefect, app.name)).names
    assert set((await read_registered(prefect, other.name)).deployments) == own_names(other)
    assert await one(prefect, "deploy/any")


async def test_a_deployment_of_somebody_else_is_not_taken_over(prefect: PrefectClient, app: App) -> None:
    flow = await prefect.create_flow_from_name("doctor")
    theirs = await prefect.create_deployment(flow, f"{app.name}-production", description="theirs")
    with pytest.raises(ParameterError, match=f"doctor/{app.name}-production is there already"):
        await register_app(prefect, app)
    assert (await prefect.read_deployment(theirs)).description == "theirs"
    assert not (await read_registered(prefect, app.name)).names


async def test_an_app_moves_to_another_repository_only_when_that_is_said(prefect: PrefectClient, app: App) -> None:
    await register_app(prefect, app)
    moved = replace(app, source=Source(repository="https://elsewhere/shop.git"))
    with pytest.raises(ParameterError, match=re.escape(app.source.repository)) as refused:
        await register_app(prefect, moved)
    assert "--move" in refused.value.remedy
    outcomes = different(await register_app(prefect, moved, moves=True))
    assert set(outcomes) == own_names(app)
    assert set(outcomes.values()) == {("parameter source",)}


async def test_a_work_pool_that_is_not_there_is_named(prefect: PrefectClient, app: App) -> None:
    with pytest.raises(ParameterError, match="no work pool nowhere") as refused:
        await register_app(prefect, replace(app, pool="nowhere"))
    assert "prefect work-pool create nowhere" in refused.value.remedy


async def test_an_automation_is_there_once_and_off_where_a_person_has_switched_it_off(
    prefect: PrefectClient, app: App
) -> None:
    await register_app(prefect, app)
    name = f"slipway: tidy up {app.name}-production"
    [made] = [each for each in await read_all(prefect) if each.name == name]
    await prefect.create_automation(AutomationCore.model_validate(made.model_dump()))
    await prefect.pause_automation(made.id)
    await register_app(prefect, app)
    [kept] = [each for each in await read_all(prefect) if each.name == name]
    assert not kept.enabled


def described(folder: Path, name: str) -> Path:
    (folder / "web").mkdir()
    (folder / "web" / "Dockerfile").write_text("FROM python:3.12-slim\n")
    (folder / "slipway.yaml").write_text(MANIFEST.replace("NAME", name))
    return folder


def test_the_command_prints_what_it_did_and_takes_it_away_again(prefect_url: str, tmp_path: Path) -> None:
    folder = described(tmp_path, "terminal")
    done = slipway("register", cwd=folder, PREFECT_API_URL=prefect_url)
    assert done.returncode == 0, done
    assert re.search(r"deploy/terminal-production +created", done.stdout)
    asked = slipway("unregister", cwd=folder, PREFECT_API_URL=prefect_url)
    assert "--yes" in refusal(asked)
    away = slipway("unregister", "--yes", "--json", cwd=folder, PREFECT_API_URL=prefect_url)
    assert {"name": "cleanup/terminal", "change": "removed", "fields": []} in json.loads(away.stdout)
    assert "nothing for terminal" in refusal(slipway("unregister", "--yes", cwd=folder, PREFECT_API_URL=prefect_url))


@pytest.mark.parametrize("command", ["register", "unregister"])
def test_a_server_that_is_not_there_is_said(command: str, tmp_path: Path) -> None:
    folder = described(tmp_path, "nowhere")
    said = refusal(slipway(command, cwd=folder, PREFECT_API_URL="http://127.0.0.1:9/api"))
    assert "Prefect's API at http://127.0.0.1:9/api does not answer" in said


def test_a_block_whose_name_cannot_be_is_refused(prefect_url: str, tmp_path: Path) -> None:
    arguments = ("register", "--repository=https://host/shop.git", "--credentials=My Token")
    assert "The source cannot be that: credentials" in refusal(
        slipway(*arguments, cwd=tmp_path, PREFECT_API_URL=prefect_url)
    )


def test_a_folder_without_slipway_yaml_is_told_what_to_do(prefect_url: str, tmp_path: Path) -> None:
    assert "slipway init" in refusal(slipway("register", cwd=tmp_path, PREFECT_API_URL=prefect_url))


async def test_those_of_prefect_yaml_are_just_what_prefects_own_command_makes(
    prefect: PrefectClient, tmp_path: Path
) -> None:
    """One after the other, against each other: ours finds nothing to change. Other tests have some of these names."""
    said = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    for each in said["deployments"]:
        each["name"] = each["name"] if each["name"] in ("cleanup", "doctor", "reconcile") else f"real-{each['name']}"
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump(said))
    settings = {"PREFECT_API_URL": str(prefect.api_url), "PREFECT_HOME": str(tmp_path / "home")}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=tmp_path, env=os.environ | settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    wanted = generic_deployments(tmp_path / "prefect.yaml")
    outcomes = changes(await register_generic(prefect, wanted))
    assert {change for name, change in outcomes.items() if "/" in name} == {Change.UNCHANGED}
    assert outcomes["automation 'slipway: tidy up'"] is Change.CREATED
    assert set(changes(await register_generic(prefect, wanted)).values()) == {Change.UNCHANGED}
