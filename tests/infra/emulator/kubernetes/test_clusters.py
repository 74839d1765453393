"""Kubernetes Engine's clusters, and those of them that lead to an API server somewhere else."""

from __future__ import annotations

import base64

import httpx
import pytest
import requests

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_cluster import PLACE, engine, make_cluster


def test_a_cluster_is_made_listed_and_deleted(cloud: LocalCloud) -> None:
    name = make_cluster(cloud, "short-lived")
    found = engine(cloud, "GET", name)
    assert (found["status"], found["location"]) == ("RUNNING", "europe-west1")
    assert b"BEGIN CERTIFICATE" in base64.b64decode(found["masterAuth"]["clusterCaCertificate"])
    listed = engine(cloud, "GET", f"projects/{PROJECT}/locations/-/clusters")["clusters"]
    assert found in listed
    engine(cloud, "DELETE", name)
    with pytest.raises(requests.HTTPError, match="404"):
        engine(cloud, "GET", name)


def test_a_cluster_may_lead_to_an_api_server_somewhere_else(cloud: LocalCloud) -> None:
    name = f"{PLACE}/clusters/elsewhere"
    cloud.put("/clusters", {name: {"endpoint": "127.0.0.1:6443", "ca": "PEM"}})
    found = engine(cloud, "GET", name)
    assert (found["endpoint"], base64.b64decode(found["masterAuth"]["clusterCaCertificate"])) == (
        "127.0.0.1:6443",
        b"PEM",
    )
    assert name in httpx.get(f"{cloud.admin}/clusters", trust_env=False).json()
    cloud.put("/clusters", {})
    assert engine(cloud, "GET", name)["endpoint"] != "127.0.0.1:6443"
