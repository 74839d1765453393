"""The local cloud as a process: what it keeps when killed and forgets when reset, its start, end and commands."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import PROJECT
from tests.infra.emulator.emulated_process import Process, emulator, post
from tests.infra.emulator.emulated_registry import PARENT
from tests.infra.emulator.identities import signed


def create(process: Process, repository_id: str) -> str:
    """Starts to create a repository; answers the operation's name."""
    with process.rest("artifactregistry") as web:
        body = {"format": "DOCKER"}
        return str(web.post(f"/v1/{PARENT}/repositories?repositoryId={repository_id}", json=body).json()["name"])


def finish(process: Process, operation: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    with process.rest("artifactregistry") as web:
        while time.monotonic() < deadline:
            answer = dict(web.get(f"/v1/{operation}").json())
            if answer.get("done"):
                return answer
    raise AssertionError(f"{operation} does not end")


def listed(process: Process) -> list[str]:
    with process.rest("artifactregistry") as web:
        found = web.get(f"/v1/{PARENT}/repositories").json().get("repositories", [])
        return [repository["name"].rpartition("/")[2] for repository in found]


def test_a_killed_emulator_comes_back_with_all_it_had_answered(tmp_path: Path) -> None:
    with emulator(tmp_path) as first:
        done = finish(first, create(first, "kept"))
        key = json.loads((tmp_path / "deployer.json").read_text())
        first.cloud.put("/latency", {"stages": {"artifacts.repository": 60}})
        interrupted = create(first, "under-way")
        first.kill()
    with emulator(tmp_path) as second:
        assert listed(second) == ["kept"]
        assert finish(second, done["name"]) == done
        error = finish(second, interrupted)["error"]
        assert (error["code"], error["message"]) == (10, "The operation was interrupted by a restart.")
        with second.rest("artifactregistry") as web:
            web.headers["Authorization"] = f"Bearer {signed(key)}"  # issued by the first
            assert web.get(f"/v1/{PARENT}/repositories").status_code == 200


def test_a_reset_forgets_everything_and_stops_what_is_under_way(tmp_path: Path) -> None:
    with emulator(tmp_path) as process:
        finish(process, create(process, "old"))
        process.cloud.put("/faults", [{"method": "*", "code": "INTERNAL", "skip": 100}])
        process.cloud.put("/latency", {"stages": {"artifacts.repository": 0.2}})
        operation = create(process, "under-way")
        post(process.cloud, "/reset")
        assert listed(process) == []
        process.cloud.put("/latency", {"stages": {"artifacts.repository": 0.4}})
        finish(process, create(process, "new"))  # takes longer than the abandoned one would have
        assert listed(process) == ["new"]
        with process.rest("artifactregistry") as web:
            assert web.get(f"/v1/{operation}").status_code == 404
        assert httpx.get(f"{process.cloud.admin}/faults", trust_env=False).json() == []


def test_it_is_ready_within_seconds(tmp_path: Path) -> None:
    """Under two seconds on a quiet machine. What it takes of the processor does not depend on who else is busy."""

    def children_s() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = children_s()
    with emulator(tmp_path) as process:
        health = httpx.get(f"{process.cloud.admin}/health", trust_env=False).json()
    assert health == {"status": "ok", "projects": [PROJECT]}
    assert children_s() - before < 10


def test_it_leaves_no_word_behind_when_it_ends(tmp_path: Path) -> None:
    with emulator(tmp_path) as process:
        assert (tmp_path / "emulator.json").exists()
        address = process.cloud.admin
    assert not (tmp_path / "emulator.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health", trust_env=False)


def test_its_commands_act_on_the_running_one(tmp_path: Path) -> None:
    def command(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "infra.emulator", *arguments, "--data", str(tmp_path)]
        return subprocess.run(line, input=given, capture_output=True, text=True, timeout=60, check=False)

    with emulator(tmp_path):
        fault = json.dumps([{"method": "*", "code": "INTERNAL", "skip": 9}])
        assert json.loads(command("faults", "-", given=fault).stdout)[0]["code"] == "INTERNAL"
        assert json.loads(command("faults", "--clear").stdout) == []
        assert f"export GOOGLE_CLOUD_PROJECT={PROJECT}" in command("env").stdout.splitlines()
        assert json.loads(command("env", "--json").stdout)["CLOUDSDK_CORE_PROJECT"] == PROJECT
        assert command("reset").returncode == 0
    absent = command("env")
    assert absent.returncode != 0
    assert "No local Google Cloud is running" in absent.stderr
