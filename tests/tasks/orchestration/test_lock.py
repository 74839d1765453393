"""The lock of a release, at the doors of Prefect servers that answer well, badly and not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.logging import disable_run_logger
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import ReleaseBusy, SlipwayError
from tasks.model import Request
from tasks.orchestration.lock import LEASE_S, before_all_others, is_held, one_at_a_time
from tests.serving import serving
from tests.tasks.builders import a_request

LIMIT = GlobalConcurrencyLimitResponse(
    id=uuid4(), created=None, updated=None, name="slipway:shop:production", limit=1, active_slots=0
)
ONE = [{"id": str(LIMIT.id), "name": LIMIT.name, "limit": 1}]
SLOT, RENEW, RELEASE = "increment-with-lease", "renew", "decrement-with-lease"


class _Door(BaseHTTPRequestHandler):
    """What a Prefect server says of the limit and of its slot; the first part of the path tells which server it is.

    /overloaded gives nobody a slot; /silent does not even know the limit. /free gives the slot, /taken never does,
    /turns at the second asking. /lost gives it and loses the lease; /unlimited has forgotten that there is a limit.
    None of them knows the runs. At /wanted, also free, somebody waits for a rollback; at /overtaken from the moment on
    when the slot is asked for.
    """

    asked: ClassVar[list[tuple[str, Any]]] = []  # what is done with the slot

    def do_GET(self) -> None:
        if "csrf" in self.path:
            self._answer(404)
        elif ":rollback" in unquote(self.path) and not self._is("silent"):
            wanted = self._is("wanted") or (self._is("overtaken") and self.asked)
            self._answer(200 if wanted else 404, LIMIT.model_copy(update={"active_slots": 1}))
        elif self._is("silent"):
            self._answer(503)
        else:
            self._answer(200, LIMIT.model_copy(update={"active_slots": int(self._is("taken", "turns"))}))

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = json.loads(self._read() or "null")
        what = self.path.rpartition("/")[2]
        self.asked.append((what, body))
        if what == SLOT:
            self._slot()
        elif what == RENEW:
            self._answer(410 if self._is("lost") else 204)
        else:
            self._answer(200)

    def _slot(self) -> None:
        times = sum(what == SLOT for what, _ in self.asked)
        if self._is("overloaded", "silent"):
            self._answer(503)
        elif self._is("taken") or (self._is("turns") and times < 2):
            self._answer(423)
        else:
            limits = [] if self._is("unlimited") else ONE
            self._answer(200, {"lease_id": str(uuid4()), "limits": limits})

    def _is(self, *names: str) -> bool:
        return self.path.split("/")[1] in names

    def _read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: object = LIMIT) -> None:
        if self.command in ("GET", "PATCH"):
            self._read()
        text = body.model_dump_json() if isinstance(body, GlobalConcurrencyLimitResponse) else json.dumps(body)
        data = b"" if status == 204 else text.encode()
        self.send_response(status)
        self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(_Door) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_asked() -> None:
    _Door.asked.clear()


@contextmanager
def prefect_at(url: str) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: url, PREFECT_CLIENT_MAX_RETRIES: 0}), disable_run_logger():
        yield


def requested(**settings: object) -> Request:
    """Of an app that no other test ships: Prefect's client keeps a connection for each name of a lock."""
    request = a_request()
    return replace(request, app=f"shop-{uuid4().hex}", settings=request.settings.model_copy(update=settings))


def asked(what: str) -> list[Any]:
    return [body for each, body in _Door.asked if each == what]


@pytest.mark.parametrize("door", ["overloaded", "silent"], ids=["for the slot", "for the limit"])
async def test_a_prefect_server_that_does_not_answer_is_not_called_another_run(address: str, door: str) -> None:
    with (
        prefect_at(f"{address}/{door}"),
        pytest.raises(SlipwayError, match=r"The Prefect server did not say .*\b503\b") as failed,
    ):
        async with one_at_a_time(requested()):
            pytest.fail("nobody has given this run the lock")
    assert (failed.value.cause, failed.value.transient) == (Cause.SERVICE_UNAVAILABLE, Transient.YES)


async def test_a_server_that_nobody_listens_at_is_named_by_what_went_wrong() -> None:
    with prefect_at("http://127.0.0.1:9/api"), pytest.raises(SlipwayError, match=r"production: .*connect"):
        await is_held(requested())


async def test_a_free_slot_is_held_for_one_lease_under_the_name_of_app_and_environment_and_given_back(
    address: str,
) -> None:
    request = requested()
    with prefect_at(f"{address}/free"):
        async with one_at_a_time(request):
            assert not asked(RELEASE)
    [slot] = asked(SLOT)
    assert (slot["names"], slot["slots"]) == ([f"slipway:{request.app}:production"], 1)
    assert (
        slot["lease_duration"] == LEASE_S == 60
    )  # Prefect refuses less, and a killed run keeps others waiting so long
    assert len(asked(RELEASE)) == 1


async def test_a_taken_slot_is_refused_at_once_where_the_manifest_says_so(address: str) -> None:
    with prefect_at(f"{address}/taken"), pytest.raises(ReleaseBusy, match="Another run is shipping shop-"):
        async with asyncio.timeout(30), one_at_a_time(requested(when_busy="refuse")):
            pytest.fail("another run has the lock")
    assert len(asked(SLOT)) == 1


async def test_a_taken_slot_is_waited_for_as_long_as_the_manifest_says(address: str) -> None:
    with prefect_at(f"{address}/taken"), pytest.raises(ReleaseBusy):
        async with asyncio.timeout(30), one_at_a_time(requested(when_busy="wait", busy_timeout_s=0.5)):
            pytest.fail("another run has the lock")
    assert len(asked(SLOT)) > 1


async def test_an_emergency_waits_by_its_own_patience_whatever_the_manifest_says(address: str) -> None:
    with prefect_at(f"{address}/turns"):
        async with asyncio.timeout(30), one_at_a_time(requested(when_busy="refuse"), patience_s=20.0):
            assert len(asked(SLOT)) == 2


async def test_patience_is_shorter_than_the_manifest_where_it_says_so(address: str) -> None:
    with prefect_at(f"{address}/taken"), pytest.raises(ReleaseBusy):
        async with (
            asyncio.timeout(30),
            one_at_a_time(requested(when_busy="wait", busy_timeout_s=3600.0), patience_s=0.3),
        ):
            pytest.fail("another run has the lock")


async def test_without_a_limit_nobody_has_the_lock(address: str) -> None:
    with prefect_at(f"{address}/unlimited"), pytest.raises(SlipwayError, match="must be created"):
        async with one_at_a_time(requested()):
            pytest.fail("a lock that is none")


@pytest.mark.parametrize(("door", "slots"), [("wanted", 0), ("overtaken", 1)], ids=["before", "while it was taken"])
async def test_whoever_finds_that_a_rollback_is_wanted_does_not_have_the_slot(
    address: str, door: str, slots: int
) -> None:
    with prefect_at(f"{address}/{door}"), pytest.raises(ReleaseBusy):
        async with one_at_a_time(requested(when_busy="refuse")):
            pytest.fail("a rollback waits")
    assert len(asked(SLOT)) == len(asked(RELEASE)) == slots


async def test_a_slot_is_given_back_once_by_whoever_needs_it_no_longer(address: str) -> None:
    with prefect_at(f"{address}/free"):
        async with one_at_a_time(requested()) as let_go:
            await let_go()
            assert len(asked(RELEASE)) == 1
    assert len(asked(RELEASE)) == 1


async def test_an_emergency_makes_way_before_each_time_that_it_asks(address: str) -> None:
    made = 0

    async def make_way() -> None:
        nonlocal made
        made += 1

    with prefect_at(f"{address}/turns"):
        async with before_all_others(requested(when_busy="refuse"), make_way):
            assert made == len([body for body in asked(SLOT) if not body["names"][0].endswith(":rollback")]) > 0


async def test_a_run_that_has_lost_its_lease_ends(address: str) -> None:
    """Prefect cancels the block; nothing in it goes on as if the lock were held."""
    ended = False
    with prefect_at(f"{address}/lost"), pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(30), one_at_a_time(requested()):
            try:
                await asyncio.Event().wait()
            finally:
                ended = True
    assert ended


@pytest.mark.parametrize(("door", "held"), [("free", False), ("taken", True), ("wanted", True)])
async def test_whether_somebody_holds_it_is_what_prefect_says(address: str, door: str, held: bool) -> None:
    with prefect_at(f"{address}/{door}"):
        assert await is_held(requested()) is held
