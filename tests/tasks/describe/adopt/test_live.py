"""Services as the local Cloud Run has them."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import run_v2

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access
from tasks.describe.adopt.live import read_services
from tasks.describe.adopt.seen import Seen
from tasks.failures.errors import ParameterError
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import REGION, Run, latest, new_name, template, to

pytestmark = pytest.mark.usefixtures("cloud_env")


async def read(*names: str, regions: tuple[str, ...] = (REGION,)) -> list[Seen]:
    return await read_services(PROJECT, regions, names, lambda line: None)


def env(seen: Seen) -> Any:
    return seen.body["template"]["containers"][0]["env"]


async def test_a_service_is_seen_as_it_is_with_who_may_call_it() -> None:
    run, name = Run(), new_name("adopt")
    run.create(name, template(env={"A": "1"}), ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL)
    (seen,) = await read(name)
    assert (seen.name, seen.region, seen.project, seen.public) == (name, REGION, PROJECT, True)
    assert env(seen) == [{"name": "A", "value": "1"}]
    assert seen.notes == ()


async def test_who_else_may_call_it_is_seen_and_whom_slipway_yaml_cannot_name_is_told() -> None:
    run, name = Run(), new_name("adopt")
    made = run.create(name, public=False)
    await access.let_in(made.name, ["user:caller@example.com", "projectEditor:acme"])
    (seen,) = await read(name)
    assert (seen.public, seen.invokers) == (False, ("user:caller@example.com",))
    (note,) = seen.notes
    assert note.startswith("It may be called by projectEditor:acme; that stays")


async def test_what_serves_is_seen_and_not_what_was_last_asked_for() -> None:
    run, name = Run(), new_name("adopt")
    made = run.create(name, template(env={"A": "serves"}))
    first = made.latest_ready_revision.rpartition("/")[2]
    made.template = template(env={"A": "asked for"})
    made.traffic = [to(first, 90), latest(10, "next")]
    run.update(made)
    (seen,) = await read(name)
    assert env(seen) == [{"name": "A", "value": "serves"}]
    told = " ".join(seen.notes)
    assert f"{first} 90 %" in told
    assert f"This is what serves, {first}" in told
    assert "next (the newest)" in told


async def test_a_service_that_is_not_there_is_told_with_those_that_are() -> None:
    run, name = Run(), new_name("adopt-there")
    run.create(name)
    with pytest.raises(ParameterError, match=rf"no Cloud Run service adopt-ther[\s\S]*{name}"):
        await read(name, "adopt-ther")
    with pytest.raises(ParameterError, match="There is no Cloud Run service in"):
        await read(regions=("us-west1",))


async def test_a_project_that_may_not_be_seen_is_googles_to_refuse() -> None:
    with pytest.raises(GoogleError, match=r"run\.services\.list"):
        await read_services("acme-nowhere", [REGION], (), lambda line: None)


async def test_all_services_of_a_region_are_read_and_each_is_told() -> None:
    run, names = Run(), {new_name("adopt"), new_name("adopt")}
    for name in names:
        run.create(name)
    told: list[str] = []
    seen = await read_services(PROJECT, [REGION], (), told.append)
    assert names <= {each.name for each in seen}
    assert {f"{name} in {REGION}" for name in names} <= set(told)
