"""Cloud Asset Inventory on the local cloud: it finds what there is, and for a while what there was."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from typing import Any

import pytest
from google.cloud import secretmanager_v1

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked

SEARCH = f"https://cloudasset.googleapis.com/v1/projects/{PROJECT}:searchAllResources"
SECRET = "secretmanager.googleapis.com/Secret"
_numbers = itertools.count(1)


@pytest.fixture
def secret(cloud_env: dict[str, str]) -> secretmanager_v1.Secret:
    asked = {"parent": f"projects/{PROJECT}", "secret_id": f"asset-{next(_numbers)}"}
    body = {"replication": {"automatic": {}}, "labels": {"team": "web"}}
    return secretmanager_v1.SecretManagerServiceClient().create_secret(request={**asked, "secret": body})


def found(web: Checked, *kinds: str) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    token = ""
    while True:
        query = {"assetTypes": kinds, "pageSize": 3, "pageToken": token}
        page = web.get(SEARCH, params=query).raise_for_status().json()  # type: ignore[arg-type]
        assets |= {each["name"]: each for each in page.get("results", ())}
        if not (token := page.get("nextPageToken", "")):
            return assets


def test_what_there_is_is_found_by_its_type(web: Checked, secret: secretmanager_v1.Secret) -> None:
    name = f"//secretmanager.googleapis.com/{secret.name}"
    asset = found(web, SECRET)[name]
    assert (asset["assetType"], asset["labels"], asset["location"]) == (SECRET, {"team": "web"}, "global")
    assert name not in found(web, "apikeys.googleapis.com/Key")
    assert web.checked


def test_what_is_gone_is_found_for_a_while(web: Checked, cloud: LocalCloud, secret: secretmanager_v1.Secret) -> None:
    name = f"//secretmanager.googleapis.com/{secret.name}"
    assert name in found(web, SECRET)
    secretmanager_v1.SecretManagerServiceClient().delete_secret(name=secret.name)
    cloud.put("/latency", {"stages": {"assets.lag": 3600.0}})
    try:
        assert name in found(web, SECRET)
    finally:
        cloud.put("/latency", {"stages": {"assets.lag": 0.0}})
    assert name not in found(web, SECRET)


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_searches(cloud: LocalCloud, secret: secretmanager_v1.Secret) -> None:
    command = ["gcloud", "asset", "search-all-resources", f"--scope=projects/{PROJECT}", f"--asset-types={SECRET}"]
    run = subprocess.run(
        [*command, "--format=json"], env=cloud.env, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert f"//secretmanager.googleapis.com/{secret.name}" in {each["name"] for each in json.loads(run.stdout)}
