"""What a service depends on and is not shipped along must answer before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.cloud import run_v2
from prefect.logging import disable_run_logger

from tasks.failures.cause import Cause
from tasks.model import Override, Place, Problem, Readiness, Request
from tasks.preflight.dependencies import check_dependencies
from tasks.preflight.preflight import overridden
from tests.conftest import PROJECT
from tests.infra.emulator.emulated_run import HELLO, Run, new_name
from tests.tasks.builders import a_request
from tests.tasks.preflight.requests import REGION

pytestmark = pytest.mark.usefixtures("acting")
OTHER = Problem("billing", Cause.BILLING, "No billing.", "link it")
ANSWERS = """
import http.server, os
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS if self.path == "/up" else 200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


@pytest.fixture(autouse=True)
def no_run() -> Iterator[None]:
    with disable_run_logger():
        yield


def shipping(*services: str, said: str = "health: {path: /up}") -> Request:
    text = f"""
app: {new_name("need")}
services: {{api: {{{said}}}, web: {{depends_on: [api]}}}}
environments: {{production: {{project: {PROJECT}, regions: [{REGION}]}}}}
"""
    return replace(a_request(text=text), services=services)


def answering(request: Request, status: int, **settings: Any) -> None:
    """The api is there, open to all, and answers so."""
    made = Run()
    container = run_v2.Container(image=HELLO, command=["python3", "-c", ANSWERS.replace("STATUS", str(status))])
    name = request.run_service(Place("api", REGION)).rpartition("/")[2]
    made.create(name, run_v2.RevisionTemplate(containers=[container]), **settings)


async def test_one_that_fails_every_time_stops_the_release_before_anything_is_built() -> None:
    request = shipping("web")
    answering(request, 503)
    (problem,) = (await check_dependencies(request)).problems
    assert problem.cause is Cause.SERVICE_UNAVAILABLE
    assert problem.problem.startswith(f"api in {REGION} fails, and web depends on it: 3 of 3 requests to /up were ")
    assert "status 503" in problem.problem
    assert "services api, web" in problem.fix
    ada = Override(who="Ada", why="web no longer calls it")
    told = overridden(Readiness((problem, OTHER)), ada)
    assert told.problems == (OTHER,)
    assert told.notes == (f"{problem.problem} Overridden by Ada: web no longer calls it",)
    assert overridden(Readiness((problem,)), None).problems == (problem,)


@pytest.mark.parametrize("status", [200, 404, 401])
async def test_any_other_answer_is_one(status: int) -> None:
    request = shipping("web")
    answering(request, status)
    assert await check_dependencies(request) == Readiness()


async def test_one_that_is_shipped_along_or_not_there_is_not_asked() -> None:
    both = shipping("api", "web")
    answering(both, 503)
    assert await check_dependencies(both) == Readiness()
    assert await check_dependencies(shipping("web")) == Readiness()


async def test_of_one_that_nobody_reaches_from_here_nothing_is_known() -> None:
    request = shipping("web")
    answering(request, 503, ingress=run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_ONLY)
    assert await check_dependencies(request) == Readiness()
