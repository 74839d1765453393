"""An instance leaves nothing running, also where it cannot be asked to end any more."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import Own, Run, answer, ends, fetch, template


@pytest.fixture
def own(cloud: LocalCloud, tmp_path: Path) -> Iterator[Own]:
    yield from Own.over(tmp_path / "cloud", cloud)


A_FAMILY = """
import os, subprocess, sys, http.server
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=DAEMON)
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/exit": os._exit(3)
        self.send_response(200); self.end_headers()
        self.wfile.write(f'{{"pids": [{os.getpid()}, {child.pid}], "warden": {os.getppid()}}}'.encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


def test_an_instance_whose_warden_is_killed_ends_too_and_the_emulator_goes_on_and_stops(own: Own) -> None:
    with own.running() as emulator:
        service = Run().create("svc", template(A_FAMILY.replace("DAEMON", "False")))
        before = answer(service.uri)
        os.kill(before["warden"], signal.SIGKILL)
        assert all(ends(pid) for pid in before["pids"])
        assert answer(service.uri)["pids"] != before["pids"]
        emulator.terminate()
        assert emulator.wait(timeout=20) == 0


def test_what_has_left_an_instances_session_ends_with_the_instance(own: Own) -> None:
    with own.running() as emulator:
        service = Run().create("svc", template(A_FAMILY.replace("DAEMON", "True")))
        child = answer(service.uri)["pids"][1]
        with contextlib.suppress(httpx.HTTPError):
            fetch(service.uri, "/exit")
        assert ends(child)
        emulator.terminate()
        assert emulator.wait(timeout=20) == 0
