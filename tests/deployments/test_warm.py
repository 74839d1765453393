"""Runs that are forked from a process that has imported everything: as Prefect's own would be, but sooner."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from deployments.warm.start import PID_BYTES, SOCKET, STATUS_BYTES
from deployments.warm.zygote import request
from tests.cli.command import SLIPWAY
from tests.deployments.zygotes import LIMIT_S, ROOT, a_zygote, until

START = ROOT / "deployments" / "warm" / "start.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="runs are forked on Linux alone")


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """The address of a Prefect API that takes calls and never answers one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Path]:
    with a_zygote() as (place, process):
        yield place
    assert process.returncode == 0


@pytest.fixture
def begun(zygote: Path, silent: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that waits for its API for ever."""
    with started(zygote, tmp_path, str(uuid4()), silent) as process:
        yield process
        process.kill()


def started(place: Path, folder: Path, flow_run: str, api: str = "http://127.0.0.1:9/api") -> subprocess.Popen[str]:
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        SOCKET: str(place),
        "PREFECT_API_URL": api,
        "PREFECT__FLOW_RUN_ID": flow_run,
    }
    command = [sys.executable, "-IS", str(START)]
    return subprocess.Popen(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def runs_of(folder: Path) -> list[int]:
    """The processes that work in a folder."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and (each / "cwd").readlink() == folder:
                found.append(int(each.name))
        except OSError:
            continue
    return found


def is_under_way(process: subprocess.Popen[str], folder: Path) -> bool:
    return len(runs_of(folder)) == 2 or process.poll() is not None


@pytest.mark.parametrize("there", [True, False], ids=["warm", "cold, as no zygote answers"])
def test_the_output_and_the_exit_code_are_the_engines(zygote: Path, tmp_path: Path, there: bool) -> None:
    with started(zygote if there else tmp_path / "none", tmp_path, "not an id") as process:
        said, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, "Invalid flow run id" in said) == (1, True), said


def test_who_asks_a_zygote_that_loads_yet_waits_for_it(silent: str, tmp_path: Path) -> None:
    with a_zygote() as (place, zygote), started(place, tmp_path, str(uuid4()), silent) as process:
        until(lambda: is_under_way(process, tmp_path))
        (run,) = set(runs_of(tmp_path)) - {process.pid}
        (parent,) = (line for line in Path(f"/proc/{run}/status").read_text().splitlines() if line.startswith("PPid:"))
        assert int(parent.split()[1]) == zygote.pid
        process.kill()


def test_where_the_zygote_ends_before_it_has_begun_the_run_it_begins_all_the_same(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "zygote"))
        listener.listen()
        with started(tmp_path / "zygote", tmp_path, "not an id") as process:
            connection, _ = listener.accept()
            connection.close()
            said, _ = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, "Invalid flow run id" in said) == (1, True), said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_run(begun: subprocess.Popen[str], tmp_path: Path, number: signal.Signals) -> None:
    """Which ends by the one, and by the other with what the engine makes of an interruption where it is just then."""
    until(lambda: is_under_way(begun, tmp_path))
    begun.send_signal(number)
    begun.communicate(timeout=LIMIT_S)
    assert begun.returncode == -number if number == signal.SIGTERM else begun.returncode != 0
    assert runs_of(tmp_path) == []


def test_a_run_does_not_outlive_who_asked_for_it(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    until(lambda: is_under_way(begun, tmp_path))
    begun.kill()
    begun.communicate(timeout=LIMIT_S)
    until(lambda: not runs_of(tmp_path))


def test_a_run_that_is_killed_is_seen_to_have_been(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    until(lambda: is_under_way(begun, tmp_path))
    (run,) = set(runs_of(tmp_path)) - {begun.pid}
    os.kill(run, signal.SIGKILL)
    begun.communicate(timeout=LIMIT_S)
    assert begun.returncode == -signal.SIGKILL


def test_a_run_does_not_outlive_its_zygote(silent: str, tmp_path: Path) -> None:
    with a_zygote() as (place, zygote), started(place, tmp_path, str(uuid4()), silent) as process:
        until(lambda: is_under_way(process, tmp_path))
        zygote.kill()
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == -signal.SIGKILL
        until(lambda: not runs_of(tmp_path))


def test_a_run_and_who_asked_for_it_may_end_in_one_breath(silent: str, tmp_path: Path) -> None:
    """The zygote, which is stopped meanwhile, learns of both at once, and serves the next."""
    with a_zygote() as (place, zygote):
        with started(place, tmp_path, str(uuid4()), silent) as process:
            until(lambda: is_under_way(process, tmp_path))
            zygote.send_signal(signal.SIGSTOP)
            (run,) = set(runs_of(tmp_path)) - {process.pid}
            os.kill(run, signal.SIGKILL)
            until(lambda: runs_of(tmp_path) == [process.pid])
            process.kill()
            process.communicate(timeout=LIMIT_S)
        zygote.send_signal(signal.SIGCONT)
        with started(place, tmp_path, "not an id") as process:
            process.communicate(timeout=LIMIT_S)
        assert (process.returncode, zygote.poll()) == (1, None)


def test_who_speaks_otherwise_is_left_alone_and_the_next_is_served(zygote: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(zygote))
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(8) == b""
    with started(zygote, tmp_path, "not an id") as process:
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1


def slipway(place: Path, folder: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command as it is installed, beside a stack whose zygote is at that place."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "COLUMNS": "100"}
    up = {"environment": {SOCKET: str(place), "PREFECT_API_URL": "http://127.0.0.1:9/api"}}
    (folder / ".slipway").mkdir(exist_ok=True)
    (folder / ".slipway" / "up.json").write_text(json.dumps(up))
    return subprocess.run(
        [str(SLIPWAY), *words], cwd=folder, env=variables, input=text, capture_output=True, text=True, timeout=LIMIT_S
    )


@pytest.mark.parametrize("words", [["rollback", "--environment=qa"], ["unregister", "--app=shop"], ["ship", "--help"]])
def test_a_command_beside_a_stack_says_and_answers_what_it_would_alone(
    zygote: Path, tmp_path: Path, words: list[str]
) -> None:
    warm, cold = (slipway(place, tmp_path, *words) for place in (zygote, tmp_path / "none"))
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)
    assert warm.stdout or warm.stderr


def test_a_command_is_handed_over_whole(tmp_path: Path) -> None:
    """Its words, its folder, its environment, and where it reads and writes."""
    with socket.socket(socket.AF_UNIX) as listener, ThreadPoolExecutor() as pool:
        listener.bind(str(tmp_path / "zygote"))
        listener.listen()
        done = pool.submit(slipway, tmp_path / "zygote", tmp_path, "deploy", "--ref=v1.0.0", text="typed")
        connection, _ = listener.accept()
        with connection:
            asked = request(connection, {"cli.main"})
            with os.fdopen(asked.standard[0]) as typed, os.fdopen(asked.standard[1], "w") as out:
                out.write(f"{typed.read()} in {os.fsdecode(asked.folder)}")
            os.close(asked.standard[2])
            connection.sendall(os.getpid().to_bytes(PID_BYTES, "big") + (3 << 8).to_bytes(STATUS_BYTES, "big"))
            command = done.result()
    assert (asked.module, asked.arguments) == ("cli.main", ("deploy", "--ref=v1.0.0"))
    assert asked.environment[b"COLUMNS"] == b"100"
    assert (command.stdout, command.returncode) == (f"typed in {tmp_path}", 3)


def test_nothing_else_can_be_asked_for(zygote: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(zygote))
        asked = b"\0".join([os.fsencode(tmp_path), b"0", b"cli.up", b"A=b"])
        socket.send_fds(stranger, [len(asked).to_bytes(PID_BYTES, "big")], [0, 1, 2])
        stranger.sendall(asked)
        assert stranger.recv(PID_BYTES) == b""
