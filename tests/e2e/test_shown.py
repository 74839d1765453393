"""What people see of a run in Prefect: by what it is found, and why it failed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from prefect import State, flow, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
)
from prefect.client.schemas.objects import FlowRun

from flows.doctor import doctor
from tasks.names.tags import WAITS
from tasks.orchestration.approval import ask
from tasks.source.source import Source
from tests.e2e.conftest import App

pytestmark = pytest.mark.usefixtures("cloud_env")


async def ended(repository: Path) -> FlowRun:
    """A run of doctor, however it ended."""
    state: State[Any] = await doctor(Source(repository=str(repository)), "production", return_state=True)
    assert state.state_details.flow_run_id is not None
    async with get_client() as client:
        return await client.read_flow_run(state.state_details.flow_run_id)


async def failure_of(run: FlowRun) -> tuple[str | None, str]:
    """Key and text of the artifact that says why."""
    async with get_client() as client:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        )
    [page] = [each for each in found if each.type == "markdown"]
    return page.key, str(page.data)


async def test_a_run_that_went_well_says_what_it_did_and_what_it_is_about(shop: App) -> None:
    run = await ended(shop.folder)
    assert run.name == f"doctor of {shop.name} v1.0.0 -> production"
    assert {f"app:{shop.name}", "environment:production"} <= set(run.tags)


async def test_a_failure_is_a_page_of_its_own_with_the_remedy(shop: App) -> None:
    shop.manifest("  web: {}", project="no-such-project-here")
    shop.commit("v1.0.1")
    run = await ended(shop.folder)
    assert {f"app:{shop.name}", "environment:production"} <= set(run.tags)
    key, text = await failure_of(run)
    assert key == f"{shop.name}-production-failure"
    assert text.startswith(f"# doctor of {shop.folder.name} for production: failed\n")
    assert "no-such-project-here" in text
    assert "## To fix" in text


async def test_a_run_that_does_not_come_as_far_as_slipway_yaml_is_named_by_its_source(tmp_path: Path) -> None:
    run = await ended(tmp_path / "nowhere")
    assert run.name == "doctor of nowhere for production"
    key, text = await failure_of(run)
    assert key == "doctor-failure"
    assert "is not a folder on this machine" in text


@flow(name="asking", flow_run_name="asking")
async def asking() -> str:
    return (await ask("Is it **good**?", "good", 60, "Nothing was changed.")).who


async def test_a_run_that_waits_for_a_person_says_so_in_its_name(tmp_path: Path) -> None:
    work = asyncio.create_task(asking())
    async with get_client() as client, asyncio.timeout(60):
        wanted = FlowRunFilter(name=FlowRunFilterName(any_=[f"asking{WAITS}"]))
        while not (found := await client.read_flow_runs(flow_run_filter=wanted)) or not (
            found[0].state and found[0].state.is_paused()
        ):
            assert not work.done(), work.result()
            await asyncio.sleep(0.05)
        await client.resume_flow_run(found[0].id, {"decision": "go", "who": "Ada"})
        assert await work == "Ada"
        assert (await client.read_flow_run(found[0].id)).name == "asking"
