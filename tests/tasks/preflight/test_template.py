"""What Google would not take is found before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.failures.cause import Cause
from tasks.model import Problem, Readiness
from tasks.preflight.checks import check_regions
from tasks.preflight.preflight import without_echoes
from tasks.preflight.template import check_templates
from tests.conftest import PROJECT
from tests.infra.emulator.identities import new_identity
from tests.tasks.preflight.conftest import Acting
from tests.tasks.preflight.requests import REGION, release, to_ship


@pytest.mark.parametrize("there", [False, True], ids=["on its first deployment", "when it is there"])
async def test_settings_that_cloud_run_refuses_are_a_problem(acting: Acting, there: bool) -> None:
    request = to_ship("memory: 8Gi")  # of which 1 CPU has too few
    if there:
        release(request)
    (problem,) = (await check_templates(request)).problems
    assert "Cloud Run does not take web as slipway.yaml describes it: " in problem.problem
    assert "memory must be between" in problem.problem
    assert problem.fix.startswith("correct services.web, or what environments.production says of it")


async def test_what_one_region_of_several_does_not_take_is_found_and_what_none_does_is_said_once(
    acting: Acting,
) -> None:
    """Only the first region was asked, and the second refused it after the build."""
    where = f"{REGION}, us-central1"
    connector = f"projects/{PROJECT}/locations/{REGION}/connectors/way"
    (problem,) = (await check_templates(to_ship(f"vpc: {{connector: {connector}}}", region=where))).problems
    assert "is not in us-central1, the region of the service" in problem.problem
    (problem,) = (await check_templates(to_ship("memory: 8Gi", region=where))).problems
    assert "memory must be between" in problem.problem


async def test_settings_that_it_takes_are_none_and_nothing_is_made(acting: Acting) -> None:
    request = to_ship("memory: 1Gi, secrets: {KEY: no-such-secret}")
    assert await check_templates(request) == Readiness()
    release(request)  # it was not there


async def test_who_may_not_ask_is_told_so_and_goes_on(acting: Acting, tmp_path: Path) -> None:
    with acting(new_identity(tmp_path).key_file):
        found = await check_templates(to_ship())
    assert not found.problems
    assert found.notes == ("Google could not be asked whether it takes web in europe-west1: PERMISSION_DENIED.",)


async def test_a_region_that_there_is_not_is_one_finding(acting: Acting) -> None:
    found = await check_regions(to_ship(region="europe-west99"))
    (problem,) = found.problems
    assert problem.problem.startswith("There is no Cloud Run region europe-west99; did you mean 'europe-west")
    assert f"gcloud run regions list --project={PROJECT}" in problem.fix
    echo = Problem("services", Cause.OTHER, "Could not be checked: there is no such place", "look")
    assert without_echoes(Readiness((echo, problem))).problems == (problem,)
