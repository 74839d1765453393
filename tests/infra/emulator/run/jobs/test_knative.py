"""Jobs by API v1 and by REST: one state with API v2, and no answer that the real API could not give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.emulator.run.jobs.state import JobPb
from infra.emulator.run.knative import jobs_in, jobs_out
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_jobs import SCRIPT, Jobs, a_job
from tests.infra.emulator.emulated_run import HELLO, PARENT, REGION, new_name

REGIONAL = f"https://{REGION}-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/{PROJECT}"
V2 = f"https://run.googleapis.com/v2/{PARENT}"


@pytest.fixture
def client(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[httpx.Client]:
    """One that holds every answer against Google's discovery documents."""
    token = (cloud.data / "gcloud-token").read_text()
    with Checked(headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        yield client


def body(name: str, **spec: Any) -> dict[str, Any]:
    """A Job as gcloud writes it."""
    container = {"image": HELLO, "command": ["python3", "-c", SCRIPT], "resources": {"limits": {"cpu": "1"}}}
    task = {"containers": [container], "maxRetries": 1, "timeoutSeconds": "60", "nodeSelector": {}}
    return {
        "apiVersion": "run.googleapis.com/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": PROJECT,
            "labels": {"team": "red"},
            "annotations": {"run.googleapis.com/client-name": "gcloud", "run.googleapis.com/client-version": "528.0.0"},
        },
        "spec": {
            "template": {
                "metadata": {
                    "annotations": {
                        "run.googleapis.com/vpc-access-connector": "main",
                        "run.googleapis.com/vpc-access-egress": "all-traffic",
                        "run.googleapis.com/cloudsql-instances": f"{PROJECT}:{REGION}:main",
                    }
                },
                "spec": {"taskCount": 2, "template": {"spec": task}, **spec},
            }
        },
    }


def test_a_job_runs_by_api_v1_and_is_the_one_that_api_v2_shows(client: httpx.Client) -> None:
    name = new_name("kn-job")
    created = client.post(f"{REGIONAL}/jobs", json=body(name)).raise_for_status().json()
    assert created["status"]["conditions"][0]["status"] == "Unknown"
    execution = client.post(f"{REGIONAL}/jobs/{name}:run", json={}).raise_for_status().json()
    own = execution["metadata"]["name"]
    Jobs().ended(f"{PARENT}/jobs/{name}/executions/{own}")
    ended = client.get(f"{REGIONAL}/executions/{own}").raise_for_status().json()
    assert ended["status"]["succeededCount"] == 2
    labels = {"labelSelector": f"run.googleapis.com/execution = {own}"}
    tasks = client.get(f"{REGIONAL}/tasks", params=labels).raise_for_status().json()["items"]
    assert {task["metadata"]["labels"]["run.googleapis.com/runningState"] for task in tasks} == {"Succeeded"}
    shown = client.get(f"{V2}/jobs/{name}").raise_for_status().json()
    assert (shown["uid"], shown["client"], shown["executionCount"]) == (created["metadata"]["uid"], "gcloud", 1)
    assert shown["template"]["template"]["vpcAccess"] == {"connector": "main", "egress": "ALL_TRAFFIC"}
    for path in ("jobs", f"jobs/{name}/executions", f"jobs/{name}/executions/{own}/tasks"):
        assert client.get(f"{V2}/{path}").raise_for_status().json()


def test_a_replacement_must_be_of_the_version_that_is_there(client: httpx.Client) -> None:
    name = new_name("kn-job")
    client.post(f"{REGIONAL}/jobs", json=body(name)).raise_for_status()
    job = client.get(f"{REGIONAL}/jobs/{name}").raise_for_status().json()
    job["spec"]["template"]["spec"]["taskCount"] = 3
    client.put(f"{REGIONAL}/jobs/{name}", json=job).raise_for_status()
    refused = client.put(f"{REGIONAL}/jobs/{name}", json=job)
    assert (refused.status_code, "was specified but current version" in refused.text) == (409, True)


def test_what_goes_out_comes_in_again_as_it_was(client: httpx.Client) -> None:
    name = new_name("kn-job")
    client.post(f"{REGIONAL}/jobs", json=body(name, parallelism=1)).raise_for_status()
    job = client.get(f"{REGIONAL}/jobs/{name}").raise_for_status().json()
    generation = job["metadata"]["generation"]
    again = client.put(f"{REGIONAL}/jobs/{name}", json=job).raise_for_status().json()
    assert again["metadata"]["generation"] == generation
    wanted = a_job(WORD="x", tasks=3)
    wanted.name = f"{PARENT}/jobs/{name}"
    message = JobPb.FromString(type(wanted).serialize(wanted))
    back = jobs_in.job(jobs_out.job(message, 1))
    assert back.template == message.template


def test_jobs_of_every_region_are_listed_on_the_global_host_alone(client: httpx.Client) -> None:
    name = new_name("kn-job")
    client.post(f"{REGIONAL}/jobs", json=body(name)).raise_for_status()
    everywhere = client.get(f"https://run.googleapis.com/apis/run.googleapis.com/v1/namespaces/{PROJECT}/jobs").json()
    assert name in {item["metadata"]["name"] for item in everywhere["items"]}
    other = REGIONAL.replace(REGION, "us-central1")
    assert name not in {item["metadata"]["name"] for item in client.get(f"{other}/jobs").json()["items"]}
