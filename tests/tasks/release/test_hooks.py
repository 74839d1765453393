"""Hooks that do not end as they must."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from infra.gcp.calls.errors import GoogleError
from tasks.failures.cause import Cause
from tasks.failures.errors import HookFailed
from tasks.history.record import ReleaseRecord
from tasks.history.step_record import HookRecord
from tasks.manifest.shipping import HttpHook
from tasks.orchestration.addresses import NETWORKS_VARIABLE
from tasks.release.hooks import When, done_already, named_attempt, run_hook, stopped_early
from tests.serving import serving
from tests.tasks.builders import NOW, a_record, a_request


class _Answers(BaseHTTPRequestHandler):
    """/204 answers at once, /dribble says a bit from time to time and never ends."""

    def do_POST(self) -> None:
        if self.path == "/dribble":
            self.send_response(200)
            self.end_headers()
            for _ in range(100):
                try:
                    self.wfile.write(b".")
                except OSError:
                    return
                time.sleep(0.1)
        else:
            self.send_response(int(self.path[1:]))
            self.send_header("Location", "/204")
            self.end_headers()
            self.wfile.write(b"the-token-of-the-machine")


@pytest.fixture(scope="module")
def hooks() -> Iterator[str]:
    with serving(_Answers) as address:
        yield address


@pytest.fixture(autouse=True)
def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NETWORKS_VARIABLE, "127.0.0.0/8, ::1/128")


async def call(url: str, when: When = "before") -> None:
    hook = HttpHook.model_validate({"name": "migrate", "http": {"url": url, "timeout": "1s"}})
    await run_hook.fn(a_request(), hook, when, "")  # type: ignore[attr-defined]  # the task without Prefect


async def test_a_hook_that_answers_well_lets_the_release_go_on(hooks: str) -> None:
    await call(f"{hooks}/204")


async def test_a_hook_that_never_ends_its_answer_is_cut_off(hooks: str) -> None:
    began = time.monotonic()
    with pytest.raises(HookFailed, match=r"migrate \(before the release\) got no answer") as failed:
        await call(f"{hooks}/dribble")
    assert time.monotonic() - began < 9  # of the 10 for which it goes on
    assert failed.value.cause is Cause.TIMEOUT


@pytest.mark.parametrize(
    ("when", "state"),
    [("before", "Live traffic was not moved."), ("after", "The release is being taken back.")],
)
async def test_a_hook_that_fails_says_what_that_means_for_the_release(hooks: str, when: When, state: str) -> None:
    with pytest.raises(HookFailed, match="answered 503") as failed:
        await call(f"{hooks}/503", when)
    assert failed.value.state == state


async def test_a_hook_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(HookFailed, match="migrate") as failed:
        await call("http://127.0.0.1:9/")
    assert failed.value.cause is Cause.NETWORK


async def test_what_a_hook_answers_stays_out_of_the_run(hooks: str) -> None:
    with pytest.raises(HookFailed, match="answered 503") as failed:
        await call(f"{hooks}/503")
    assert "the-token" not in str(failed.value)
    assert f"{hooks}/503" not in str(failed.value)  # where a webhook has its secret


async def test_a_hook_that_sends_elsewhere_is_not_followed(hooks: str) -> None:
    with pytest.raises(HookFailed, match="answered 302"):
        await call(f"{hooks}/302")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
async def test_the_machine_itself_is_called_only_where_its_operator_allows_it(
    hooks: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NETWORKS_VARIABLE)
    with pytest.raises(HookFailed, match=r"may not call .*, in a private network") as failed:
        await call(f"{hooks.replace('127.0.0.1', host)}/204")
    assert NETWORKS_VARIABLE in failed.value.remedy


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]"]
)
async def test_metadata_servers_are_never_called(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NETWORKS_VARIABLE, "0.0.0.0/0, ::/0")
    with pytest.raises(HookFailed, match=r"may not call .* where metadata servers are"):
        await call(f"http://{host}/computeMetadata/v1/")


async def test_networks_that_are_none_are_named(hooks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NETWORKS_VARIABLE, "10.0.0.0/33")
    with pytest.raises(HookFailed, match=r"SLIPWAY_HOOK_NETWORKS: '10\.0\.0\.0/33'"):
        await call(f"{hooks}/204")


@pytest.mark.parametrize("how", ["cancelled", "late", "failed"])
async def test_what_a_hook_has_begun_is_stopped_when_it_ends_early(how: str) -> None:
    stopped: list[str] = []

    async def stop() -> None:
        await asyncio.sleep(0)  # as any call
        stopped.append(how)

    async def work() -> None:
        if how == "failed":
            raise GoogleError("run.jobs.run", "UNAVAILABLE", "lost")
        await asyncio.Event().wait()

    async def limited() -> None:
        async with asyncio.timeout(0.05 if how == "late" else 60):
            await work()

    running = asyncio.ensure_future(stopped_early(limited(), stop))
    if how == "cancelled":
        await asyncio.sleep(0)
        running.cancel()
    with pytest.raises((GoogleError, TimeoutError, asyncio.CancelledError)):
        await running
    assert stopped == [how]


async def test_what_has_come_to_its_end_is_not_stopped() -> None:
    async def work() -> str:
        return "done"

    async def stop() -> None:
        pytest.fail("there is nothing to stop")

    assert await stopped_early(work(), stop) == "done"


def ran(*names: str, when: When = "before") -> tuple[HookRecord, ...]:
    return tuple(HookRecord(name=name, when=when, began=NOW, seconds=1) for name in names)


def last(**changes: object) -> list[ReleaseRecord]:
    """The record of a run that was started anew, and the one that it wrote before."""
    own = a_record("v2", 2)
    before = own.model_copy(update={"hooks": ran("migrate", "warm"), **changes})
    return [own, before]


def names(newest: list[ReleaseRecord], *hooks: str, when: When = "before") -> list[str]:
    return [each.name for each in done_already(newest, hooks, when)]


def test_a_run_that_is_started_anew_does_not_repeat_the_hooks_that_succeeded() -> None:
    assert names(last(), "migrate", "warm") == ["migrate", "warm"]
    assert names(last(hooks=ran("migrate")), "migrate", "warm") == ["migrate"]


@pytest.mark.parametrize(
    "another", [{"run_id": "another"}, {"version": "v1"}, {"commit": "d"}], ids=["run", "version", "commit"]
)
def test_the_hooks_of_another_release_count_for_nothing(another: dict[str, str]) -> None:
    assert not names(last(**another), "migrate", "warm")


def test_hooks_are_repeated_from_the_first_that_is_another_one() -> None:
    assert names(last(), "migrate", "seed", "warm") == ["migrate"]
    assert not names(last(), "seed", "migrate")
    assert not names(last(hooks=()), "migrate")


def test_one_of_two_hooks_with_one_name_is_not_taken_for_both() -> None:
    assert names(last(hooks=ran("migrate")), "migrate", "migrate") == ["migrate"]


def test_what_looks_at_the_live_service_is_asked_each_time() -> None:
    assert not names(last(hooks=ran("smoke", when="after")), "smoke", when="after")
    assert not names(last(hooks=ran("smoke", when="after")), "smoke")


def test_the_first_release_of_an_environment_has_run_none() -> None:
    assert not names([a_record("v2", 2)], "migrate")


def named(*newest: ReleaseRecord, when: When = "before") -> str:
    return named_attempt(a_request(), newest, when)


def test_executions_of_a_run_that_is_started_anew_keep_their_names() -> None:
    first, again = a_record("v2", 2, run_id="r"), a_record("v2", 3, run_id="r")
    assert named(again, first) == named(first) == named(first, a_record("v1", 1))
    assert named(again, first, when="after") != named(first, when="after")  # which look at what serves now


@pytest.mark.parametrize(
    "between", [a_record("v9", 3), a_record("v1", 3, run_id="r")], ids=["another release", "another version of its own"]
)
def test_what_was_run_for_something_else_is_not_taken_for_it(between: ReleaseRecord) -> None:
    first, again = a_record("v2", 2, run_id="r"), a_record("v2", 4, run_id="r")
    assert named(again, between, first) != named(first)
