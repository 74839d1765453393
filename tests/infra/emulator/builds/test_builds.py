"""Cloud Build's API: the life of a build from the queue to its end, over the wire."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.devtools import cloudbuild_v1

from tests.conftest import OTHER_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.emulated_build import PARENT, Builds, docker, group_lives, shell


@pytest.fixture(scope="module")
def builds(cloud: LocalCloud) -> Iterator[Builds]:
    with Builds(cloud) as builds:
        yield builds


@pytest.fixture
def one_place(cloud: LocalCloud) -> Iterator[None]:
    """Only one build may run at a time."""
    cloud.put("/latency", {"stages": {"build.concurrency": 1}})
    yield
    cloud.put("/latency", {"stages": {"build.concurrency": 10}})


def test_an_image_is_built_pushed_and_described_in_the_results(builds: Builds) -> None:
    image = f"{builds.repository()}/app:v1"
    source = builds.source({"Dockerfile": "FROM scratch\nCOPY hello.txt /\nLABEL v=1\n", "hello.txt": "hello"})
    operation = builds.create(docker("build", "-t", image, "."), source=source, images=[image], tags=["app-x"])
    assert not operation.get("done")
    assert operation["metadata"]["build"]["status"] == "QUEUED"
    build = builds.finished(operation["metadata"]["build"]["name"])
    assert build["status"] == "SUCCESS", builds.log(build)
    (pushed,) = build["results"]["images"]
    assert pushed["name"] == image
    assert builds.manifest(image) == builds.manifest(f"{image.rpartition(':')[0]}@{pushed['digest']}")
    assert builds.config(image)["config"]["Labels"]["v"] == "1"
    assert build["sourceProvenance"]["resolvedStorageSource"]["generation"].isdigit()
    assert build["steps"][0]["status"] == "SUCCESS"
    assert set(build["timing"]) == {"FETCHSOURCE", "BUILD", "PUSH"}
    assert build["createTime"] <= build["startTime"] <= build["finishTime"]


def test_the_log_has_the_lines_that_real_logs_have(builds: Builds) -> None:
    image = f"{builds.repository()}/app:v1"
    source = builds.source({"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n"})
    build = builds.run(
        shell("echo out; echo err >&2", id="unit"), docker("build", "-t", image, "."), source=source, images=[image]
    )
    log = builds.log(build).splitlines()
    bucket = source["storageSource"]["bucket"]
    generation = build["sourceProvenance"]["resolvedStorageSource"]["generation"]
    expected = [
        f'starting build "{build["id"]}"', "", "FETCHSOURCE",
        f"Fetching storage object: gs://{bucket}/source.tgz#{generation}", "BUILD", 'Starting Step #0 - "unit"',
        'Step #0 - "unit": out', 'Step #0 - "unit": err', 'Finished Step #0 - "unit"', "Starting Step #1",
        f"Step #1: Successfully tagged {image}", "Finished Step #1", "PUSH", f"Pushing {image}", "DONE",
    ]  # fmt: skip
    assert [line for line in log if line in expected] == expected


def test_the_log_grows_while_the_build_runs(builds: Builds, tmp_path: Path) -> None:
    script = f"echo first; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; echo second"
    name = builds.create(shell(script))["metadata"]["build"]["name"]
    build = builds.until(name, "WORKING")
    while "first" not in (log := builds.log(build)):
        time.sleep(0.02)
    assert "second" not in log
    assert "steps" in build
    assert "status" not in build["steps"][0]
    (tmp_path / "go").touch()
    assert builds.log(builds.finished(name)).startswith(log)
    assert "second" in builds.log(build)


def test_a_failing_step_fails_the_build_and_names_itself(builds: Builds) -> None:
    build = builds.run(shell("exit 3", id="unit"), shell("echo never", id="later"))
    assert build["status"] == "FAILURE"
    assert build["failureInfo"]["type"] == "USER_BUILD_STEP"
    detail = 'build step 0 "ubuntu" failed: step exited with non-zero status: 3'
    assert build["failureInfo"]["detail"] == f"Build step failure: {detail}"
    assert (build["steps"][0]["status"], build["steps"][0]["exitCode"]) == ("FAILURE", 3)
    assert "status" not in build["steps"][1]
    assert builds.log(build).endswith(f"ERROR\nERROR: {detail}\n")
    assert "never" not in builds.log(build)


def test_the_operation_carries_the_build_and_its_outcome(builds: Builds) -> None:
    operation = builds.create(shell("true"))
    build = builds.finished(operation["metadata"]["build"]["name"])
    done = builds.get(operation["name"])
    assert operation["name"].startswith(f"operations/build/{PROJECT}/")
    assert done["done"]
    assert done["response"]["id"] == done["metadata"]["build"]["id"] == build["id"]
    assert builds.get(f"{PARENT}/operations/{build['id']}")["response"]["status"] == "SUCCESS"


def test_the_operation_of_a_failed_build_says_where_to_look(builds: Builds) -> None:
    operation = builds.create(shell("false"))
    builds.finished(operation["metadata"]["build"]["name"])
    assert builds.get(operation["name"])["error"] == {
        "code": 2,
        "message": "Build failed; check build logs for details",
    }


def test_the_official_client_waits_for_a_global_build(cloud_env: dict[str, str]) -> None:
    client = cloudbuild_v1.CloudBuildClient()
    step = cloudbuild_v1.BuildStep(name="ubuntu", script="echo hi")
    operation = client.create_build(project_id=PROJECT, build=cloudbuild_v1.Build(steps=[step]))
    build = operation.result(timeout=30)
    assert build.name == f"projects/{PROJECT}/locations/global/builds/{build.id}"
    assert client.get_build(project_id=PROJECT, id=build.id).status == cloudbuild_v1.Build.Status.SUCCESS
    with pytest.raises(exceptions.NotFound, match=r"Requested entity was not found\."):
        client.get_build(request={"name": f"{PARENT}/builds/{build.id}"})


def test_independent_steps_run_side_by_side(builds: Builds, tmp_path: Path) -> None:
    meet = "touch {0}/{1}; for i in $(seq 200); do [ -e {0}/{2} ] && exit 0; sleep 0.05; done; exit 1"
    build = builds.run(
        shell(meet.format(tmp_path, "a", "b"), id="a", waitFor=["-"]),
        shell(meet.format(tmp_path, "b", "a"), id="b", waitFor=["-"]),
        shell(f"ls {tmp_path}/a {tmp_path}/b", waitFor=["a", "b"]),
    )
    assert build["status"] == "SUCCESS", builds.log(build)


@pytest.mark.parametrize(
    "pardon", [{"allowFailure": True}, {"allowExitCodes": [3, 4]}], ids=["any failure", "certain exit codes"]
)
def test_a_forgiven_failure_is_marked_and_the_build_goes_on(builds: Builds, pardon: dict[str, Any]) -> None:
    build = builds.run(shell("exit 3", **pardon), shell("echo after"))
    assert build["status"] == "SUCCESS"
    assert [step["status"] for step in build["steps"]] == ["FAILURE", "SUCCESS"]


def test_a_build_over_its_time_ends_as_timeout_with_its_processes(builds: Builds, tmp_path: Path) -> None:
    build = builds.run(shell(f"echo $$ > {tmp_path}/pid; sleep 300 & sleep 300"), timeout="1s")
    assert build["status"] == "TIMEOUT"
    assert builds.log(build).endswith("TIMEOUT\nERROR: context deadline exceeded\n")
    assert not group_lives((tmp_path / "pid").read_text())


def test_a_step_over_its_time_fails_the_build_as_timeout(builds: Builds) -> None:
    build = builds.run(shell("sleep 300", timeout="1s"))
    assert (build["status"], build["steps"][0]["status"]) == ("TIMEOUT", "TIMEOUT")


def test_cancelling_kills_the_steps_at_once(builds: Builds, tmp_path: Path) -> None:
    operation = builds.create(shell(f"echo $$ > {tmp_path}/pid; touch {tmp_path}/on; (sleep 300 &) ; sleep 300"))
    name = operation["metadata"]["build"]["name"]
    while not (tmp_path / "on").exists():
        time.sleep(0.02)
    build = builds.http.post(builds.url(f"{name}:cancel"), json={}).raise_for_status().json()
    assert build["status"] == "CANCELLED"
    assert not group_lives((tmp_path / "pid").read_text())
    assert builds.get(operation["name"])["error"]["code"] == 1
    assert builds.log(build).endswith("CANCELLED\nERROR: context canceled\n")
    again = builds.http.post(builds.url(f"{name}:cancel"), json={})
    assert (again.status_code, again.json()["error"]["status"]) == (400, "FAILED_PRECONDITION")


def test_a_queued_build_waits_for_a_place_and_can_be_cancelled(builds: Builds, one_place: None, tmp_path: Path) -> None:
    wait = shell(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")
    first = builds.create(wait)["metadata"]["build"]["name"]
    builds.until(first, "WORKING")
    second, third = (builds.create(shell("true"))["metadata"]["build"]["name"] for _ in range(2))
    assert builds.get(second)["status"] == "QUEUED"
    builds.http.post(builds.url(f"{third}:cancel"), json={}).raise_for_status()
    (tmp_path / "go").touch()
    assert builds.finished(second)["status"] == "SUCCESS"
    assert "startTime" not in builds.get(third)


def test_a_build_that_waits_too_long_expires(builds: Builds, one_place: None, tmp_path: Path) -> None:
    first = builds.create(shell(f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done"))["metadata"]["build"]["name"]
    builds.until(first, "WORKING")
    assert builds.run(shell("true"), queueTtl="1s")["status"] == "EXPIRED"
    (tmp_path / "go").touch()
    builds.finished(first)


def test_a_retried_build_is_a_new_one_from_the_same_request(builds: Builds) -> None:
    old = builds.run(shell("echo $BUILD"), options={"env": ["BUILD=$BUILD_ID"]}, tags=["again"])
    operation = builds.http.post(builds.url(f"{old['name']}:retry"), json={}).raise_for_status().json()
    new = builds.finished(operation["metadata"]["build"]["name"])
    assert new["id"] != old["id"]
    assert new["tags"] == ["again"]
    assert new["id"] in builds.log(new)
    assert old["id"] not in builds.log(new)


def test_lists_are_filtered_newest_first_and_paged(builds: Builds) -> None:
    names = [builds.run(shell("true"), tags=["listed"])["name"] for _ in range(3)]
    builds.run(shell("false"), tags=["listed"])
    url = builds.url(f"{PARENT}/builds")
    query = {"filter": 'tags="listed" AND status="SUCCESS"', "pageSize": "2"}
    first = builds.http.get(url, params=query).json()
    second = builds.http.get(url, params={**query, "pageToken": first["nextPageToken"]}).json()
    assert [build["name"] for page in (first, second) for build in page["builds"]] == names[::-1]
    assert "nextPageToken" not in second


def test_secrets_reach_only_the_steps_that_ask(builds: Builds) -> None:
    secrets = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    builds.http.post(secrets, params={"secretId": "db"}, json={"replication": {"automatic": {}}}).raise_for_status()
    version = {"payload": {"data": "aHVudGVyMg=="}}
    builds.http.post(f"{secrets}/db:addVersion", json=version).raise_for_status()
    name = f"projects/{PROJECT}/secrets/db/versions/latest"
    secret = {"availableSecrets": {"secretManager": [{"versionName": name, "env": "PASSWORD"}]}}
    denied = builds.run(shell("true", secretEnv=["PASSWORD"]), **secret)
    assert "Permission 'secretmanager.versions.access' denied for resource" in denied["failureInfo"]["detail"]
    account = denied["serviceAccount"].rpartition("/")[2]
    policy = {"bindings": [{"role": "roles/secretmanager.secretAccessor", "members": [f"serviceAccount:{account}"]}]}
    builds.http.post(f"{secrets}/db:setIamPolicy", json={"policy": policy}).raise_for_status()
    build = builds.run(
        shell('[ "$PASSWORD" = hunter2 ]', secretEnv=["PASSWORD"]), shell('[ -z "$PASSWORD" ]'), **secret
    )
    assert build["status"] == "SUCCESS", builds.log(build)


def test_a_git_source_is_cloned_at_its_revision(builds: Builds, tmp_path: Path) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    for version in ("one", "two"):
        (tmp_path / "app").mkdir(exist_ok=True)
        (tmp_path / "app" / "version.txt").write_text(version)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", version], check=True)
        subprocess.run([*git, "tag", version], check=True)
    source = {"gitSource": {"url": f"file://{tmp_path}", "revision": "one", "dir": "app"}}
    build = builds.run(shell("grep one version.txt && ls ../.git"), source=source)
    assert build["status"] == "SUCCESS", builds.log(build)
    missing = builds.run(shell("true"), source={"gitSource": {"url": f"file://{tmp_path}/nowhere"}})
    assert missing["failureInfo"]["type"] == "FETCH_SOURCE_FAILED"


def test_what_is_no_archive_fails_while_fetching(builds: Builds) -> None:
    bucket = builds.bucket()
    builds.upload(bucket, "source.tgz", b"not an archive")
    build = builds.run(shell("true"), source={"storageSource": {"bucket": bucket, "object": "source.tgz"}})
    assert build["failureInfo"]["type"] == "FETCH_SOURCE_FAILED"
    assert "could not unpack the source archive" in builds.log(build)


def test_a_source_that_is_not_there_is_refused_at_once(builds: Builds) -> None:
    error = builds.refused(shell("true"), source={"storageSource": {"bucket": builds.bucket(), "object": "x.tgz"}})
    assert error["status"] == "INVALID_ARGUMENT"
    assert error["message"].startswith("could not resolve source: googleapi: Error 404: No such object")


@pytest.mark.parametrize(
    ("fields", "status", "problem"),
    [
        pytest.param({"steps": []}, "INVALID_ARGUMENT", "no build steps are specified", id="no steps"),
        pytest.param(
            {"logsBucket": "gs://nobody-has-this"}, "FAILED_PRECONDITION", 'invalid bucket "nobody', id="logs"
        ),
        pytest.param(
            {"serviceAccount": f"projects/{PROJECT}/serviceAccounts/me@x.iam.gserviceaccount.com"},
            "INVALID_ARGUMENT",
            "the build must either (a) specify 'build.logs_bucket'",
            id="own account without a place for logs",
        ),
        pytest.param(
            {"options": {"pool": {"name": f"{PARENT}/workerPools/mine"}}}, "NOT_FOUND", "workerPools/mine", id="pool"
        ),
    ],
)
def test_an_impossible_request_makes_no_build(
    builds: Builds, fields: dict[str, Any], status: str, problem: str
) -> None:
    request = {"steps": [shell("true")], **fields}
    answer = builds.http.post(builds.url(f"{PARENT}/builds"), json=request)
    assert answer.json()["error"]["status"] == status
    assert problem in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("logging", "in_object", "in_logging"),
    [("LEGACY", True, True), ("GCS_ONLY", True, False), ("CLOUD_LOGGING_ONLY", False, True), ("NONE", False, False)],
)
def test_logs_go_where_the_options_say(builds: Builds, logging: str, in_object: bool, in_logging: bool) -> None:
    build = builds.run(shell("echo marker"), options={"logging": logging})
    assert ("logsBucket" in build) is in_object
    if in_object:
        assert "marker" in builds.log(build)
    wanted = {
        "resourceNames": [f"projects/{PROJECT}"],
        "filter": f'logName="projects/{PROJECT}/logs/cloudbuild" AND resource.type="build" AND '
        f'resource.labels.build_id="{build["id"]}"',
    }
    entries = builds.http.post("https://logging.googleapis.com/v2/entries:list", json=wanted).raise_for_status().json()
    assert ("marker" in [entry["textPayload"] for entry in entries.get("entries", [])]) is in_logging


def test_triggers_and_worker_pools_are_empty_lists(builds: Builds) -> None:
    assert builds.get(f"{PARENT}/triggers") == {}
    assert builds.get(f"{PARENT}/workerPools") == {}


def test_builds_of_one_project_are_not_seen_in_another(builds: Builds) -> None:
    build = builds.run(shell("true"))
    elsewhere = build["name"].replace(f"projects/{PROJECT}/", f"projects/{OTHER_PROJECT}/")
    assert builds.http.get(builds.url(elsewhere)).status_code == 404


def test_cloud_run_builds_a_source_by_itself(builds: Builds) -> None:
    image = f"{builds.repository()}/app"
    source = builds.source({"Dockerfile": "FROM scratch\nENV A=1\n"})
    url = f"https://run.googleapis.com/v2/{PARENT}/builds:submit"
    answer = builds.http.post(url, json={"imageUri": image, "dockerBuild": {}, **source}).raise_for_status().json()
    build = builds.finished(answer["buildOperation"]["metadata"]["build"]["name"])
    assert build["status"] == "SUCCESS", builds.log(build)
    assert builds.config(f"{image}:latest")["config"]["Env"][-1] == "A=1"


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_submits_streams_lists_describes_and_cancels(builds: Builds, cloud: LocalCloud, tmp_path: Path) -> None:
    def gcloud(*arguments: str) -> str:
        command = ["gcloud", "builds", *arguments, "--quiet"]
        done = subprocess.run(command, env=cloud.env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    image = f"{builds.repository()}/app:v1"
    streamed = gcloud("submit", ".", "--tag", image, "--region", "europe-west1")
    assert f"Successfully tagged {image}" in streamed
    row = gcloud("list", "--region", "europe-west1", "--limit", "1", "--format", "value(id,status,images)").split()
    assert row[1:] == ["SUCCESS", image]
    assert "DONE" in gcloud("log", row[0], "--region", "europe-west1")
    (tmp_path / "cloudbuild.yaml").write_text("steps: [{name: ubuntu, args: [sleep, '300']}]")
    build_id = gcloud(
        "submit", "--no-source", "--config", "cloudbuild.yaml", "--async", "--format", "value(id)"
    ).strip()
    assert build_id in gcloud("list", "--ongoing", "--format", "value(id)")
    gcloud("cancel", build_id)
    assert gcloud("describe", build_id, "--format", "value(status)").strip() == "CANCELLED"
