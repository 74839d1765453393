"""What becomes of builds that run when the local cloud is killed or reset."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx

from tests.infra.emulator.emulated_build import Builds, emulator, group_lives, shell


def test_a_killed_emulator_comes_back_with_its_builds_marked_and_their_processes_gone(tmp_path: Path) -> None:
    data = tmp_path / "cloud"
    data.mkdir()
    with emulator(data) as (cloud, process), Builds(cloud) as builds:
        done = builds.run(shell("echo kept"))
        operation = builds.create(shell(f"echo $$ > {tmp_path}/pid; touch {tmp_path}/on; sleep 300"))
        while not (tmp_path / "on").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
    with emulator(data) as (cloud, _), Builds(cloud) as builds:
        lost = builds.get(operation["metadata"]["build"]["name"])
        assert lost["status"] == "INTERNAL_ERROR"
        assert builds.get(operation["name"])["error"]["code"] == 13
        assert builds.get(done["name"])["status"] == "SUCCESS"
        assert "kept" in builds.log(done)
        assert not group_lives((tmp_path / "pid").read_text())
        assert not list((data / "builds").glob("*"))


def test_stopping_and_resetting_end_running_builds(tmp_path: Path) -> None:
    data = tmp_path / "cloud"
    data.mkdir()
    with emulator(data) as (cloud, _), Builds(cloud) as builds:
        builds.create(shell(f"echo $$ > {tmp_path}/pid; touch {tmp_path}/on; sleep 300"))
        while not (tmp_path / "on").exists():
            time.sleep(0.02)
        httpx.post(f"{cloud.admin}/reset", trust_env=False).raise_for_status()
        assert not group_lives((tmp_path / "pid").read_text())
