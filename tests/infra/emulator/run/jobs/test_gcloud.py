"""The real gcloud over jobs of the local Cloud Run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_jobs import SCRIPT, Jobs, said
from tests.infra.emulator.emulated_run import HELLO, PARENT, REGION, new_name

SQL = f"{PROJECT}:{REGION}:main"
pytestmark = pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
Gcloud = Callable[..., Any]


@pytest.fixture
def gcloud(cloud: LocalCloud, cloud_env: dict[str, str]) -> Gcloud:
    """Runs `gcloud run jobs …` and answers its JSON; with fails=True it must fail, and answers its words."""

    def call(*arguments: str, fails: bool = False, region: bool = True) -> Any:
        place = ("--region", REGION) if region else ()
        done = subprocess.run(
            ["gcloud", "run", "jobs", *arguments, *place, "--quiet", "--format", "json"],
            env=cloud.env,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else json.loads(done.stdout or "null")

    return call


@pytest.fixture
def job(gcloud: Gcloud) -> str:
    """A job that runs the tests' script; commas would end an argument of gcloud's, hence the other delimiter."""
    name = new_name("gc-job")
    gcloud("deploy", name, "--image", HELLO, f"--command=^§^python3§-c§{SCRIPT}", "--max-retries=0")
    return name


def test_deploy_and_execute_until_it_is_done(gcloud: Gcloud, job: str) -> None:
    gcloud("update", job, "--tasks=2", "--parallelism=1", "--task-timeout=30s", "--set-env-vars=WORD=hello")
    execution = gcloud("execute", job, "--wait")
    assert execution["status"]["succeededCount"] == 2
    name = execution["metadata"]["name"]
    lines = said(Jobs().executions.get_execution(name=f"{PARENT}/jobs/{job}/executions/{name}"))
    assert lines == [f"{job} {name} {index} 0 2 False hello" for index in range(2)]
    assert [found["metadata"]["name"] for found in gcloud("executions", "list", "--job", job)] == [name]
    tasks = gcloud("executions", "tasks", "list", "--execution", name)
    assert [task["status"]["index"] for task in tasks] == [0, 1]
    assert gcloud("executions", "tasks", "describe", tasks[0]["metadata"]["name"])["status"]["index"] == 0
    assert gcloud("describe", job)["status"]["latestCreatedExecution"]["completionStatus"] == "EXECUTION_SUCCEEDED"


def test_an_update_changes_what_it_is_told_and_nothing_else(gcloud: Gcloud, job: str) -> None:
    flags = (
        "--cpu=2", "--memory=2Gi", "--max-retries=1", "--update-labels=team=red", f"--set-cloudsql-instances={SQL}",
        "--network=default", "--subnet=default", "--vpc-egress=all-traffic", "--args=x,y",
    )  # fmt: skip
    gcloud("update", job, *flags)
    found = Jobs().jobs.get_job(name=f"{PARENT}/jobs/{job}")
    task = found.template.template
    assert (task.max_retries, found.labels["team"], task.vpc_access.network_interfaces[0].network) == (
        1,
        "red",
        "default",
    )
    assert (list(task.containers[0].args), task.volumes[0].cloud_sql_instance.instances[0]) == (
        ["x", "y"],
        SQL,
    )
    assert (task.containers[0].resources.limits["cpu"], task.containers[0].image) == ("2", HELLO)
    assert list(task.containers[0].command) == ["python3", "-c", SCRIPT]
    gcloud("update", job, "--clear-cloudsql-instances", "--clear-network")
    cleared = Jobs().jobs.get_job(name=f"{PARENT}/jobs/{job}").template.template
    assert (len(cleared.volumes), cleared.vpc_access) == (0, run_v2.VpcAccess())


def test_a_failed_execution_fails_the_command_in_runs_own_words(gcloud: Gcloud, job: str) -> None:
    told = gcloud("execute", job, "--wait", "--update-env-vars=CODES=1", fails=True)
    assert "The execution failed." in told
    (execution,) = gcloud("executions", "list", "--job", job)
    name = execution["metadata"]["name"]
    assert execution["status"]["conditions"][0]["reason"] == "NonZeroExitCode"
    (task,) = gcloud("executions", "tasks", "list", "--execution", name, "--failed")
    assert task["status"]["lastAttemptResult"]["exitCode"] == 1
    assert gcloud("executions", "tasks", "list", "--execution", name, "--succeeded") == []


def test_one_execution_has_other_arguments_and_more_tasks(gcloud: Gcloud, job: str) -> None:
    execution = gcloud("execute", job, "--wait", "--tasks=3", "--task-timeout=20s", "--update-env-vars=WORD=x")
    assert (execution["spec"]["taskCount"], execution["status"]["succeededCount"]) == (3, 3)
    assert gcloud("describe", job)["spec"]["template"]["spec"]["taskCount"] == 1


def test_an_execution_is_cancelled_and_deleted(gcloud: Gcloud, job: str) -> None:
    execution = gcloud("execute", job, "--update-env-vars=SECONDS=60")
    name = execution["metadata"]["name"]
    gcloud("executions", "cancel", name)
    assert gcloud("executions", "describe", name)["status"]["cancelledCount"] == 1
    gcloud("executions", "delete", name)
    assert gcloud("executions", "list", "--job", job) == []


def test_a_job_is_replaced_from_its_own_export(gcloud: Gcloud, job: str, cloud: LocalCloud, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    command = ["gcloud", "run", "jobs", "describe", job, "--region", REGION, "--format", "export"]
    file.write_text(subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=60).stdout)
    before = Jobs().jobs.get_job(name=f"{PARENT}/jobs/{job}")
    gcloud("replace", str(file))
    assert Jobs().jobs.get_job(name=before.name).template == before.template


def test_jobs_are_listed_in_a_region_and_everywhere_and_deleted(gcloud: Gcloud, job: str) -> None:
    for options in ({}, {"region": False}):
        assert job in {found["metadata"]["name"] for found in gcloud("list", **options)}
    gcloud("delete", job)
    assert "Cannot find job" in gcloud("describe", job, fails=True)


def test_a_bad_image_fails_with_runs_own_words(gcloud: Gcloud) -> None:
    image = f"{REGION}-docker.pkg.dev/{PROJECT}/none/app:v1"
    assert f"Image '{image}' not found." in gcloud("deploy", new_name("gc-job"), "--image", image, fails=True)


def test_logs_and_policies_are_read(gcloud: Gcloud, job: str, cloud: LocalCloud) -> None:
    gcloud("execute", job, "--wait", "--update-env-vars=WORD=from-inside")
    command = ["gcloud", "run", "jobs", "logs", "read", job, "--region", REGION]
    done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=60)
    assert "from-inside" in done.stdout
    binding = ("--member", "user:a@example.com", "--role", "roles/run.invoker")
    assert gcloud("add-iam-policy-binding", job, *binding)["bindings"][0]["members"] == ["user:a@example.com"]
