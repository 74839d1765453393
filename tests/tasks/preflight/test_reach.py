"""A service that nobody can ask from here is named with the setting that closes it."""

from __future__ import annotations

import pytest
from google.cloud import run_v2

from tasks.analysis.permitted import AUDIENCES_VARIABLE
from tasks.failures.cause import Cause
from tasks.model import Readiness
from tasks.orchestration.addresses import NETWORKS_VARIABLE
from tasks.preflight.reach import check_reach
from tests.conftest import PROJECT
from tests.tasks.preflight.conftest import Acting
from tests.tasks.preflight.requests import REGION, name_of, release, to_ship

INTERNAL = run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY
BALANCER = run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER


@pytest.mark.parametrize(
    ("service", "track", "flag"),
    [
        (run_v2.Service(ingress=INTERNAL), "", "--ingress=all"),
        (run_v2.Service(ingress=BALANCER), "", "--ingress=all"),
        (run_v2.Service(iap_enabled=True), "beta ", "--no-iap"),
        (run_v2.Service(default_uri_disabled=True), "beta ", "--default-url"),
    ],
    ids=["internal", "load balancer", "IAP", "no default URL"],
)
async def test_what_keeps_requests_away_is_said_before_anything_is_built(
    acting: Acting, service: run_v2.Service, track: str, flag: str
) -> None:
    request = to_ship("public: true")
    release(request, service, public=True)
    (problem,) = (await check_reach(request)).problems
    assert problem.cause is Cause.INVALID_CONFIG
    assert problem.problem.startswith(f"web in {REGION} cannot be proven from here: ")
    short = name_of(request).rsplit("/", 1)[1]
    where = f"--region={REGION} --project={PROJECT}"
    assert f"; or: gcloud {track}run services update {short} {where} {flag}" in problem.fix
    assert problem.fix.startswith("say in slipway.yaml as services.web.health.")


@pytest.mark.parametrize(
    ("said", "service"),
    [
        ("ingress: internal", None),
        ("ingress: internal-and-cloud-load-balancing", run_v2.Service()),
        ("public: true", run_v2.Service(ingress=BALANCER)),
    ],
    ids=["a new service", "open until now", "closed by others"],
)
async def test_a_service_that_is_closed_or_will_be_is_proven_where_slipway_yaml_says(
    acting: Acting, said: str, service: run_v2.Service | None
) -> None:
    async def found(health: str) -> Readiness:
        request = to_ship(said + health)
        if service:
            release(request, service)
        return await check_reach(request)

    (problem,) = (await found("")).problems
    assert "services.web.health.url" in problem.fix
    assert await found(", health: {url: 'https://{tag}---shop.example.com'}") == Readiness()
    late = await found(", health: {url: 'https://shop.example.com'}")
    assert not late.problems
    assert "once it has traffic, and not before" in late.notes[0]


async def test_identity_aware_proxy_lets_in_who_names_its_audience(
    acting: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUDIENCES_VARIABLE, "client-id")
    request = to_ship("health: {audience: client-id}")
    release(request, run_v2.Service(iap_enabled=True))
    assert await check_reach(request) == Readiness()


@pytest.mark.parametrize(
    ("said", "variable"),
    [("audience: client-id", AUDIENCES_VARIABLE), ("url: 'http://10.1.2.3/{tag}'", NETWORKS_VARIABLE)],
)
async def test_what_the_operator_of_the_worker_has_not_allowed_is_told_before_anything_is_made(
    acting: Acting, said: str, variable: str
) -> None:
    (problem,) = (await check_reach(to_ship(f"health: {{{said}}}"))).problems
    assert problem.cause is Cause.PERMISSION
    assert f"{variable} of the worker does not list" in problem.problem
    assert problem.fix == (
        "have the operator of the worker list it there, or correct services.web.health in slipway.yaml"
    )


async def test_a_service_that_takes_requests_from_everywhere_or_is_not_there_is_no_problem(acting: Acting) -> None:
    request = to_ship()
    assert await check_reach(request) == Readiness()
    release(request)
    assert await check_reach(request) == Readiness()
