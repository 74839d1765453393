"""Cloud SQL Admin on the local cloud, held against Google's discovery documents, and under the real gcloud."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import time
from typing import Any

import pytest

from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

V1 = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}"
_numbers = itertools.count(1)


def done(web: Checked, operation: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = web.get(f"{V1}/operations/{operation['name']}").raise_for_status().json()
        if found["status"] == "DONE":
            return found
    raise AssertionError(f"{operation['name']} does not end")


def new_instance(web: Checked, **more: Any) -> str:
    name = f"db-{next(_numbers)}"
    body = {"name": name, "region": "europe-west1", "databaseVersion": "POSTGRES_16", **more}
    body["settings"] = {"tier": "db-f1-micro", **more.get("settings", {})}
    assert "error" not in done(web, web.post(f"{V1}/instances", json=body).raise_for_status().json())
    return name


def reason(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def test_an_instance_is_made_found_stopped_and_deleted(web: Checked) -> None:
    name = new_instance(web)
    found = web.get(f"{V1}/instances/{name}").json()
    assert (found["state"], found["connectionName"]) == ("RUNNABLE", f"{PROJECT}:europe-west1:{name}")
    assert name in {each["name"] for each in web.get(f"{V1}/instances").json()["items"]}
    stopped = {"settings": {"activationPolicy": "NEVER", "settingsVersion": found["settings"]["settingsVersion"]}}
    done(web, web.patch(f"{V1}/instances/{name}", json=stopped).raise_for_status().json())
    settings = web.get(f"{V1}/instances/{name}").json()["settings"]
    assert (settings["activationPolicy"], settings["tier"]) == ("NEVER", "db-f1-micro")
    assert reason(web.patch(f"{V1}/instances/{name}", json=stopped)) == (412, "staleData")
    assert web.checked > 5
    done(web, web.delete(f"{V1}/instances/{name}").raise_for_status().json())
    assert reason(web.get(f"{V1}/instances/{name}")) == (404, "instanceDoesNotExist")
    again = {"name": name, "settings": {"tier": "db-f1-micro"}}
    assert reason(web.post(f"{V1}/instances", json=again)) == (409, "instanceAlreadyExists")  # for a week


def test_backups_belong_to_their_instance_and_go_with_it(web: Checked) -> None:
    name = new_instance(web)
    made = done(web, web.post(f"{V1}/instances/{name}/backupRuns", json={"description": "before v1"}).json())
    number = made["backupContext"]["backupId"]
    found = web.get(f"{V1}/instances/{name}/backupRuns/{number}").json()
    assert (found["status"], found["type"], found["description"]) == ("SUCCESSFUL", "ON_DEMAND", "before v1")
    done(web, web.post(f"{V1}/instances/{name}/backupRuns", json={}).json())
    listed = web.get(f"{V1}/instances/{name}/backupRuns?maxResults=1").json()
    assert listed["items"][0]["id"] != number  # the newest first
    rest = web.get(f"{V1}/instances/{name}/backupRuns?maxResults=1&pageToken={listed['nextPageToken']}").json()
    assert [each["id"] for each in rest["items"]] == [number]
    done(web, web.delete(f"{V1}/instances/{name}/backupRuns/{number}").json())
    assert reason(web.get(f"{V1}/instances/{name}/backupRuns/{number}")) == (404, "backupRunDoesNotExist")
    done(web, web.delete(f"{V1}/instances/{name}").json())
    assert reason(web.get(f"{V1}/instances/{name}/backupRuns")) == (404, "instanceDoesNotExist")


def test_a_final_backup_outlives_its_instance(web: Checked) -> None:
    name = new_instance(web)
    done(web, web.delete(f"{V1}/instances/{name}?enableFinalBackup=true&finalBackupTtlDays=30").json())
    (final,) = [each for each in web.get(f"{V1}/backups").json()["backups"] if each["instance"] == name]
    assert (final["type"], final["ttlDays"]) == ("FINAL", "30")


def test_what_is_protected_or_has_replicas_is_not_deleted(web: Checked) -> None:
    guarded = new_instance(web, settings={"deletionProtectionEnabled": True})
    assert reason(web.delete(f"{V1}/instances/{guarded}")) == (400, "instanceDeletionProtected")
    primary = new_instance(web)
    replica = new_instance(web, masterInstanceName=primary)
    assert web.get(f"{V1}/instances/{primary}").json()["replicaNames"] == [replica]
    assert reason(web.delete(f"{V1}/instances/{primary}")) == (400, "invalidOperation")
    done(web, web.delete(f"{V1}/instances/{replica}").json())
    done(web, web.delete(f"{V1}/instances/{primary}").json())


def test_one_thing_at_a_time_is_done_to_an_instance(web: Checked, cloud: LocalCloud) -> None:
    name = new_instance(web)
    cloud.put("/latency", {"stages": {"sql.backup": 30.0}})
    try:
        web.post(f"{V1}/instances/{name}/backupRuns", json={}).raise_for_status()
        assert reason(web.post(f"{V1}/instances/{name}/backupRuns", json={})) == (409, "operationInProgress")
        assert reason(web.delete(f"{V1}/instances/{name}")) == (409, "operationInProgress")
    finally:
        cloud.put("/latency", {"stages": {"sql.backup": 0.0}})


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_lists_backs_up_and_deletes(web: Checked, cloud: LocalCloud) -> None:
    name = new_instance(web)

    def gcloud(*arguments: str) -> Any:
        command = ["gcloud", "sql", *arguments, "--quiet", "--format=json"]
        run = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=240, check=False)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "null")

    assert name in {each["name"] for each in gcloud("instances", "list")}
    assert gcloud("instances", "list", f"--project={EMPTY_PROJECT}") == []
    gcloud("backups", "create", f"--instance={name}", "--description=by gcloud")
    (backup,) = gcloud("backups", "list", f"--instance={name}")
    assert backup["description"] == "by gcloud"
    gcloud("instances", "patch", name, "--activation-policy=never")
    assert gcloud("instances", "describe", name)["settings"]["activationPolicy"] == "NEVER"
    gcloud("instances", "delete", name)
