"""The admin port answers who can read emulator.json, and nobody that a browser leads there."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import httpx
import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_process import emulator


def ask(cloud: LocalCloud, verb: str = "GET", path: str = "/health", **options: str) -> httpx.Response:
    """With the password unless `password` says otherwise; further options are headers."""
    address = httpx.URL(cloud.admin)
    password = options.pop("password", address.password)
    url = address.copy_with(path=path, userinfo=b"")
    return httpx.request(verb, url, headers=options, auth=("admin", password) if password else None, trust_env=False)


def test_the_address_in_emulator_json_is_all_that_a_client_needs(cloud: LocalCloud) -> None:
    assert ask(cloud).json()["status"] == "ok"
    assert httpx.get(f"{cloud.admin}/health", trust_env=False).json()["status"] == "ok"


@pytest.mark.parametrize("path", ["/health", "/faults", "/env", "/calls"])
@pytest.mark.parametrize("password", ["", "guessed"])
def test_without_the_password_it_says_nothing(cloud: LocalCloud, path: str, password: str) -> None:
    answer = ask(cloud, path=path, password=password)
    assert answer.status_code == 401
    assert "emulator.json" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
    ids=["a name led here", "a name like ours", "a page elsewhere", "a page of no origin"],
)
def test_a_web_page_cannot_wipe_the_cloud_even_with_the_password(cloud: LocalCloud, headers: dict[str, str]) -> None:
    assert ask(cloud, "POST", "/reset", **headers).status_code == 403
    assert ask(cloud).json()["projects"]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1:8080", "[::1]:80"])
def test_every_name_of_loopback_is_good(cloud: LocalCloud, host: str) -> None:
    assert ask(cloud, Host=host).status_code == 200


def test_what_holds_secrets_is_for_its_owner_alone_and_the_password_is_not_printed(tmp_path: Path) -> None:
    data = tmp_path / "cloud"
    with emulator(data) as process:
        word = json.loads((data / "emulator.json").read_text())
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        for file in (data / "emulator.json", *data.glob("*.db*")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert (httpx.URL(word["admin"]).password or "?") not in process.said


def test_a_folder_that_holds_something_of_others_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").write_text("mine")
    with emulator(tmp_path):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
