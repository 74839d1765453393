"""`slipway check` as a process: every fault at once, offline; and the same before a run starts from a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Done, refusal, slipway
from tests.tasks.repos import Repo

pytestmark = pytest.mark.usefixtures("warm")

GOOD = """\
app: shop
services:
  web: {dockerfile: Dockerfile.prod}
environments:
  staging: {project: acme-staging, regions: [europe-west1]}
"""
FAULTY = """\
app: Shop
services:
  web: {souce: y}
environments:
  staging: {project: acme-staging}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "shop")
    repo.commit(**{"slipway.yaml": GOOD, "web/Dockerfile.prod": "FROM scratch"})
    return repo


def check(repo: Repo, *arguments: str, text: str = "") -> Done:
    return slipway("check", *arguments, cwd=repo.path, text=text)


def test_what_is_right_ends_with_0(repo: Repo) -> None:
    done = check(repo)
    assert (done.returncode, done.stderr) == (0, "")
    assert "slipway.yaml has no fault" in done.stdout


def test_every_fault_is_said_with_its_line_and_key(repo: Repo) -> None:
    repo.write("slipway.yaml", FAULTY)
    done = check(repo)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "slipway.yaml has 3 problems:"
    assert lines[1].startswith("  slipway.yaml:1: app: must be lower-case letters")
    assert lines[2] == "  slipway.yaml:3: services.web.souce: unknown key; did you mean 'source'?"
    assert lines[3] == "  slipway.yaml:5: environments.staging.regions: is missing"
    assert lines[4].startswith("To fix: correct these lines")


def test_what_the_folder_lacks_is_said_too(repo: Repo) -> None:
    repo.git("mv", "web/Dockerfile.prod", "web/Dockerfile.production")
    done = check(repo)
    assert done.returncode == 1
    assert done.stdout.startswith("slipway.yaml:3: services.web.dockerfile: The Dockerfile Dockerfile.prod of service")
    assert "did you mean 'Dockerfile.production'?" in done.stdout


def test_a_program_reads_the_faults_as_json(repo: Repo) -> None:
    assert json.loads(check(repo, "--json").stdout) == {"ok": True, "faults": []}
    repo.write("slipway.yaml", FAULTY)
    done = check(repo, "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["ok"]) == (1, False)
    assert [(fault["line"], fault["key"]) for fault in said["faults"]] == [
        (1, "app"),
        (3, "services.web.souce"),
        (5, "environments.staging.regions"),
    ]


def test_a_file_that_is_no_yaml_is_a_fault_with_a_line(repo: Repo) -> None:
    repo.write("slipway.yaml", "app: [\n")
    (fault,) = json.loads(check(repo, "--json").stdout)["faults"]
    assert fault["line"] == 2
    assert fault["problem"].startswith("not valid YAML")


def test_an_environment_that_is_not_there_is_a_fault(repo: Repo) -> None:
    assert check(repo, "--environment", "staging").returncode == 0
    done = check(repo, "--environment", "stagin")
    assert done.returncode == 1
    assert "there is no environment 'stagin'; did you mean 'staging'?" in done.stdout


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_manifest_by_itself_is_judged_without_its_folder(repo: Repo, way: str) -> None:
    text = GOOD.replace("Dockerfile.prod", "Dockerfile.nowhere")
    path = repo.write("proposed.yaml", text)
    arguments = [str(path)] if way == "file" else ["-"]
    assert check(repo, "--file", *arguments, text=text).returncode == 0
    path.write_text(FAULTY)
    assert check(repo, "--file", *arguments, text=FAULTY).returncode == 1


def test_a_folder_and_a_file_are_not_judged_at_once(repo: Repo) -> None:
    assert "both given" in refusal(check(repo, "--folder", ".", "--file", "slipway.yaml"))


def test_prefect_and_google_are_not_loaded(repo: Repo) -> None:
    """Loading Prefect alone takes longer than the whole check may."""
    program = (
        "import sys; sys.argv = ['slipway', 'check']\n"
        "from cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted(sys.modules.keys() & {'prefect', 'google', 'grpc', 'httpx', 'aiohttp'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=repo.path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


RUNS = {
    "deploy": ["--environment=staging"],
    "ship": [],
    "promote": ["--environment=staging"],
    "cleanup": [],
    "drift": ["--environment=staging"],
    "doctor": ["--environment=staging"],
}


@pytest.mark.parametrize("command", RUNS)
def test_a_run_from_a_faulty_folder_is_not_started(repo: Repo, command: str) -> None:
    repo.write("slipway.yaml", FAULTY)
    done = slipway(command, *RUNS[command], cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api")
    assert done.returncode == (1 if command == "drift" else 2)  # 2 would say that something has drifted
    assert done.stderr.startswith("slipway: slipway.yaml has 3 problems:")
    assert "Nothing was changed." in done.stderr


@pytest.mark.parametrize("command", ["deploy", "ship", "doctor", "promote"])
def test_sources_matter_to_runs_that_build(repo: Repo, command: str) -> None:
    repo.git("rm", "--quiet", "web/Dockerfile.prod")
    said = refusal(slipway(command, *RUNS[command], cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api"))
    builds = command in ("deploy", "ship", "doctor")
    assert ("The source folder web of service web is not in the repository" in said) is builds
    assert ("does not answer" in said) is not builds


def test_no_fault_keeps_anybody_from_going_back(repo: Repo) -> None:
    """A rollback works from the record of the release."""
    repo.write("slipway.yaml", FAULTY)
    command = ["rollback", "--environment=staging"]
    assert "does not answer" in refusal(slipway(*command, cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api"))


@pytest.mark.parametrize("arguments", [["--ref=v1"], ["--repository=https://127.0.0.1:1/x.git"]], ids=["ref", "URL"])
def test_what_is_not_the_folder_as_it_is_is_read_by_the_run(repo: Repo, arguments: list[str]) -> None:
    repo.write("slipway.yaml", FAULTY)
    command = ["deploy", "--environment=staging", *arguments]
    assert "does not answer" in refusal(slipway(*command, cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api"))


def test_an_app_below_the_root_is_judged_there(repo: Repo) -> None:
    repo.commit(**{"apps/shop/slipway.yaml": FAULTY})
    command = ["deploy", "--environment=staging", "--folder=apps/shop"]
    said = refusal(slipway(*command, cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api"))
    assert "slipway.yaml has 3 problems" in said


def test_a_run_in_an_environment_that_is_not_there_is_not_started(repo: Repo) -> None:
    command = ["deploy", "--environment=qa"]
    said = refusal(slipway(*command, cwd=repo.path, PREFECT_API_URL="http://127.0.0.1:1/api"))
    assert "there is no environment 'qa'" in said
    assert "choose one of: staging" in said
