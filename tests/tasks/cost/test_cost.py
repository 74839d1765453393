"""An estimate against the local cloud: its price list, its services, and what is live."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.logging import disable_run_logger

from infra.gcp import billing
from infra.gcp.calls.errors import GoogleError
from tasks.cost.cost import estimated, tell_unknown
from tasks.cost.limit import Estimate
from tasks.failures.errors import CloudError, TooExpensive
from tasks.model import Override
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import Run, new_name, template
from tests.tasks.builders import a_request

KEPT = "Services Min Instance CPU (Request-based billing)"
MANIFEST = """
app: {app}
services:
  web: {{min_instances: 1}}
worker_pools:
  mailer: {{scaling: 3}}
jobs:
  tidy: {{}}
environments:
  staging: {{project: acme-test, regions: [europe-west1], cost: {{max_floor: 100}}}}
"""


@pytest.fixture
def faults(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])
    cloud.put("/prices", {})


async def an_estimate(app: str, currency: str = "USD") -> Estimate:
    request = a_request("staging", MANIFEST.format(app=app))
    found: Estimate = await estimated.fn(request, currency)  # type: ignore[attr-defined]  # the task without Prefect
    return found


async def test_the_figures_follow_the_price_list_and_what_is_live(faults: LocalCloud) -> None:
    app = new_name("priced")
    first = await an_estimate(app)
    assert first.floor == pytest.approx(9.855 + 93.516, abs=0.001)
    assert first.was == 0.0
    Run().create(f"{app}-web", template(scaling={"min_instance_count": 1}, container={"resources": {"cpu_idle": True}}))
    again = await an_estimate(app)
    [web] = [part for part in again.parts if part.key == "services.web"]
    assert web.was == pytest.approx(9.855)
    assert web.floor == pytest.approx(2 * 9.855)
    assert web.former == pytest.approx(9.855)  # what served before stays warm
    faults.put("/prices", {KEPT: 5e-6})
    dearer = await an_estimate(app)
    assert dearer.floor == pytest.approx(2 * (5e-6 + 1.25e-6) * 2_628_000 + 93.516, abs=0.001)
    faults.put("/prices", {})
    in_euros = await an_estimate(app, "EUR")
    assert in_euros.floor == pytest.approx((2 * 9.855 + 93.516) * 0.86, rel=0.01)


def test_a_limit_that_nobody_can_hold_a_release_to_needs_an_override() -> None:
    request, down = a_request("staging", MANIFEST.format(app="shop")), CloudError("Cloud Billing does not answer.")
    with disable_run_logger():
        with pytest.raises(TooExpensive, match="What staging costs cannot be told: Cloud Billing does not answer"):
            tell_unknown(request, down, None)
        tell_unknown(request, down, Override(who="Ada", why="the shop is down"))


async def test_a_list_of_which_a_page_fails_is_an_error_and_no_shorter_list(faults: LocalCloud) -> None:
    with pytest.raises(GoogleError, match="INVALID_ARGUMENT"):
        await billing.list_skus(billing.RUN, "XXX")
    faults.put("/faults", [{"method": "*/ListSkus", "code": "PERMISSION_DENIED"}])
    with pytest.raises(GoogleError, match="PERMISSION_DENIED"):
        await billing.list_skus(billing.RUN, "USD")
