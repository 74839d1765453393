"""Slipway's image: what is installed in it, as whom it runs, and that Slipway can build it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from deployments.image.lock import FILE, ROOT, dependencies, locked, needed, requirement
from infra.terraform.bundle import VARIABLE
from tasks.builds.ignore import left_out
from tests.cli.command import slipway

CONTAINERFILE = (ROOT / "deployments" / "image" / "Containerfile").read_text()
LAST_STAGE = CONTAINERFILE.rpartition("\nFROM ")[2]


def test_the_images_packages_are_those_of_the_lock_that_the_project_asks_for() -> None:
    assert FILE.read_text() == needed(), "python -m deployments.image.lock"
    names = {line.partition("==")[0] for line in FILE.read_text().splitlines() if "==" in line}
    assert {"prefect", "prefect-redis", "asyncpg", "google-cloud-run"} <= names < set(locked())
    assert not names & {"pytest", "mypy", "mkdocs-material"}


def test_an_extra_asks_for_more_than_its_package() -> None:
    assert requirement("uvicorn[standard]>=0.14; python_version > '3'") == ("uvicorn", frozenset({"standard"}))
    plain, more = (set(dependencies("httpx", extras)) for extras in (frozenset(), frozenset({"http2"})))
    assert {name for name, _ in more - plain} == {"h2"}


def test_it_runs_as_nobody_in_particular_writes_to_one_volume_and_gets_its_signals() -> None:
    assert re.search(r"^USER 1001:1001$", LAST_STAGE, re.MULTILINE)
    for name in ("HOME", "PREFECT_HOME", "TMPDIR"):
        assert re.search(rf"\b{name}=/scratch\b", LAST_STAGE)
    (command,) = re.findall(r"^(?:CMD|ENTRYPOINT) (.*)$", LAST_STAGE, re.MULTILINE)
    assert json.loads(command)[:3] == ["prefect", "worker", "start"]


def test_a_bundle_of_terraforms_is_in_it_where_one_is_named() -> None:
    assert re.search(r"^ARG TERRAFORM_BUNDLE=$", LAST_STAGE, re.MULTILINE), "there is none by itself"
    assert f" {VARIABLE}=${{TERRAFORM_BUNDLE}} " in LAST_STAGE
    assert "/deployments/image/terraform/" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_context_has_what_the_image_copies_and_neither_passwords_nor_what_lies_about() -> None:
    """deployments/compose/.env was copied into the image that the composition builds."""
    ignored = left_out(ROOT, "deployments/image/Containerfile", "")
    copied = " ".join(re.findall(r"^COPY (?!--)(.*) \S+$", CONTAINERFILE, re.MULTILINE)).split()
    assert {"api", "tasks", "pyproject.toml"} <= set(copied)
    files = [name if (ROOT / name).is_file() else f"{name}/__init__.py" for name in copied]
    assert [name for name in (*files, "deployments/image/terraform/bin/terraform") if ignored(name)] == []
    about = (".git/config", ".venv/bin/python", ".slipway/lock", "tests/conftest.py", "tasks/__pycache__/model.pyc")
    assert [name for name in (*about, "deployments/compose/.env", "docs/index.md") if not ignored(name)] == []


def test_slipway_finds_nothing_wrong_with_the_file_that_has_it_built(tmp_path: Path) -> None:
    done = slipway("check", "--folder", str(ROOT), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_containers_of_pools_and_of_the_composition_run_as_the_images_user() -> None:
    compose = yaml.safe_load((ROOT / "deployments" / "compose" / "compose.yaml").read_text())
    assert {compose["services"][name]["user"] for name in ("api-1", "worker", "register")} == {"1001:1001"}


def test_the_compositions_scratch_is_a_mount_that_docker_and_podman_know_and_the_images_user_may_write_to() -> None:
    """Podman 4.3 knows no uid= of a tmpfs, and gives it the mode of the image's own folder."""
    compose = yaml.safe_load((ROOT / "deployments" / "compose" / "compose.yaml").read_text())
    for name in ("api-1", "worker", "register"):
        assert compose["services"][name]["tmpfs"] == ["/scratch:mode=1777,size=2g"]
    assert re.search(r"^ && install --directory .*--mode=1777 /scratch$", LAST_STAGE, re.MULTILINE)
