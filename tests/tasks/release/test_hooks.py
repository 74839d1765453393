"""Hooks that do not end as they must."""

from __future__ import annotations

import http.server
import time
from collections.abc import Iterator

import pytest

from tasks.failures.errors import Cause, HookFailed
from tasks.manifest.settings import HttpHook
from tasks.release.addresses import NETWORKS_VARIABLE
from tasks.release.hooks import When, run_hook
from tests.serving import serving
from tests.tasks.builders import a_request


class _Answers(http.server.BaseHTTPRequestHandler):
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

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def hooks() -> Iterator[str]:
    with serving(_Answers) as address:
        yield address


@pytest.fixture(autouse=True)
def loopback_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NETWORKS_VARIABLE, "127.0.0.0/8, ::1/128")


async def call(url: str, when: When = "before") -> None:
    hook = HttpHook.model_validate({"name": "migrate", "http": {"url": url, "timeout": "1s"}})
    await run_hook.fn(a_request(), hook, when)  # type: ignore[attr-defined]  # the task without Prefect


async def test_a_hook_that_answers_well_lets_the_release_go_on(hooks: str) -> None:
    await call(f"{hooks}/204")


async def test_a_hook_that_never_ends_its_answer_is_cut_off(hooks: str) -> None:
    began = time.monotonic()
    with pytest.raises(HookFailed, match=r"migrate \(before the release\) got no answer") as failed:
        await call(f"{hooks}/dribble")
    assert time.monotonic() - began < 5
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
