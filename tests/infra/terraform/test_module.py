"""The module: what holds of it whatever its names are, and that Terraform takes it with the provider's schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.terraform.mirror import VERSION, write_mirror
from infra.terraform.bundle import LOCK, MODULE, find_bundle, lay_out

pytestmark = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")
TEXTS = {path.name: path.read_text() for path in MODULE.glob("*.tf")}
RESOURCES = re.findall(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', "\n".join(TEXTS.values()), re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Ready:
    """A folder in which `init` has been run, and the environment of Terraform there."""

    work: Path
    environment: dict[str, str]

    def run(self, *arguments: str, work: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = ["terraform", f"-chdir={work or self.work}", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=240, check=False)

    def faults(self, work: Path) -> list[str]:
        """What `validate` has against another folder with the same providers."""
        shutil.copyfile(self.work / LOCK, work / LOCK)
        said: dict[str, Any] = json.loads(self.run("validate", "-json", work=work).stdout)
        assert said["valid"] == (not said["diagnostics"])
        return [f"{each['summary']}: {each['detail']}" for each in said["diagnostics"]]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    """With the stand-in of google-beta, whose schema is held against the real one's, and that of google."""
    folder = tmp_path_factory.mktemp("module")
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "SLIPWAY_"))}
    config = write_mirror(folder / "providers")
    variables = lay_out(find_bundle({"TF_CLI_CONFIG_FILE": str(config)}), folder / "work")
    shutil.copytree(MODULE / "tests", folder / "work" / "tests")
    (folder / "work" / "google.tf").write_text('provider "google" {}\n')
    ready = Ready(folder / "work", {**ours, **variables, "TF_DATA_DIR": str(folder / "data")})
    done = ready.run("init", "-backend=false", "-input=false", "-no-color")
    assert done.returncode == 0, done.stderr
    return ready


def test_its_own_tests_pass(ready: Ready) -> None:
    done = ready.run("test", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed, 0 failed" in done.stdout


def test_terraform_takes_it_with_the_providers_schema(ready: Ready, tmp_path: Path) -> None:
    lay_out(find_bundle({}), tmp_path)
    assert ready.faults(tmp_path) == []


# Two modules, as Terraform says nothing of what needs something that is wrong.
MISTAKES = (
    (
        ("main.tf", "  account_id   = each.value.account_id\n", "", 'The argument "account_id" is required'),
        ("main.tf", "uniform_bucket_level_access = true", "uniform_bucket_level_access = [true]", "bool required"),
        ("main.tf", "  replication {\n    auto {}\n  }\n", "", 'At least 1 "replication" blocks are required'),
        ("gateway.tf", "    auto {}\n", "    auto {}\n    auto {}\n", 'No more than 1 "auto" blocks are allowed'),
    ),
    (
        ("gateway.tf", "gateway_id = var", "gateway_idd = var", 'Did you mean "gateway_id"?'),
        ("gateway.tf", "  secret_data_wo    ", '  secret_data = "x"\n  secret_data_wo    ', "only one of"),
        ("outputs.tf", "one(google_api_gateway_api.api[*].managed_service)", "google_api_gateway_api.api[0].idd",
         "no argument, nested block, or exported attribute"),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def mistaken(ready: Ready, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is said of modules with several mistakes."""
    said = list[str]()
    for mistakes in MISTAKES:
        folder = tmp_path_factory.mktemp("mistaken")
        lay_out(find_bundle({}), folder)
        for file, right, wrong, _ in mistakes:
            text = (folder / file).read_text()
            assert right in text
            (folder / file).write_text(text.replace(right, wrong))
        said += ready.faults(folder)
    return said


@pytest.mark.parametrize("found", [each[3] for mistakes in MISTAKES for each in mistakes])
def test_a_mistake_in_it_is_found(found: str, mistaken: list[str]) -> None:
    assert [fault for fault in mistaken if found in fault]


def test_a_gateway_of_the_wrong_provider_is_found(ready: Ready, tmp_path: Path) -> None:
    lay_out(find_bundle({}), tmp_path)
    (tmp_path / "google.tf").write_text('provider "google" {}\n')
    (tmp_path / "gateway.tf").write_text(TEXTS["gateway.tf"].replace("  provider   = google-beta\n", ""))
    assert 'does not support resource type "google_api_gateway_gateway"' in "".join(ready.faults(tmp_path))


def test_it_is_written_as_terraform_writes(ready: Ready) -> None:
    assert ready.run("fmt", "-check", "-recursive", "-diff", work=MODULE).stdout == ""


def test_it_loads_nothing_from_elsewhere_and_pins_its_one_provider() -> None:
    """A remote source would want a network at every run, and one of git waits for it without end."""
    whole = "\n".join(TEXTS.values())
    assert re.findall(r'source\s*=\s*"([^"]*)", version = "([^"]*)"', whole) == [("hashicorp/google-beta", VERSION)]
    assert len(re.findall(r"\bsource\b\s*=", whole)) == 1
    assert not re.search(r"^\s*(module|data)\b", whole, re.MULTILINE)
    assert RESOURCES
    ours = [body for kind, _, body in RESOURCES if kind != "terraform_data"]  # which is Terraform's own
    assert all(re.search(r"^  provider +=( google-beta)$", body, re.MULTILINE) for body in ours)


def test_it_holds_no_cloud_run_service_and_no_output_with_the_key() -> None:
    """Who deploys a service is its one writer: a plan that was saved would set back a newer image."""
    assert not [kind for kind, _, _ in RESOURCES if kind.startswith(("google_cloud_run", "google_cloudfunctions"))]
    assert "key_string" not in TEXTS["outputs.tf"]
    assert "secret_data " not in TEXTS["gateway.tf"]
