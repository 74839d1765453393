"""The metadata server of a machine: who may ask it, and who it says the machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import Run, new_name
from tests.infra.emulator.identities import Identity, new_identity

pytestmark = pytest.mark.usefixtures("cloud_env")
ROOT = "/computeMetadata/v1"
DEFAULT = f"{ROOT}/instance/service-accounts/default"
FLAVOR = {"Metadata-Flavor": "Google"}
AUDIENCE = "https://shop-web-42.europe-west1.run.app"


def opened(cloud: LocalCloud, account: str) -> httpx.Response:
    return httpx.post(f"{cloud.admin}/metadata", json={"account": account}, trust_env=False)


@pytest.fixture
def account(cloud_env: dict[str, str], tmp_path: Path) -> Identity:
    return new_identity(tmp_path, ["roles/run.viewer"])


@pytest.fixture
def host(cloud: LocalCloud, account: Identity) -> str:
    return str(opened(cloud, account.email).raise_for_status().json()["host"])


def ask(host: str, path: str, query: dict[str, str] | None = None, headers: dict[str, str] = FLAVOR) -> httpx.Response:
    return httpx.get(f"http://{host}{path}", params=query, headers=headers, trust_env=False)


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {**FLAVOR, "X-Forwarded-For": "10.0.0.1"}])
def test_who_does_not_say_that_it_means_it_or_comes_through_a_proxy_gets_nothing(
    host: str, headers: dict[str, str]
) -> None:
    for path in (f"{DEFAULT}/token", f"{DEFAULT}/email", f"{ROOT}/project/project-id"):
        assert ask(host, path, headers=headers).status_code == 403


def test_that_there_is_one_anybody_may_know(host: str) -> None:
    answer = ask(host, "/", headers={})
    assert (answer.status_code, answer.headers["Metadata-Flavor"]) == (200, "Google")
    assert ask(host, "/computeMetadata/v2/project/project-id").status_code == 404
    assert httpx.post(f"http://{host}{DEFAULT}/token", headers=FLAVOR, trust_env=False).status_code == 405


def test_it_says_who_and_where_the_machine_is(host: str, account: Identity) -> None:
    assert ask(host, f"{ROOT}/project/project-id").text == PROJECT
    assert ask(host, f"{DEFAULT}/email").text == account.email
    about = ask(host, f"{ROOT}/instance/service-accounts/{account.email}/", {"recursive": "true"}).json()
    assert (about["email"], about["aliases"]) == (account.email, ["default"])
    assert ask(host, f"{ROOT}/instance/service-accounts/another@x.iam.gserviceaccount.com/email").status_code == 404


@pytest.mark.parametrize("query", [{}, {"audience": ""}, {"audience": AUDIENCE, "format": "long"}])
def test_an_id_token_has_an_audience_and_a_known_format(host: str, query: dict[str, str]) -> None:
    assert ask(host, f"{DEFAULT}/identity", query).status_code == 400


@pytest.mark.parametrize(("form", "tells"), [({}, False), ({"format": "standard"}, False), ({"format": "full"}, True)])
def test_only_in_full_does_an_id_token_tell_the_account_and_the_machine(
    host: str, account: Identity, form: dict[str, str], tells: bool
) -> None:
    token = ask(host, f"{DEFAULT}/identity", {"audience": AUDIENCE, **form}).text
    claims: dict[str, Any] = dict(id_token.verify_oauth2_token(token, Request(), AUDIENCE))
    assert (claims.get("email") == account.email, "google" in claims) == (tells, tells)


def test_a_machine_runs_as_an_account_that_there_is(cloud: LocalCloud) -> None:
    answer = opened(cloud, "nobody@acme-test.iam.gserviceaccount.com")
    assert (answer.status_code, "there is no service account nobody@" in answer.json()["error"]) == (400, True)


# As Slipway does on a machine of Google's: no file of credentials, google-auth alone finds out who it is.
PROBING = """
import asyncio, sys
from prefect.logging import disable_run_logger
from infra.gcp.iam.identity import member
from tasks.analysis.probes import ANSWERS, probe_service

async def main():
    once = ANSWERS.model_copy(update={"tries": 1, "samples": 1})
    with disable_run_logger():
        for given in sys.argv[1:]:
            name, url = given.split("=")
            print((await probe_service(name, url, url, once))[0].status)
        print(await member())

asyncio.run(main())
"""


def test_a_private_service_is_probed_by_whoever_the_metadata_server_says(
    cloud: LocalCloud, host: str, account: Identity, tmp_path: Path
) -> None:
    run = Run()
    ours, others = (run.create(new_name(name), public=False) for name in ("ours", "others"))
    run.open_to(account.member, ours.name)
    machine = {**cloud.env, "GCE_METADATA_HOST": host, "GCE_METADATA_IP": host, "HOME": str(tmp_path)}
    machine.pop("GOOGLE_APPLICATION_CREDENTIALS")
    asked = [f"{service.name}={service.uri}" for service in (ours, others)]
    command = [sys.executable, "-c", PROBING, *asked]
    done = subprocess.run(command, env=machine, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["200", "403", account.member], done.stderr
