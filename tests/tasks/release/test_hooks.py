"""Hooks that do not end as they must."""

from __future__ import annotations

import http.server
import time
from collections.abc import Iterator

import pytest

from tasks.failures.errors import Cause, HookFailed
from tasks.manifest.settings import HttpHook
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
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def hooks() -> Iterator[str]:
    with serving(_Answers) as address:
        yield address


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
