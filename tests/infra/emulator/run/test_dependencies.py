"""Containers that wait for others, as API v2 takes them and the Knative doors show them."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.infra.emulator.emulated_run import APP, HELLO, Run, new_name
from tests.infra.emulator.run.test_knative import REGIONAL, V2, body, v1

__all__ = ["v1"]  # fixture
PROBE = {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
NOTE = "run.googleapis.com/container-dependencies"


def with_a_sidecar(**of_sidecar: Any) -> dict[str, Any]:
    """As Terraform sends it: the container that gets the requests waits for another, and has no name itself."""
    listens = "import socketserver; socketserver.TCPServer(('', 9000), None).serve_forever()"
    main = {
        "image": HELLO,
        "command": ["python3", "-c", APP],
        "ports": [{"containerPort": 8080}],
        "dependsOn": ["redis"],
    }
    redis = {
        "name": "redis",
        "image": HELLO,
        "command": ["python3", "-c", listens],
        "startupProbe": PROBE,
        **of_sidecar,
    }
    return {"template": {"containers": [main, redis]}}


def test_a_container_without_a_name_that_waits_is_shown_as_google_shows_it(v1: httpx.Client) -> None:
    """Under a name of its own, but for what it waits for; written back like that it is refused."""
    name = new_name("kn")
    v1.post(f"{V2}/services?serviceId={name}", json=with_a_sidecar()).raise_for_status()
    [listed] = [
        each
        for each in v1.get(f"{REGIONAL}/services").raise_for_status().json()["items"]
        if each["metadata"]["name"] == name
    ]
    template = listed["spec"]["template"]
    assert template["metadata"]["annotations"][NOTE] == '{"": ["redis"]}'
    assert [each["name"] for each in template["spec"]["containers"]] == [f"{name}-1", "redis"]
    refused = v1.put(f"{REGIONAL}/services/{name}", json=listed)
    assert refused.status_code == 400
    assert f"annotations[{NOTE}]: Invalid container name ''. Must conform to RFC 1123" in refused.text
    template["metadata"]["annotations"][NOTE] = json.dumps({f"{name}-1": ["redis"]})
    v1.put(f"{REGIONAL}/services/{name}", json=listed).raise_for_status()
    assert [each.depends_on for each in Run().get(name).template.containers] == [["redis"], []]


@pytest.mark.parametrize(
    ("sidecar", "why"),
    [
        ({"startupProbe": None}, "Dependent container 'redis' must have startup probe specified"),
        ({"name": "other"}, "'redis' is not another container of this template"),
        ({"name": "redis_1"}, "Invalid container name 'redis_1'. Must conform to RFC 1123"),
        ({"dependsOn": ["main"]}, "'main' is not another container of this template"),
    ],
)
def test_what_a_container_waits_for_is_another_that_can_tell_when_it_has_started(
    v1: httpx.Client, sidecar: dict[str, Any], why: str
) -> None:
    refused = v1.post(f"{V2}/services?serviceId={new_name('kn')}", json=with_a_sidecar(**sidecar))
    assert (refused.status_code, why in refused.text) == (400, True), refused.text


def test_containers_that_wait_for_each_other_are_refused(v1: httpx.Client) -> None:
    wanted = with_a_sidecar(dependsOn=["main"])
    wanted["template"]["containers"][0]["name"] = "main"
    refused = v1.post(f"{V2}/services?serviceId={new_name('kn')}", json=wanted)
    assert (refused.status_code, "containers wait for each other" in refused.text) == (400, True), refused.text


@pytest.mark.parametrize(
    ("note", "why"),
    [("{", "must be JSON"), ("[1]", "must be JSON"), ('{"web": ["redis"]}', "there is no container 'web'")],
)
def test_a_note_of_dependencies_that_says_nothing_is_refused(v1: httpx.Client, note: str, why: str) -> None:
    refused = v1.post(f"{REGIONAL}/services", json=body(new_name("kn"), metadata={"annotations": {NOTE: note}}))
    assert (refused.status_code, why in refused.text) == (400, True), refused.text
