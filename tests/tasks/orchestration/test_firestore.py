"""Firestore, as gcloud's emulator of it answers: a page that listens sees a run at work, and may do nothing else."""

from __future__ import annotations

import base64
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tasks.orchestration.channel import Shown, Standing
from tasks.orchestration.mirror import Mirror
from tasks.orchestration.sinks import Firestore
from tests.conftest import PROJECT, LocalCloud

ROOT = Path(__file__).parents[3]
RULES, LISTENER = ROOT / "deployments" / "firestore.rules", ROOT / "tests" / "data" / "firestore" / "listen.cjs"
GCLOUD = Path(shutil.which("gcloud") or "gcloud").resolve()
EMULATOR = GCLOUD.parents[1] / "platform" / "cloud-firestore-emulator" / "cloud_firestore_emulator"
LINES, WAIT_S = 1000, 240.0

pytestmark = [
    pytest.mark.faults,  # Java takes its time to start
    pytest.mark.timeout(900),
    pytest.mark.skipif(not EMULATOR.exists(), reason="gcloud's component cloud-firestore-emulator is not installed"),
    pytest.mark.skipif(shutil.which("java") is None, reason="Java is not installed"),
]


@pytest.fixture(scope="module")
def firestore(cloud: LocalCloud) -> Iterator[str]:
    """Where it listens; the local cloud leads there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [str(EMULATOR), "start", "--host=127.0.0.1", f"--port={host.partition(':')[2]}", f"--rules={RULES}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "JAVA": "java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"},
    )  # fmt: skip
    assert process.stdout is not None
    ready = threading.Event()

    def listen(said: Any) -> None:
        for line in said:
            if "is now running" in line:
                ready.set()

    reader = threading.Thread(target=listen, args=(process.stdout,))
    reader.start()
    try:
        assert ready.wait(WAIT_S)
        cloud.put("/firestore", {"host": host})
        yield host
    finally:
        cloud.put("/firestore", {"host": ""})
        os.killpg(process.pid, signal.SIGTERM)  # the shell that has started it, and Java
        process.wait(60)
        reader.join(60)
        process.stdout.close()


@pytest.fixture
def run(cloud_env: dict[str, str]) -> str:
    return str(uuid4())


def tell(run: str, lines: int) -> list[str]:
    """A run from its beginning to its end; what was lost."""
    mirror = Mirror([Firestore(PROJECT)])
    mirror.show(run, "shop v1.0.0 -> production", Standing("running", app="shop", environment="production"))
    for number in range(lines):
        about = {"flow_run_id": run, "levelno": logging.INFO, "name": "prefect.flow_runs"}
        mirror.emit(logging.makeLogRecord({**about, "msg": "line %d", "args": (number,)}))
    mirror.show(run, "shop v1.0.0 -> production", Standing(stage="build", progress=37.5))
    made = Shown("shop-production-services", "table", "Services", "[]")
    mirror.show(run, "shop v1.0.0 -> production", Standing("completed", progress=100.0, artifacts=(made,)))
    return mirror.end(WAIT_S)


def documents(host: str) -> str:
    return f"http://{host}/v1/projects/{PROJECT}/databases/(default)/documents"


def test_a_run_is_there_with_its_lines_in_order(firestore: str, run: str) -> None:
    assert tell(run, LINES) == []
    owner = {"Authorization": "Bearer owner"}
    with httpx.Client(trust_env=False, headers=owner, timeout=60) as http:
        found = http.get(f"{documents(firestore)}/deployments/{run}").json()["fields"]
        ordered = [{"field": {"fieldPath": "timestamp"}}]
        query = {"structuredQuery": {"from": [{"collectionId": "logs"}], "orderBy": ordered}}
        rows = http.post(f"{documents(firestore)}/deployments/{run}:runQuery", json=query).json()
    said = {name: next(iter(value.values())) for name, value in found.items() if name != "updated"}
    assert said == {
        "name": "shop v1.0.0 -> production",
        "status": "completed",
        "stage": "build",
        "progress": 100,
        "app": "shop",
        "environment": "production",
    }
    lines = [each["document"]["fields"] for each in rows]
    assert [line["message"]["stringValue"] for line in lines] == [f"line {number}" for number in range(LINES)]
    assert len({line["timestamp"]["timestampValue"] for line in lines}) == LINES


def test_twenty_thousand_lines_are_all_there(
    firestore: str, run: str, record_property: Callable[[str, object], None]
) -> None:
    """At the pace at which Prefect lets a run write, 0.5 ms a line; how late is noted, by when Firestore had each.

    Java and the run share the machine, so that this says as much of the machine as of us. Beside it on a machine at
    load 11 to 17, where the run had a sixth of a core: one batch after the other 24 s, so Google's own client 11 s.
    """
    mirror = Mirror([Firestore(PROJECT)])
    for number in range(20_000):
        began = time.perf_counter()
        about = {"flow_run_id": run, "levelno": logging.INFO, "name": "prefect.flow_runs"}
        mirror.emit(logging.makeLogRecord({**about, "msg": "line %d", "args": (number,)}))
        while time.perf_counter() - began < 0.0005:
            pass
    assert mirror.end(WAIT_S) == []
    query = {
        "structuredQuery": {"from": [{"collectionId": "logs"}], "select": {"fields": [{"fieldPath": "timestamp"}]}}
    }
    with httpx.Client(trust_env=False, headers={"Authorization": "Bearer owner"}, timeout=120) as http:
        rows = http.post(f"{documents(firestore)}/deployments/{run}:runQuery", json=query).json()
    late = sorted(late_s(row["document"]) for row in rows)
    assert len(late) == 20_000
    record_property("p95 of 20,000 lines, s", late[int(0.95 * len(late))])


def late_s(document: dict[str, Any]) -> float:
    written, said = document["createTime"], document["fields"]["timestamp"]["timestampValue"]
    return (datetime.fromisoformat(written) - datetime.fromisoformat(said)).total_seconds()


def test_who_is_signed_in_reads_and_nobody_writes(firestore: str, run: str) -> None:
    assert tell(run, 1) == []
    claims = {"sub": "somebody", "user_id": "somebody", "iss": f"https://securetoken.google.com/{PROJECT}"}
    parts = ({"alg": "none"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    somebody = {"Authorization": f"Bearer {b'.'.join(encoded).decode()}."}
    with httpx.Client(trust_env=False, timeout=60) as http:
        for path in (f"deployments/{run}", f"deployments/{run}/logs", f"deployments/{run}/artifacts"):
            url = f"{documents(firestore)}/{path}"
            assert [http.get(url).status_code, http.get(url, headers=somebody).status_code] == [403, 200]
        for path in (f"deployments/{run}", f"deployments/{run}/logs/mine"):
            wrote = http.patch(f"{documents(firestore)}/{path}", headers=somebody, json={"fields": {}})
            assert wrote.status_code == 403
        assert http.get(f"{documents(firestore)}/secrets/one", headers=somebody).status_code == 403


@pytest.fixture(scope="module")
def node() -> str:
    """Google's client is looked for where NODE_PATH says."""
    found = shutil.which("node")
    has_client = found and subprocess.run(
        [found, "-e", "require('firebase/firestore')"], capture_output=True, check=False
    )
    if not found or not has_client or has_client.returncode:
        pytest.skip("Node.js or its package firebase is not installed: npm install firebase, and NODE_PATH leads there")
    return found


def test_a_page_that_listens_sees_every_line_in_order_and_how_the_run_ends(firestore: str, run: str, node: str) -> None:
    host, _, port = firestore.partition(":")
    page = subprocess.Popen(
        [node, str(LISTENER), host, port, PROJECT, run, str(LINES)], stdout=subprocess.PIPE, text=True
    )
    assert page.stdout is not None
    try:
        assert page.stdout.readline() == "listening\n"
        assert tell(run, LINES) == []
        seen = json.loads(page.stdout.readline())
        assert page.wait(60) == 0
    finally:
        page.kill()
        page.wait(60)
        page.stdout.close()
    assert seen["lines"] == [f"line {number}" for number in range(LINES)]
    assert seen["statuses"][-1] == "completed"
    assert seen["artifacts"] == ["shop-production-services"]
