"""A Kubernetes cluster of the local cloud, for tests that ask its API server."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import requests

from tests.conftest import PROJECT, LocalCloud

PLACE = f"projects/{PROJECT}/locations/europe-west1"
ENGINE = "https://container.googleapis.com/v1"


def token(cloud: LocalCloud) -> str:
    return (cloud.data / "gcloud-token").read_text()


def engine(cloud: LocalCloud, verb: str, path: str, body: object = None) -> dict[str, Any]:
    """What Kubernetes Engine answers; `path` is a resource's name."""
    with requests.Session() as session:
        proxies, bundle = {"https": cloud.env["https_proxy"]}, cloud.env["REQUESTS_CA_BUNDLE"]
        headers = {"Authorization": f"Bearer {token(cloud)}"}
        session.trust_env = False
        answer = session.request(
            verb, f"{ENGINE}/{path}", json=body, headers=headers, proxies=proxies, verify=bundle, timeout=60
        )
        answer.raise_for_status()
        return dict(answer.json())


def make_cluster(cloud: LocalCloud, name: str) -> str:
    """Its full name."""
    engine(cloud, "POST", f"{PLACE}/clusters", {"cluster": {"name": name}})
    return f"{PLACE}/clusters/{name}"


def authority_of(cluster: dict[str, Any], folder: Path) -> Path:
    """A file with the certificate of what has signed the API server's."""
    path = folder / "authority.pem"
    path.write_bytes(base64.b64decode(cluster["masterAuth"]["clusterCaCertificate"]))
    return path
