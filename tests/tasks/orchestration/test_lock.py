"""What a run says when Prefect does not tell it whether another one is shipping."""

from __future__ import annotations

import http.server
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.failures.errors import Cause, SlipwayError, Transient
from tasks.orchestration.lock import one_at_a_time
from tests.serving import serving
from tests.tasks.builders import a_request

LIMIT = GlobalConcurrencyLimitResponse(
    id=uuid4(), created=None, updated=None, name="slipway:shop:production", limit=1, active_slots=0
)
BODY = LIMIT.model_dump_json().encode()


class _Overloaded(http.server.BaseHTTPRequestHandler):
    """A Prefect server that knows the limit and gives nobody a slot; below /silent it does not even know the limit."""

    def do_GET(self) -> None:
        unused = 404 if "csrf" in self.path else 200
        self._answer(503 if self.path.startswith("/silent") else unused)

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer(503)

    def _answer(self, status: int) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def overloaded() -> Iterator[str]:
    with serving(_Overloaded) as address:
        yield address


@pytest.mark.parametrize("door", ["/api", "/silent"], ids=["for the slot", "for the limit"])
async def test_a_prefect_server_that_does_not_answer_is_not_called_another_run(overloaded: str, door: str) -> None:
    with (
        temporary_settings({PREFECT_API_URL: overloaded + door, PREFECT_CLIENT_MAX_RETRIES: 0}),
        pytest.raises(SlipwayError, match=r"The Prefect server did not say .*\b503\b") as failed,
    ):
        async with one_at_a_time(a_request()):
            pytest.fail("nobody has given this run the lock")
    assert (failed.value.cause, failed.value.transient) == (Cause.SERVICE_UNAVAILABLE, Transient.YES)
