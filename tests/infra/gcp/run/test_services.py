"""Writes to Cloud Run services: whose fault it is when one is aborted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import services
from infra.gcp.run.traffic import TrafficTarget
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import HELLO, PARENT, new_name

pytestmark = pytest.mark.usefixtures("cloud_env")
LATEST = TrafficTarget(None, 100, "now")


@pytest.fixture(autouse=True)
def no_faults_left(cloud: LocalCloud) -> Iterator[None]:
    yield
    cloud.put("/faults", [])


async def new_service() -> services.RunService:
    return await services.create_service(
        f"{PARENT}/services/{new_name('written')}", {"template": {"containers": [{"image": HELLO}]}}, 60
    )


async def test_a_write_to_a_service_that_somebody_changed_is_aborted() -> None:
    service = await new_service()
    await services.set_traffic(service.name, [LATEST], service.etag, 60)
    with pytest.raises(GoogleError) as caught:
        await services.set_traffic(service.name, [replace(LATEST, tag="then")], service.etag, 60)
    assert caught.value.status == "ABORTED"


async def test_a_write_that_is_aborted_although_nobody_changed_the_service_may_be_made_again(cloud: LocalCloud) -> None:
    service = await new_service()
    cloud.put("/faults", [{"method": "google.cloud.run.v2.Services/UpdateService", "code": "ABORTED", "times": 1}])
    with pytest.raises(GoogleError) as caught:
        await services.set_traffic(service.name, [LATEST], service.etag, 60)
    assert caught.value.status == "UNAVAILABLE"
    written = await services.set_traffic(service.name, [LATEST], service.etag, 60)
    assert [target.tag for target in written.traffic] == ["now"]


async def test_a_write_whose_answer_is_lost_is_made_once(cloud: LocalCloud) -> None:
    service = await new_service()
    cloud.put("/faults", [{"method": "google.cloud.run.v2.Services/UpdateService", "drop": "after", "times": 1}])
    written = await services.set_traffic(service.name, [LATEST], service.etag, 60)
    assert (written.generation, [target.tag for target in written.traffic]) == (service.generation + 1, ["now"])


UPDATE = "google.cloud.run.v2.Services/UpdateService"


async def test_a_fence_that_comes_after_a_change_of_traffic_is_refused() -> None:
    service = await new_service()
    await services.set_traffic(service.name, [LATEST], service.etag, 60)
    with pytest.raises(GoogleError) as caught:
        await services.fence(service, "token", 60)
    assert caught.value.status == "ABORTED"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", {"made-by": "us"}),
        ("scaling", {"manualInstanceCount": 0, "scalingMode": "MANUAL"}),
        ("ingress", "INGRESS_TRAFFIC_INTERNAL_ONLY"),
        ("description", "ours"),
    ],
    ids=str,
)
@pytest.mark.parametrize("arrives", [True, False], ids=["arrives", "does not arrive"])
async def test_a_write_whose_answer_is_lost_counts_only_if_every_field_of_it_is_there(
    cloud: LocalCloud, field: str, value: object, *, arrives: bool
) -> None:
    service = await new_service()
    body = {"name": service.name, "etag": service.etag, field: value}
    cloud.put("/faults", [{"method": UPDATE, "drop": "after" if arrives else "before"}])
    if arrives:
        written = await services.update_service(body, [field], 60)
        assert written.generation == service.generation + 1
        return
    with pytest.raises(GoogleError):
        await services.update_service(body, [field], 60)
