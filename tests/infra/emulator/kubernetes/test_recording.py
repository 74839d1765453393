"""The API server of the local cloud answers what a real one was recorded to answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_cluster import authority_of, engine, make_cluster, token

RECORDED = Path(__file__).parents[3] / "data/kubernetes-responses.jsonl"
JUDGE = "tests.infra.emulator.kubernetes.judge"


def test_every_recorded_request_is_answered_as_a_real_server_answered_it(cloud: LocalCloud, tmp_path: Path) -> None:
    cluster = engine(cloud, "GET", make_cluster(cloud, "recorded"))
    command = [sys.executable, "-m", JUDGE, f"https://{cluster['endpoint']}", str(authority_of(cluster, tmp_path))]
    done = subprocess.run(
        [*command, token(cloud)],
        env=cloud.env,
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = {each["title"]: each for each in map(json.loads, done.stdout.splitlines())}
    wanted = {each["title"]: each for each in map(json.loads, RECORDED.read_text().splitlines())}
    assert len(wanted) == 117
    assert answers == wanted
