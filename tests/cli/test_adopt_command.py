"""`slipway adopt` as a process: services of the local Cloud Run, and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Done, refusal, slipway
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import REGION, Run, new_name, template

LIVE = ("--app=shop", f"--project={PROJECT}", f"--region={REGION}")
SCRIPT = (
    "gcloud run deploy orders --image gcr.io/acme-prod/orders --region europe-west1 --project acme-prod --memory 1Gi\n"
)


@pytest.fixture
def name(cloud_env: dict[str, str]) -> str:
    made = new_name("shop-adopt")
    Run().create(made, template(env={"LEVEL": "info"}))
    return made


def adopt(cloud: LocalCloud, folder: Path, *arguments: str) -> Done:
    return slipway("adopt", *arguments, cwd=folder, **cloud.env)


def test_what_it_writes_is_right_at_once_and_says_what_is_next(cloud: LocalCloud, tmp_path: Path, name: str) -> None:
    done = adopt(cloud, tmp_path, *LIVE, f"--service={name}")
    assert done.returncode == 0, done
    assert f"{name} in {REGION}" in done.stderr
    assert "slipway check" in done.stderr
    assert "slipway deploy -e production" in done.stderr
    assert "slipway register --repository URL" in done.stderr
    text = (tmp_path / "slipway.yaml").read_text()
    assert "public: true" in text
    assert "LEVEL: info" in text
    assert slipway("check", "--file", "slipway.yaml", cwd=tmp_path).returncode == 0


def test_another_environment_is_added_and_the_same_is_refused(cloud: LocalCloud, tmp_path: Path, name: str) -> None:
    arguments = (*LIVE, f"--service={name}")
    assert adopt(cloud, tmp_path, *arguments, "-e", "staging").returncode == 0
    former = (tmp_path / "slipway.yaml").read_text()
    said = refusal(adopt(cloud, tmp_path, *arguments, "-e", "staging"))
    assert "has an environment staging already" in said
    assert adopt(cloud, tmp_path, "--app=shop", "--project=acme-next", "--output=-", "deploy.sh").returncode == 2
    (tmp_path / "deploy.sh").write_text(SCRIPT.replace("orders", name))
    assert adopt(cloud, tmp_path, "--app=shop", "-e", "production", "deploy.sh").returncode == 0
    text = (tmp_path / "slipway.yaml").read_text()
    assert text.startswith(former.rstrip("\n"))
    assert "LEVEL: null" in text


def test_files_are_read_without_google_cloud(tmp_path: Path) -> None:
    (tmp_path / "deploy.sh").write_text(SCRIPT)
    done = slipway("adopt", "--app=shop", "--output=-", "deploy.sh", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "memory: 1Gi" in done.stdout
    assert not (tmp_path / "slipway.yaml").exists()
    assert slipway("check", "--file", "-", cwd=tmp_path, text=done.stdout).returncode == 0


def test_what_cannot_be_adopted_is_refused(cloud: LocalCloud, tmp_path: Path, name: str) -> None:
    assert "give --project and --region" in refusal(slipway("adopt", "--app=shop", cwd=tmp_path))
    assert "cannot be read" in refusal(slipway("adopt", "--app=shop", "nowhere.sh", cwd=tmp_path))
    assert "There is no Cloud Run service nope" in refusal(adopt(cloud, tmp_path, *LIVE, "--service=nope"))
    said = refusal(adopt(cloud, tmp_path, "--app=shop", "--project=acme-nowhere", f"--region={REGION}"))
    assert "reading the services" in said
    assert "cannot be written" in refusal(adopt(cloud, tmp_path, *LIVE, f"--service={name}", "--output=no/where.yaml"))
    assert not list(tmp_path.glob("*.yaml"))
