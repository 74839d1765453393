"""Jobs of Cloud Scheduler, in the form of Google's own discovery document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_registry import rest
from tests.infra.emulator.emulated_run import new_name

JOBS = f"/v1/projects/{PROJECT}/locations/europe-west3/jobs"  # where no other test has any
HTTP = {"schedule": "*/5 * * * *", "httpTarget": {"uri": "https://example.com/tick", "httpMethod": "POST"}}


def test_a_job_is_made_read_listed_and_deleted(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    name = f"{JOBS[4:]}/{new_name('tick')}"
    with rest(cloud, "cloudscheduler") as api:
        made = api.post(JOBS, json={**HTTP, "name": name}).raise_for_status().json()
        assert (made["state"], made["timeZone"], made["attemptDeadline"]) == ("ENABLED", "Etc/UTC", "180s")
        assert api.get(f"/v1/{name}").json() == made
        assert made in api.get(JOBS, params={"pageSize": "500"}).json()["jobs"]
        again = api.post(JOBS, json={**HTTP, "name": name})
        assert (again.status_code, again.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
        assert api.delete(f"/v1/{name}").status_code == 200
        assert api.get(f"/v1/{name}").status_code == 404
        assert api.checked >= 4


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": "now and then"},
        {"schedule": ""},
        {"httpTarget": {"uri": "example.com"}},
        {"httpTarget": None},
        {"pubsubTarget": {"topicName": "projects/p/topics/t"}},
        {"name": f"{JOBS[4:]}/not a name"},
        {"name": "projects/another/locations/europe-west3/jobs/tick"},
    ],
    ids=["schedule", "no schedule", "address", "no target", "two targets", "name", "another project"],
)
def test_what_google_refuses_is_refused(cloud: LocalCloud, cloud_env: dict[str, str], change: dict[str, Any]) -> None:
    with rest(cloud, "cloudscheduler") as api:
        answer = api.post(JOBS, json={**HTTP, "name": f"{JOBS[4:]}/refused", **change})
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
