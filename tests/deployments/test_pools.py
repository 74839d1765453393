"""The base job templates for work pools: Prefect's own but for what a release needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import Settings
from prefect.settings.models.server.root import ServerSettings
from pydantic import BaseModel

from deployments.pools.templates import FOLDER, IMAGE, KINDS, LONGEST_RUN_S, TOLD_TO_END, file_of, template
from tasks.manifest.shipping import Timeouts

each_kind = pytest.mark.parametrize("kind", KINDS)
in_container = pytest.mark.parametrize("kind", sorted(set(KINDS) - {"process"}))


def read(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file_of(kind).read_text())
    return found


def defaults(kind: str) -> dict[str, Any]:
    return {name: each.get("default") for name, each in read(kind)["variables"]["properties"].items()}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def shape(value: object) -> object:
    """Which settings there are, whatever they say."""
    return {name: shape(each) for name, each in value.items()} if isinstance(value, dict) else None


@each_kind
def test_a_file_is_what_prefect_publishes_now_with_our_changes(kind: str) -> None:
    assert read(kind) == template(kind), "python -m deployments.pools.templates"


@each_kind
def test_prefect_takes_it_for_a_work_pool(kind: str) -> None:
    WorkPoolCreate(name="slipway", type=kind, base_job_template=read(kind))


@each_kind
def test_nothing_that_prefect_publishes_is_lost(kind: str) -> None:
    published, ours = KINDS[kind][0](), read(kind)
    assert shape(ours["variables"]["properties"]) != {}
    assert set(strings(published["job_configuration"])) <= set(strings(ours["job_configuration"]))
    assert set(ours["variables"]["properties"]) == set(published["variables"]["properties"])


@each_kind
def test_every_place_to_fill_in_has_a_variable(kind: str) -> None:
    asked = {name for each in strings(read(kind)["job_configuration"]) for name in re.findall(r"\{\{ (\w+) \}\}", each)}
    assert asked <= set(defaults(kind))


@each_kind
def test_defaults_are_of_the_type_that_prefect_asks_for(kind: str) -> None:
    schema = read(kind)["variables"]
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({name: value for name, value in defaults(kind).items() if value is not None}, schema)


@in_container
def test_a_container_is_of_our_image_by_digest(kind: str) -> None:
    assert defaults(kind)["image"] == IMAGE
    assert "@sha256:" in IMAGE


def places(settings: type[BaseModel]) -> Iterator[str]:
    """The variables of Prefect's settings that name a file or a folder, as a worker hands them on."""
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from places(field.annotation)
        elif field.annotation is Path or name.endswith(("_file", "_path", "_directory")):
            yield f"{settings.model_config.get('env_prefix')}{name}".upper()


def secrets(settings: type[BaseModel]) -> Iterator[str]:
    """The variables of a server's secrets."""
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from secrets(field.annotation)
        elif "Secret" in str(field.annotation):
            yield f"{settings.model_config.get('env_prefix')}{name}".upper()


@in_container
def test_no_place_on_the_workers_disk_and_no_password_of_a_server_is_handed_on_to_a_container(kind: str) -> None:
    """PREFECT_API_SSL_CERT_FILE of a worker is no file there, and a run ended before it had begun."""
    named = {name for name in places(Settings) if not name.startswith("PREFECT_SERVER_")}
    assert {"PREFECT_HOME", "PREFECT_API_SSL_CERT_FILE", "PREFECT_LOGGING_CONFIG_PATH"} <= named
    of_servers = {*secrets(ServerSettings), "PREFECT_SERVER_DOCKET_URL"}  # a Redis with its password
    assert "PREFECT_SERVER_DATABASE_CONNECTION_URL" in of_servers
    said = {name: value for name, value in defaults(kind)["env"].items() if name not in TOLD_TO_END}
    assert set(said) == named | of_servers
    assert [name for name, value in said.items() if value] == ["PREFECT_HOME"]


@in_container
def test_a_container_keeps_prefects_files_where_the_image_lets_it_write_and_not_where_its_worker_does(
    kind: str,
) -> None:
    image = (FOLDER.parent / "image" / "Containerfile").read_text()
    assert re.findall(r"\bPREFECT_HOME=(\S+)", image) == [defaults(kind)["env"]["PREFECT_HOME"]]


def test_no_run_is_cut_off_that_may_go_on_by_its_own_limits() -> None:
    assert Timeouts().total_s <= LONGEST_RUN_S
    assert defaults("cloud-run-v2")["timeout"] == LONGEST_RUN_S  # Prefect's own is 600 s
    job = read("kubernetes")["job_configuration"]["job_manifest"]["spec"]
    assert job["activeDeadlineSeconds"] == LONGEST_RUN_S


def test_a_run_is_begun_once_and_has_time_to_give_traffic_back() -> None:
    job = read("kubernetes")["job_configuration"]["job_manifest"]["spec"]
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
    assert defaults("cloud-run-v2")["max_retries"] == 0


def test_jobs_that_have_ended_do_not_pile_up() -> None:
    assert defaults("kubernetes")["finished_job_ttl"]
    assert defaults("cloud-run-v2")["keep_job"] is False
    assert defaults("docker")["auto_remove"] is True
