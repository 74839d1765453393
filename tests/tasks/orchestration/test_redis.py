"""A real Redis: a run's stream as others read it, and what becomes of a run when Redis is killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis

from tasks.orchestration.mirror import Mirror
from tasks.orchestration.sinks import KEPT_S, STREAM, RedisStream
from tests.tasks.orchestration.test_mirror import Keeping, lines

pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--requirepass",
        "hunter2hunter2",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("Ready to accept connections" in line for line in process.stdout)
    yield Server(f"redis://:hunter2hunter2@127.0.0.1:{port}/0", process)
    process.kill()
    process.wait(30)
    process.stdout.close()


def in_stream(server: Server, run: str) -> tuple[list[str], int]:
    with Redis.from_url(server.url) as client:
        found: Any = client.xrange(f"{STREAM}{run}")
        lives: Any = client.ttl(f"{STREAM}{run}")
    return [fields[b"message"].decode() for _, fields in found], int(lives)


def test_a_runs_lines_are_in_a_stream_of_its_own_in_order_for_a_week(server: Server) -> None:
    run, other = str(uuid4()), str(uuid4())
    mirror = Mirror([RedisStream(server.url)])
    for one, another in zip(lines(1000, flow_run_id=run), lines(1000, flow_run_id=other), strict=True):
        mirror.emit(one)
        mirror.emit(another)
    assert mirror.end(120) == []
    for each in (run, other):
        found, lives_s = in_stream(server, each)
        assert found == [f"line {number}" for number in range(1000)]
        assert KEPT_S - 120 < lives_s <= KEPT_S


def test_when_redis_is_killed_the_loss_is_said_without_its_password_and_others_lose_nothing(server: Server) -> None:
    sink, keeping = RedisStream(server.url), Keeping()
    server.process.kill()
    server.process.wait(30)
    mirror = Mirror([sink, keeping], rest_s=0.01)
    for record in lines(1000):
        mirror.emit(record)
    [lost] = mirror.end(120)
    assert lost.startswith(f"1000 lines of the log did not reach {sink.name}: ConnectionError: ")
    assert "hunter2" not in lost
    assert len(keeping.arrived) == 1000


@pytest.mark.faults
def test_twenty_thousand_lines_are_read_by_others_within_three_seconds(server: Server) -> None:
    """At the pace at which Prefect lets a run write: 0.5 ms a line."""
    run = str(uuid4())
    mirror = Mirror([RedisStream(server.url)])
    late = Follower(server, run, 20_000)
    for record in lines(20_000, flow_run_id=run):
        began = time.perf_counter()
        record.created = time.time()
        mirror.emit(record)
        while time.perf_counter() - began < 0.0005:
            pass
    assert mirror.end(120) == []
    found = sorted(late.seconds())
    assert len(found) == 20_000
    assert found[int(0.95 * len(found))] < 3.0


class Follower:
    """Reads a stream as it grows, and notes how late each line is."""

    def __init__(self, server: Server, run: str, wanted: int) -> None:
        self._late: list[float] = []
        self._thread = threading.Thread(target=self._read, args=(server.url, f"{STREAM}{run}", wanted), daemon=True)
        self._thread.start()

    def _read(self, url: str, stream: str, wanted: int) -> None:
        last = b"0"
        with Redis.from_url(url) as client:
            while len(self._late) < wanted:
                read: Any = client.xread({stream: last}, block=1000)
                entries = read[0][1] if read else []
                self._late += [time.time() - float(fields[b"at"]) for _, fields in entries]
                last = entries[-1][0] if entries else last

    def seconds(self) -> list[float]:
        self._thread.join(60)
        return self._late
