"""What is kept before a release, judged by gcloud: replaced where there is nothing of the app, it is the same again."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2, storage
from prefect.logging import disable_run_logger

from tasks.backup.advice import COMMANDS, advice
from tasks.backup.configuration import INDEX, Whole, folder_of, keep_configuration, read_whole
from tasks.history.backup_record import BackupRecord
from tasks.model import Request
from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator import emulated_pools
from tests.infra.emulator.emulated_jobs import Jobs, a_job
from tests.infra.emulator.emulated_pools import Pools
from tests.infra.emulator.emulated_run import REGION, Run, answer, short, template, to
from tests.tasks.builders import a_record, a_request

APP = "keptshop"
BUCKET = "keptshop-records"
MANIFEST = """
app: keptshop
services:
  web: {source: web}
jobs:
  migrate: {image: web}
worker_pools:
  queue: {image: web}
environments:
  production: {project: PROJECT, regions: [europe-west1], bucket: keptshop-records, backup: {}}
"""


def request(project: str) -> Request:
    return a_request(text=MANIFEST.replace("PROJECT", project))


def make() -> None:
    """A service with two revisions, a job, a worker pool, and the bucket."""
    run = Run()
    first = run.create(f"{APP}-web", template(env={"WORD": "one"}))
    first.template = template(env={"WORD": "two"}, labels={"team": "red"}, max_instance_request_concurrency=7)
    first.template.revision = f"{APP}-web-two"
    first.labels = {"team": "red"}
    old = short(first.latest_ready_revision)
    first.traffic = [to(f"{APP}-web-two", 100, "now"), to(old, 0, "before")]
    run.update(first, "template", "traffic", "labels")
    Jobs().create(a_job(WORD="hello", CODES="0"), f"{APP}-migrate")
    Pools().create(f"{APP}-queue", emulated_pools.template(env={"WORD": "work"}), count=2)
    storage.Client().create_bucket(BUCKET)


def gcloud(cloud: LocalCloud, *arguments: str, folder: Path | None = None) -> Any:
    command = ["gcloud", *arguments, "--quiet", "--format=json"]
    done = subprocess.run(command, cwd=folder, env=cloud.env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


def schedule(cloud: LocalCloud) -> None:
    """What calls the service at night; gcloud judges the local cloud by that."""
    gcloud(
        cloud, "scheduler", "jobs", "create", "http", f"{APP}-nightly", f"--location={REGION}",
        "--schedule=0 3 * * *", f"--uri={Run().get(f'{APP}-web').uri}/nightly", "--headers=Authorization=Bearer-abc",
        "--message-body=hello",
    )  # fmt: skip


def downloaded(kept: BackupRecord, to: Path) -> Path:
    """The folder of the backup, on this machine."""
    prefix = kept.configuration.removeprefix(f"gs://{BUCKET}/")
    for blob in storage.Client().list_blobs(BUCKET, prefix=prefix):
        path = to / blob.name.removeprefix(prefix)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blob.download_as_bytes())
    return to


def bodies(whole: Whole) -> dict[str, Any]:
    """Without the launch stage, which `gcloud beta` writes itself."""
    found = {each.path: each.body for each in whole.things if each.kind != "schedules"}
    for each in found.values():
        each["metadata"]["annotations"].pop("run.googleapis.com/launch-stage", None)
    return found


@pytest.mark.timeout(900)  # gcloud is a second of Python each time, on a machine that has nothing else to do
@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
async def test_what_is_kept_is_the_same_again_where_gcloud_replaces_it(
    cloud: LocalCloud, cloud_env: dict[str, str], tmp_path: Path
) -> None:
    make()
    schedule(cloud)
    release = a_record("v1.4.0", 1)
    with disable_run_logger():
        kept: BackupRecord = await keep_configuration.fn(request(PROJECT), release)  # type: ignore[attr-defined]
    assert kept.configuration == f"gs://{BUCKET}/{folder_of(release)}"
    folder = downloaded(kept, tmp_path / folder_of(release).rstrip("/").rpartition("/")[2])
    index = json.loads((folder / INDEX).read_text())
    assert {*index["files"], INDEX} == {str(each.relative_to(folder)) for each in folder.rglob("*.*")}
    advised = advice(release.model_copy(update={"backup": kept}), OTHER_PROJECT)
    for command in (shlex.split(line) for line in advised if line.startswith(tuple(COMMANDS.values()))):
        gcloud(cloud, *command[1:], folder=tmp_path)
    policy = str(folder / f"{REGION}/services/{APP}-web.policy.json")
    where = (f"--region={REGION}", f"--project={OTHER_PROJECT}")
    gcloud(cloud, "run", "services", "set-iam-policy", f"{APP}-web", policy, *where)
    before, after = await read_whole(request(PROJECT)), await read_whole(request(OTHER_PROJECT))
    assert bodies(before) == bodies(after)
    assert len(bodies(after)) == 3
    assert {path: after.policies[path] for path in bodies(before)} == before.policies
    assert any("before" in note for note in kept.notes), kept.notes  # the tag that only an earlier revision can have
    found = run_v2.ServicesClient().get_service(name=f"projects/{OTHER_PROJECT}/locations/{REGION}/services/{APP}-web")
    assert answer(found.uri)["env"]["WORD"] == "two"
    [nightly] = [each for each in before.things if each.kind == "schedules"]
    assert "Bearer-abc" not in json.dumps(nightly.body)
    assert nightly.body["schedule"] == "0 3 * * *"
