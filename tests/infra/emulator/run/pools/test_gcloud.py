"""The real gcloud over worker pools of the local Cloud Run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_pools import WORKER, Pools, eventually, works
from tests.infra.emulator.emulated_run import HELLO, REGION, new_name, short

pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
Gcloud = Callable[..., Any]


@pytest.fixture
def gcloud(cloud: LocalCloud, cloud_env: dict[str, str]) -> Gcloud:
    """Runs `gcloud beta run worker-pools …` and answers its JSON."""

    def call(*arguments: str, region: bool = True) -> Any:
        place = ("--region", REGION) if region else ()
        command = ["gcloud", "beta", "run", "worker-pools", *arguments, *place, "--quiet", "--format", "json"]
        done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    return call


def test_deploy_look_share_out_and_delete(gcloud: Gcloud) -> None:
    name = new_name("gc-pool")
    command = f"--command=^§^python3§-c§{WORKER}"
    gcloud("deploy", name, "--image", HELLO, command, "--scaling=2", "--set-env-vars=WORD=hello", "--cpu=2")
    first = short(Pools().get(name).latest_ready_revision)
    eventually(lambda: works(name, first, 2))
    gcloud("deploy", name, "--image", HELLO, "--no-promote", "--update-labels=team=red")
    pool = Pools().get(name)
    second = short(pool.latest_ready_revision)
    assert second != first and {s.revision: s.percent for s in pool.instance_splits} == {first: 100}
    gcloud("update-instance-split", name, f"--to-revisions={second}=50")
    shares = {s.revision: s.percent for s in Pools().get(name).instance_split_statuses}
    assert shares == {first: 50, second: 50}
    revisions = [found["metadata"]["name"] for found in gcloud("revisions", "list", "--worker-pool", name)]
    assert revisions == [second, first]
    listed = {found["metadata"]["name"]: found for found in gcloud("list", region=False)}
    assert listed[name]["status"]["latestReadyRevisionName"] == second
    assert second in str(gcloud("describe", name))
    gcloud("update-instance-split", name, "--to-latest")
    gcloud("revisions", "delete", first, "--worker-pool", name)
    gcloud("delete", name)
    assert "does not exist" in Pools().refused(lambda: Pools().get(name))


def test_replace_makes_the_pool_of_a_file(gcloud: Gcloud, tmp_path: Path) -> None:
    name = new_name("gc-pool")
    container = {"image": HELLO, "command": ["python3", "-c", WORKER], "env": [{"name": "WORD", "value": "filed"}]}
    body = {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "WorkerPool",
        "metadata": {
            "name": name,
            "labels": {"cloud.googleapis.com/location": REGION},
            "annotations": {"run.googleapis.com/scalingMode": "manual", "run.googleapis.com/manualInstanceCount": "2"},
        },
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    file = tmp_path / "pool.yaml"
    file.write_text(json.dumps(body))
    gcloud("replace", str(file), region=False)
    pool = Pools().get(name)
    assert pool.scaling.manual_instance_count == 2
    eventually(lambda: works(name, pool.latest_ready_revision, 2))
