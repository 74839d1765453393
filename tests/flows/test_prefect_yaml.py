"""prefect.yaml can be deployed as it stands, and its forms explain themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow, __version__
from prefect.cli.deploy._models import RawScheduleConfig
from prefect.cli.deploy._schedules import _schedule_config_to_deployment_schedule
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from tasks.orchestration.parameters import refuse_parameters

ROOT = Path(__file__).parent.parent.parent
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = DOCUMENT["deployments"]
SCHEDULES = [(deployment, schedule) for deployment in DEPLOYMENTS for schedule in deployment.get("schedules", [])]
# What `prefect deploy` reads of a deployment; it passes over any other key without a word.
KEYS = {
    "name", "entrypoint", "description", "tags", "parameters", "work_pool", "schedules", "triggers",
    "concurrency_limit", "enforce_parameter_schema", "paused", "version", "pull",
}  # fmt: skip


def name(deployment: dict[str, Any]) -> str:
    return f"{deployment['entrypoint'].rsplit('.', 1)[-1]}/{deployment['name']}"


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    return load_flow_from_entrypoint(deployment["entrypoint"])


def schema_of(deployment: dict[str, Any]) -> dict[str, Any]:
    return parameter_schema(flow_of(deployment)).model_dump_for_openapi()


def refuse_unfit(parameters: dict[str, Any], schema: dict[str, Any]) -> None:
    """Defaults may leave parameters out, but have none that the flow does not know, and none of the wrong kind."""
    assert set(parameters) <= set(schema["properties"])
    validate(parameters, schema, raise_on_error=True, ignore_required=True)


def undescribed(schema: dict[str, Any]) -> Iterator[str]:
    """Parameters, and fields of the models among them, that a form would show without a word of explanation."""
    groups = {"": schema["properties"]}
    groups |= {f"{model}.": found.get("properties", {}) for model, found in schema.get("definitions", {}).items()}
    for group, fields in groups.items():
        yield from (f"{group}{field}" for field, said in fields.items() if not said.get("description"))


each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=name)


def test_the_file_names_the_prefect_that_is_installed() -> None:
    assert DOCUMENT["prefect-version"] == __version__


def test_no_two_deployments_of_a_flow_share_a_name() -> None:
    assert max(Counter(map(name, DEPLOYMENTS)).values()) == 1


def test_every_flow_can_be_started() -> None:
    """A file of flows/ that no deployment names is one that nobody can start from the Prefect UI."""
    files = {file.stem for file in (ROOT / "flows").glob("*.py") if file.stem != "__init__"}
    assert {deployment["entrypoint"].split(".")[1] for deployment in DEPLOYMENTS} == files


@each_deployment
def test_a_deployment_has_no_key_that_prefect_would_pass_over(deployment: dict[str, Any]) -> None:
    assert set(deployment) <= KEYS


@each_deployment
def test_a_deployment_says_what_it_is_for_and_where_it_runs(deployment: dict[str, Any]) -> None:
    assert deployment["description"].endswith(".")
    assert deployment["work_pool"]["name"]
    assert "slipway" in deployment["tags"]


@each_deployment
def test_an_entrypoint_is_a_module_path_that_leads_to_a_flow(deployment: dict[str, Any]) -> None:
    assert ":" not in deployment["entrypoint"]  # a file path would load the module under another name
    flow = flow_of(deployment)
    assert isinstance(flow, Flow)
    assert flow.name == name(deployment).partition("/")[0]


@each_deployment
def test_the_default_parameters_fit_the_flow(deployment: dict[str, Any]) -> None:
    refuse_unfit(deployment.get("parameters", {}), schema_of(deployment))


@each_deployment
def test_the_form_describes_every_parameter(deployment: dict[str, Any]) -> None:
    assert not list(undescribed(schema_of(deployment)))


@pytest.mark.parametrize(
    ("deployment", "schedule"), SCHEDULES, ids=[f"{name(deployment)}" for deployment, _ in SCHEDULES]
)
def test_a_schedule_can_be_read_and_its_parameters_complete_the_flow(
    deployment: dict[str, Any], schedule: dict[str, Any]
) -> None:
    RawScheduleConfig.model_validate(schedule)
    _schedule_config_to_deployment_schedule(schedule)
    parameters = {**deployment.get("parameters", {}), **schedule.get("parameters", {})}
    refuse_unfit(parameters, schema_of(deployment))
    if schedule.get("active", True):  # nobody fills in a form for it
        assert set(schema_of(deployment).get("required", ())) <= set(parameters)


@pytest.mark.parametrize(
    "parameters",
    [{"enviroment": "production"}, {"environment": 5}, {"source": {"repository": "/x", "reff": "main"}}],
    ids=["unknown parameter", "wrong type", "unknown key in the source"],
)
def test_defaults_that_do_not_fit_would_be_noticed(parameters: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        refuse_unfit(parameters, schema_of(DEPLOYMENTS[0]))


@each_deployment
def test_a_run_whose_parameters_cannot_be_bound_is_told_why(deployment: dict[str, Any]) -> None:
    """Such a run crashes before the flow begins, so that only its hook can say something; others may use its words."""
    hooks = flow_of(deployment).on_crashed_hooks
    assert hooks
    assert hooks[0] is refuse_parameters
