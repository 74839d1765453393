"""What Google fills in is no configuration, and what only earlier revisions can take cannot be written anew."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.backup.form import calls, kept, schedule, secrets

URL = "https://shop-web-x.a.run.app"
JOB = "projects/acme/locations/europe-west1/jobs/migrate"


def service(*traffic: dict[str, Any], name: str = "web-2") -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "web",
            "namespace": "1234",
            "uid": "u",
            "resourceVersion": "AAA",
            "labels": {"team": "red", "cloud.googleapis.com/location": "europe-west1"},
            "annotations": {"run.googleapis.com/ingress": "all", "serving.knative.dev/creator": "ada@example.com"},
        },
        "spec": {
            "template": {"metadata": {"name": name, "annotations": {"run.googleapis.com/client-name": "gcloud"}}},
            "traffic": list(traffic),
        },
        "status": {"url": URL},
    }


def test_what_google_notes_of_an_object_is_left_out() -> None:
    body = kept("services", "europe-west1", service({"latestRevision": True, "percent": 100})).body
    assert body["metadata"] == {
        "name": "web",
        "labels": {"team": "red", "cloud.googleapis.com/location": "europe-west1"},
        "annotations": {"run.googleapis.com/ingress": "all"},
    }
    assert body["spec"]["template"]["metadata"] == {"name": "web-2", "annotations": {}}
    assert "status" not in body


@pytest.mark.parametrize(
    ("traffic", "left", "said"),
    [
        ([{"revisionName": "web-2", "percent": 100}], [{"revisionName": "web-2", "percent": 100}], ""),
        (
            [{"revisionName": "web-2", "percent": 100}, {"revisionName": "web-1", "tag": "v1"}],
            [{"revisionName": "web-2", "percent": 100}],
            "0 % of web-1 by the tag v1",
        ),
        (
            [{"revisionName": "web-2", "percent": 10, "tag": "v2"}, {"revisionName": "web-1", "percent": 90}],
            [{"latestRevision": True, "percent": 100}, {"revisionName": "web-2", "tag": "v2"}],
            "90 % of web-1",
        ),
        ([{"revisionName": "web-1", "percent": 100}], [{"latestRevision": True, "percent": 100}], "100 % of web-1"),
    ],
    ids=["its own", "an older tag", "a canary", "an older revision"],
)
def test_traffic_that_only_earlier_revisions_can_take_is_said_and_not_kept(
    traffic: list[dict[str, Any]], left: list[dict[str, Any]], said: str
) -> None:
    found = kept("services", "europe-west1", service(*traffic))
    assert found.body["spec"]["traffic"] == left
    assert found.note.startswith(f"not in it: {said}," if said else "") and bool(found.note) == bool(said)


def test_the_account_that_google_chooses_is_chosen_anew_in_each_project() -> None:
    chosen, own = "1234-compute@developer.gserviceaccount.com", "runner@acme.iam.gserviceaccount.com"
    for account, left in ((chosen, {}), (own, {"serviceAccountName": own})):
        spec = {"template": {"spec": {"template": {"spec": {"serviceAccountName": account}}}}}
        job = {"metadata": {"name": "migrate", "namespace": "1234"}, "spec": spec}
        assert kept("jobs", "europe-west1", job).body["spec"]["template"]["spec"]["template"]["spec"] == left


def test_a_job_that_is_written_again_does_not_start_by_that() -> None:
    job = {"metadata": {"name": "migrate"}, "spec": {"template": {}, "startExecutionToken": "now"}}
    assert "startExecutionToken" not in kept("jobs", "europe-west1", job).body["spec"]


def test_secrets_are_told_with_the_version_that_is_taken() -> None:
    aliases = {"run.googleapis.com/secrets": "far:projects/42/secrets/theirs"}
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "7"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "far", "key": "latest"}}},
    ]
    volumes = [{"name": "v", "secret": {"secretName": "file", "items": [{"key": "latest", "path": "x"}]}}]
    template = {"metadata": {"annotations": aliases}, "spec": {"containers": [{"env": env}], "volumes": volumes}}
    found = set(secrets({"spec": {"template": template}}))
    assert found == {("key", "7"), ("projects/42/secrets/theirs", "latest"), ("file", "latest")}


def test_headers_of_a_schedule_are_kept_by_their_names() -> None:
    headers = {"Authorization": "Bearer abc", "Content-Type": "text/plain"}
    found = schedule("europe-west1", {"name": "a/jobs/night", "httpTarget": {"uri": URL, "headers": headers}})
    assert found.body["httpTarget"]["headers"] == {"Authorization": "***", "Content-Type": "text/plain"}
    assert (found.path, found.note) == (
        "europe-west1/schedules/night.json",
        "not in it: the values of its headers Authorization",
    )


@pytest.mark.parametrize(
    ("uri", "ours"),
    [
        (URL, True),
        (f"{URL}/tick", True),
        (f"{URL}.evil.example/tick", False),
        (f"https://run.googleapis.com/v2/{JOB}:run", True),
        ("https://europe-west1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/acme/jobs/migrate:run", True),
        ("https://us-east1-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/acme/jobs/migrate:run", False),
        ("https://example.com/", False),
    ],
)
def test_a_schedule_is_the_apps_when_it_calls_its_services_or_runs_its_jobs(uri: str, ours: bool) -> None:
    assert calls({"httpTarget": {"uri": uri}}, ["", URL], [JOB]) is ours


def test_a_schedule_that_sends_no_request_calls_nobody() -> None:
    assert not calls({"pubsubTarget": {"topicName": "projects/acme/topics/tick"}}, [URL], [JOB])
