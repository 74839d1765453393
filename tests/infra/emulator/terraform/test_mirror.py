"""Where Terraform finds the stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.emulator.terraform.mirror import NAMES, VERSION, write_mirror
from infra.emulator.terraform.table import PROVIDERS

USES = """\
terraform {
  required_providers {
    google-beta = { source = "hashicorp/google-beta", version = "VERSION" }
  }
}
"""


def init(config: Path, work: Path, version: str = VERSION) -> subprocess.CompletedProcess[str]:
    work.mkdir(exist_ok=True)
    (work / "main.tf").write_text(USES.replace("VERSION", version))
    environment = {"PATH": os.environ["PATH"], "HOME": str(work), "TF_CLI_CONFIG_FILE": str(config)}
    command = ["terraform", f"-chdir={work}", "init", "-no-color", "-lockfile=readonly"]
    command = command if (work / ".terraform.lock.hcl").exists() else command[:-1]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def programs(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.rglob("terraform-provider-*")}


def test_a_package_is_the_same_wherever_it_is(tmp_path: Path) -> None:
    """Its checksum stands in lock files."""
    for name in ("one", "the other's"):
        write_mirror(tmp_path / name)
    found = programs(tmp_path / "one")
    assert set(found) == {f"terraform-provider-{name}_v{VERSION}" for name in PROVIDERS}
    assert set(NAMES) == set(PROVIDERS)
    assert found == programs(tmp_path / "the other's")


@pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")
def test_a_lock_file_is_good_for_every_local_cloud_and_other_versions_are_not_there(tmp_path: Path) -> None:
    first = init(write_mirror(tmp_path / "one cloud"), tmp_path / "work")
    assert first.returncode == 0, first.stderr
    shutil.rmtree(tmp_path / "work" / ".terraform")
    again = init(write_mirror(tmp_path / 'another "cloud"'), tmp_path / "work")
    assert again.returncode == 0, again.stderr
    other = init(tmp_path / "one cloud" / "terraform.rc", tmp_path / "old", "7.0.0")
    assert other.returncode == 1
    assert "no available releases match the given constraints 7.0.0" in " ".join(other.stderr.split())
