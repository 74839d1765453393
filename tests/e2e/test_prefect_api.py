"""Runs that are started over Prefect's API, with right and wrong parameters, and done by a worker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from prefect.settings import get_current_settings

from tests.e2e.conftest import App

pytestmark = pytest.mark.usefixtures("cloud_env", "worker")

PATIENCE_S = 200.0
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}


class Api:
    """Prefect's API as any HTTP client sees it."""

    def __init__(self, http: httpx.AsyncClient, deployment: str) -> None:
        self._http = http
        self._deployment = deployment

    async def start(self, parameters: dict[str, Any], *, enforce: bool = True) -> httpx.Response:
        body = {"parameters": parameters, "enforce_parameter_schema": enforce}
        return await self._http.post(f"/deployments/{self._deployment}/create_flow_run", json=body)

    async def ended(self, run: httpx.Response) -> dict[str, Any]:
        """The run in its last state; a crashed one is still to be failed by its hook."""
        assert run.status_code == 201, run.text
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._http.get(f"/flow_runs/{run.json()['id']}")
                found: dict[str, Any] = answer.raise_for_status().json()
                if found["state"]["type"] in FINAL:
                    return found
                await asyncio.sleep(0.5)

    async def logs(self, run: dict[str, Any]) -> str:
        body = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200}
        answer = await self._http.post("/logs/filter", json=body)
        return "\n".join(line["message"] for line in answer.raise_for_status().json())


@pytest.fixture(scope="module")
async def api(worker: None) -> Any:
    url = str(get_current_settings().api.url)
    kept = httpx.Limits(keepalive_expiry=2)  # the server hangs up after five seconds, which is also httpx's default
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, limits=kept) as http:
        answer = await http.get("/deployments/name/deploy/production")
        yield Api(http, answer.raise_for_status().json()["id"])


def source(app: App, **more: str) -> dict[str, Any]:
    return {"source": {"repository": str(app.folder), **more}}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "'source' is a required property"),
        ({"source": "/srv/shop"}, "'/srv/shop' is not of type 'object'"),
        ({"source": {"repository": "/srv/shop", "reff": "v1"}}, "'reff' was unexpected"),
        ({"source": {"ref": "v1"}}, "'repository' is a required property"),
        ({"source": {"repository": "/srv/shop"}, "services": "web"}, "field 'services'"),
    ],
    ids=["no source", "a source that is no object", "an unknown key", "a missing key", "a list that is none"],
)
async def test_prefect_refuses_what_the_form_would_not_allow(api: Api, parameters: dict[str, Any], said: str) -> None:
    answer = await api.start(parameters)
    assert answer.status_code == 409
    assert said in answer.json()["detail"]


async def test_what_prefect_lets_through_fails_the_run_and_says_why(api: Api, shop: App) -> None:
    """Each in a process of its own, two at a time; the client may also have asked not to check the parameters."""
    wrong: dict[str, tuple[dict[str, Any], bool]] = {
        "the app {app} has no environment 'nowhere'": ({**source(shop), "environment": "nowhere"}, True),
        "services: pay not in slipway.yaml, which knows web": ({**source(shop), "services": ["pay"]}, True),
        "no parameter enviroment (did you mean 'environment'?)": ({**source(shop), "enviroment": "production"}, True),
        "parameter source is missing": ({}, False),
        "source.reff: Extra inputs are not permitted": (source(shop, reff="v1"), False),
        "services: Input should be a valid list": ({**source(shop), "services": "web"}, False),
    }
    started = [await api.start(parameters, enforce=enforce) for parameters, enforce in wrong.values()]
    runs = await asyncio.gather(*(api.ended(run) for run in started))
    for said, run in zip(wrong, runs, strict=True):
        message = run["state"]["message"]
        assert run["state"]["type"] == "FAILED", message
        assert said.format(app=shop.name) in message
        assert "Traceback" not in message
        assert "pydantic" not in message


async def test_a_run_with_right_parameters_ships(api: Api, shop: App) -> None:
    run = await api.ended(await api.start(source(shop)))
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert run["name"] == f"{shop.name} v1.0.0 -> production"
    assert "web | DONE" in await api.logs(run)
