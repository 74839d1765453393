"""The real Terraform by hand, with nothing but what `slipway emulator env` prints."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TERRAFORM_PROJECT as PROJECT
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_process import rest_of
from tests.infra.emulator.terraform.asked import OPENAPI

pytestmark = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")
MODULE = Path(__file__).parents[4] / "infra" / "terraform" / "module"
ACCOUNT = f"hand-gateway@{PROJECT}.iam.gserviceaccount.com"
APIS = ("apigateway", "apikeys", "secretmanager", "servicecontrol", "servicemanagement")
VARIABLES: dict[str, Any] = {
    "project": PROJECT,
    "region": "europe-west1",
    "labels": {"app": "hand", "managed-by": "slipway"},
    "services": [f"{name}.googleapis.com" for name in APIS],
    "accounts": {"gateway": {"account_id": "hand-gateway", "display_name": "Gateway"}},
    "roles": {"invoker": {"role": "roles/run.invoker", "member": f"serviceAccount:{ACCOUNT}"}},
    "buckets": {"data": {"name": f"{PROJECT}-hand", "location": "europe-west1", "versioning": True}},
    "secrets": {"token": {"secret_id": "hand-token", "accessors": [f"serviceAccount:{ACCOUNT}"]}},
    "gateway": {
        "api_id": "hand", "config_id": "hand-1", "gateway_id": "hand", "region": "europe-west1",
        "openapi_base64": base64.b64encode(OPENAPI.encode()).decode(), "service_account": ACCOUNT,
    },
    "key": {"key_id": "hand-1", "display_name": "clients", "secret_id": "hand-key", "generation": 1},
}  # fmt: skip
IDS = {
    'google_service_account.account["gateway"]': f"projects/{PROJECT}/serviceAccounts/{ACCOUNT}",
    'google_storage_bucket.bucket["data"]': f"{PROJECT}/{PROJECT}-hand",
    'google_secret_manager_secret.secret["token"]': f"projects/{PROJECT}/secrets/hand-token",
    "google_secret_manager_secret.key[0]": f"projects/{PROJECT}/secrets/hand-key",
    "google_api_gateway_api.api[0]": f"projects/{PROJECT}/locations/global/apis/hand",
    'google_api_gateway_api_config.config["hand-1"]': f"projects/{PROJECT}/locations/global/apis/hand/configs/hand-1",
    "google_api_gateway_gateway.gateway[0]": f"projects/{PROJECT}/locations/europe-west1/gateways/hand",
    'google_apikeys_key.key["hand-1"]': f"projects/{PROJECT}/locations/global/keys/hand-1",
    'google_secret_manager_secret_version.key["hand-1"]': f"projects/{PROJECT}/secrets/hand-key/versions/1",
}
STATES = f"{PROJECT}-hand-states"
SLOW_S = 5.0
SECRETS = """\
provider "google" {
  project = "PROJECT"
}
terraform {
  required_providers {
    google = { source = "hashicorp/google", version = "8.7.0" }
  }
}
resource "google_secret_manager_secret" "quick" {
  secret_id = "NAME-quick"
  replication {
    auto {}
  }
}
resource "google_secret_manager_secret" "slow" {
  secret_id  = "NAME-slow"
  depends_on = [google_secret_manager_secret.quick]
  replication {
    auto {}
  }
}
"""


@dataclass(frozen=True)
class Hand:
    """A folder, and Terraform in it; its state is a file there."""

    work: Path
    cloud: LocalCloud

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In a process group of its own, as a shell starts it."""
        return subprocess.Popen(
            ["terraform", f"-chdir={self.work}", *arguments], env=self.cloud.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == code, said
        return said

    def apply(self, *arguments: str) -> str:
        return self.run("apply", "-auto-approve", "-no-color", *arguments)

    def changes(self) -> dict[str, list[str]]:
        """By address, of what a plan would change."""
        self.run("plan", "-out=plan", "-no-color")
        shown = json.loads(self.run("show", "-json", "plan"))
        found = {each["address"]: each["change"]["actions"] for each in shown.get("resource_changes", ())}
        return {address: actions for address, actions in found.items() if actions != ["no-op"]}

    def unchanged(self) -> None:
        self.run("plan", "-detailed-exitcode", "-no-color")  # 2: there are changes

    def state(self) -> set[str]:
        resources = json.loads((self.work / "terraform.tfstate").read_text())["resources"]
        return {f"{each['type']}.{each['name']}" for each in resources}


@pytest.fixture
def faults(cloud: LocalCloud) -> Iterator[LocalCloud]:
    yield cloud
    cloud.put("/faults", [])


@pytest.fixture
def hand(cloud: LocalCloud, tmp_path: Path) -> Hand:
    return Hand(tmp_path, cloud)


def given(hand: Hand, variables: dict[str, Any]) -> None:
    (hand.work / "terraform.tfvars.json").write_text(json.dumps(variables))


def test_the_module_is_applied_drifts_is_adopted_and_goes_again(hand: Hand) -> None:
    """With its state in Cloud Storage, as Slipway has it."""
    for path in MODULE.glob("*.tf"):
        shutil.copy(path, hand.work)
    given(hand, VARIABLES)
    with rest_of(hand.cloud, "storage") as rest:
        bucket = {"name": STATES, "location": "EU", "versioning": {"enabled": True}}
        rest.post(f"/storage/v1/b?project={PROJECT}", json=bucket).raise_for_status()
    hand.run("init", "-no-color", f"-backend-config=bucket={STATES}", "-backend-config=prefix=provision/production")
    said = hand.apply()
    hand.unchanged()
    key = _key(hand)
    assert key not in said + hand.run("output", "-json")

    _drift(hand)
    assert hand.changes() == {
        'google_project_iam_member.role["invoker"]': ["create"],
        'google_storage_bucket.bucket["data"]': ["update"],
    }
    hand.run("apply", "-no-color", "plan")

    with rest_of(hand.cloud, "storage") as rest:  # the state is lost
        rest.delete(f"/storage/v1/b/{STATES}/o/provision%2Fproduction%2Fdefault.tfstate").raise_for_status()
    blocks = (f'import {{\n  to = {address}\n  id = "{name}"\n}}\n' for address, name in IDS.items())
    (hand.work / "adopt.tf").write_text("".join(blocks))
    said = hand.apply()
    assert f"{len(IDS)} imported" in said
    assert "0 destroyed" in said
    assert _key(hand) == key
    (hand.work / "adopt.tf").unlink()

    given(hand, {**VARIABLES, "key": {**VARIABLES["key"], "key_id": "hand-2", "generation": 2}})
    said = hand.apply("-replace=google_api_gateway_gateway.gateway[0]")
    assert "3 added, 1 changed, 3 destroyed" in said  # what was kept is let go when its successor is there
    assert said.index('version.key["hand-2"]: Creation complete') < said.index('version.key["hand-1"]: Destroying')
    hand.unchanged()
    assert _key(hand) != key
    hand.run("destroy", "-auto-approve", "-no-color")
    assert hand.run("state", "list") == ""
    with rest_of(hand.cloud, "storage") as rest:
        there = rest.get(f"/storage/v1/b/{STATES}/o").json()["items"]
    assert [each["name"] for each in there] == ["provision/production/default.tfstate"], "the lock is gone"


def _key(hand: Hand) -> str:
    """From the newest version of its secret, as a client reads it."""
    with rest_of(hand.cloud, "secretmanager") as rest:
        answer = rest.get(f"/v1/projects/{PROJECT}/secrets/hand-key/versions/latest:access").json()
    return base64.b64decode(answer["payload"]["data"]).decode()


def _drift(hand: Hand) -> None:
    """Somebody else takes the role away, and the labels."""
    with rest_of(hand.cloud, "cloudresourcemanager") as rest:
        url = f"/v1/projects/{PROJECT}"
        policy = rest.post(f"{url}:getIamPolicy", json={}).json()
        policy["bindings"] = [each for each in policy["bindings"] if each["role"] != "roles/run.invoker"]
        rest.post(f"{url}:setIamPolicy", json={"policy": policy}).raise_for_status()
    with rest_of(hand.cloud, "storage") as rest:
        rest.patch(f"/storage/v1/b/{PROJECT}-hand", json={"labels": {"app": None}}).raise_for_status()


def slow(hand: Hand, name: str) -> subprocess.Popen[str]:
    """Two secrets, of which the second takes its time; answers when it is under way."""
    (hand.work / "main.tf").write_text(SECRETS.replace("NAME", name).replace("PROJECT", PROJECT))
    hand.run("init", "-no-color")
    hand.cloud.put("/faults", [{"method": "*/CreateSecret", "delay_s": SLOW_S, "skip": 1, "times": 1}])
    before = hand.cloud.faulted()
    process = hand.start("apply", "-auto-approve", "-no-color")
    eventually(lambda: hand.cloud.faulted() != before or process.poll() is not None)
    assert process.poll() is None
    return process


def eventually(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def providers_of(terraform: int) -> set[int]:
    """The processes that Terraform has started and that still run."""
    lists = Path(f"/proc/{terraform}/task").glob("*/children")
    return {int(each) for path in lists for each in path.read_text().split()}


def there(hand: Hand, secret: str) -> bool:
    with rest_of(hand.cloud, "secretmanager") as rest:
        return rest.get(f"/v1/projects/{PROJECT}/secrets/{secret}").status_code == httpx.codes.OK


def test_one_interrupt_waits_for_what_is_under_way(hand: Hand, faults: LocalCloud) -> None:
    """Ctrl-C reaches the provider too, which goes on."""
    process = slow(hand, "once")
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupt received" in said
    assert hand.state() == {"google_secret_manager_secret.quick", "google_secret_manager_secret.slow"}
    hand.unchanged()


def test_a_second_interrupt_loses_what_is_under_way_and_it_is_there_all_the_same(
    hand: Hand, faults: LocalCloud
) -> None:
    process = slow(hand, "twice")
    assert process.stdout is not None
    os.killpg(process.pid, signal.SIGINT)
    while "Interrupt received" not in process.stdout.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert hand.state() == {"google_secret_manager_secret.quick"}
    eventually(lambda: there(hand, "twice-slow"))
    refused = hand.run("apply", "-auto-approve", "-no-color", code=1)
    assert "Error creating Secret: googleapi: Error 409" in refused


def test_a_provider_that_is_killed_fails_the_run_and_nothing_more(hand: Hand, faults: LocalCloud) -> None:
    process = slow(hand, "killed")
    for provider in providers_of(process.pid):
        os.kill(provider, signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    # Terraform says the one or the other, whichever its side of the connection notices first (grpc_error.go).
    assert re.search(r"ApplyResourceChange (request was cancelled|call)", said)
    assert hand.state() == {"google_secret_manager_secret.quick"}


def test_a_provider_whose_terraform_was_killed_ends_what_it_is_making_and_then_itself(
    hand: Hand, faults: LocalCloud
) -> None:
    process = slow(hand, "orphan")
    (orphan,) = providers_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    assert Path(f"/proc/{orphan}").exists(), "it goes on"
    eventually(lambda: not Path(f"/proc/{orphan}").exists())
    assert there(hand, "orphan-slow")
