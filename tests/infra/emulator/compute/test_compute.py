"""Compute Engine on the local cloud, held against Google's discovery document, and under the real gcloud."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conftest import EMPTY_PROJECT, PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

API = f"https://compute.googleapis.com/compute/v1/projects/{PROJECT}"
_numbers = itertools.count(1)


def make(web: Checked, place: str, collection: str, **body: Any) -> str:
    """The path of a new one below the project."""
    name = f"made-{next(_numbers)}"
    operation = web.post(f"{API}/{place}/{collection}", json={"name": name, **body}).raise_for_status().json()
    assert web.get(f"{API}/{place}/operations/{operation['name']}").json()["status"] == "DONE"
    return f"{place}/{collection}/{name}"


def refused(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["errors"][0]["reason"], error["message"]


def test_a_firewall_rule_is_made_found_changed_and_deleted(web: Checked) -> None:
    path = make(web, "global", "firewalls", allowed=[{"IPProtocol": "tcp", "ports": ["22"]}])
    found = web.get(f"{API}/{path}").json()
    assert (found["disabled"], found["network"].rpartition("/")[2]) == (False, "default")
    web.patch(f"{API}/{path}", json={"disabled": True}).raise_for_status()
    assert web.get(f"{API}/{path}").json()["disabled"]
    assert found["name"] in {each["name"] for each in web.get(f"{API}/global/firewalls").json()["items"]}
    web.delete(f"{API}/{path}").raise_for_status()
    name = f"projects/{PROJECT}/{path}"
    assert refused(web.get(f"{API}/{path}")) == (404, "notFound", f"The resource '{name}' was not found")
    assert web.checked > 5


def test_what_another_uses_is_not_deleted(web: Checked) -> None:
    group = make(
        web,
        "regions/europe-west1",
        "networkEndpointGroups",
        networkEndpointType="SERVERLESS",
        cloudRun={"service": "a"},
    )
    backend = make(web, "global", "backendServices", backends=[{"group": f"projects/{PROJECT}/{group}"}])
    urls = make(web, "global", "urlMaps", defaultService=f"{API}/{backend}")
    assert refused(web.delete(f"{API}/{backend}")) == (
        400,
        "resourceInUseByAnotherResource",
        f"The backend_service resource 'projects/{PROJECT}/{backend}' is already being used by "
        f"'projects/{PROJECT}/{urls}'",
    )
    for path in (urls, backend, group):
        web.delete(f"{API}/{path}").raise_for_status()


def test_an_address_tells_who_uses_it_by_link_or_digits(web: Checked) -> None:
    address = make(web, "global", "addresses")
    found = web.get(f"{API}/{address}").json()
    assert (found["status"], found.get("users")) == ("RESERVED", None)
    rule = make(web, "global", "forwardingRules", IPAddress=found["address"], target="all-apis")
    found = web.get(f"{API}/{address}").json()
    assert found["status"] == "IN_USE"
    assert [each.rpartition("/v1/")[2] for each in found["users"]] == [f"projects/{PROJECT}/{rule}"]


@pytest.mark.parametrize(
    ("collection", "body", "answer"),
    [
        ("firewalls", {"name": "Upper", "allowed": [{"IPProtocol": "tcp"}]}, (400, "invalid")),
        ("firewalls", {"name": "neither"}, (400, "invalid")),
        ("firewalls", {"name": "odd", "allowed": [{"IPProtocol": "tcp"}], "colour": "red"}, (400, "badRequest")),
        ("urlMaps", {"name": "lost", "defaultService": f"{API}/global/backendServices/nobody"}, (404, "notFound")),
    ],
    ids=["name", "neither allowed nor denied", "unknown field", "unknown reference"],
)
def test_what_google_refuses_is_refused(
    web: Checked, collection: str, body: dict[str, Any], answer: tuple[int, str]
) -> None:
    assert refused(web.post(f"{API}/global/{collection}", json=body))[:2] == answer


def test_a_list_over_all_places_tells_places_apart(web: Checked) -> None:
    near, far = (make(web, place, "addresses") for place in ("global", "regions/europe-west1"))
    found: dict[str, Any] = {}
    token = ""
    while True:
        page = web.get(f"{API}/aggregated/addresses", params={"maxResults": 2, "pageToken": token}).json()
        for place, scope in page["items"].items():
            found.setdefault(place, []).extend(each["name"] for each in scope.get("addresses", ()))
        if not (token := page.get("nextPageToken", "")):
            break
    assert near.rpartition("/")[2] in found["global"]
    assert far.rpartition("/")[2] in found["regions/europe-west1"]
    empty = web.get(f"https://compute.googleapis.com/compute/v1/projects/{EMPTY_PROJECT}/aggregated/addresses").json()
    assert empty["items"]["global"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_lists_and_changes(web: Checked, cloud: LocalCloud) -> None:
    rule = make(web, "global", "firewalls", allowed=[{"IPProtocol": "tcp"}]).rpartition("/")[2]
    address = make(web, "regions/europe-west1", "addresses").rpartition("/")[2]

    def gcloud(*arguments: str) -> Any:
        command = ["gcloud", "compute", *arguments, "--quiet", "--format=json"]
        run = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=240, check=False)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout or "null")

    gcloud("firewall-rules", "update", rule, "--disabled")
    assert next(each for each in gcloud("firewall-rules", "list") if each["name"] == rule)["disabled"]
    assert address in {each["name"] for each in gcloud("addresses", "list")}
    gcloud("addresses", "delete", address, "--region=europe-west1")
    assert address not in {each["name"] for each in gcloud("addresses", "list")}
