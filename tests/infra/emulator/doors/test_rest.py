"""What is not emulated says so, instead of looking like a mistake of the caller's."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import grpc
import httpx
import pytest
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_process import context


def ask(cloud: LocalCloud, url: str) -> httpx.Response:
    with httpx.Client(proxy=cloud.env["HTTPS_PROXY"], verify=context(cloud), trust_env=False) as client:
        return client.get(url)


def test_an_api_that_is_not_emulated_answers_with_its_name_and_what_there_is(cloud: LocalCloud) -> None:
    answer = ask(cloud, f"https://pubsub.googleapis.com/v1/projects/{PROJECT}/topics")
    assert answer.status_code == 501
    error = answer.json()["error"]
    assert error["status"] == "UNIMPLEMENTED"
    assert "pubsub.googleapis.com is not emulated" in error["message"]
    assert "run.googleapis.com" in error["message"]


@pytest.mark.parametrize(
    "url",
    [
        f"https://europe-west1-run.googleapis.com/v9/projects/{PROJECT}/things",
        f"https://secretmanager.googleapis.com/v7/projects/{PROJECT}/secrets",
    ],
)
def test_a_method_that_is_not_emulated_is_named(cloud: LocalCloud, url: str) -> None:
    answer = ask(cloud, url)
    assert answer.status_code == 501
    assert f"GET {httpx.URL(url).path}" in answer.json()["error"]["message"]


def test_a_grpc_service_that_is_not_emulated_is_named(cloud: LocalCloud, cloud_env: dict[str, str]) -> None:
    channel: Any = RevisionsGrpcTransport().grpc_channel
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary("/google.pubsub.v1.Publisher/ListTopics")(b"", timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "google.pubsub.v1.Publisher/ListTopics is not emulated" in str(raised.value.details())


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
def test_gcloud_shows_what_is_missing(cloud: LocalCloud) -> None:
    command = ["gcloud", "pubsub", "topics", "list", "--quiet"]
    done = subprocess.run(command, env=cloud.env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "pubsub.googleapis.com is not emulated by the local Google Cloud" in done.stderr
