"""A token that is lent to git: to one host, encrypted, and whatever kind of block it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.failures.errors import SourceError
from tasks.source.credentials import USER, refuse_unencrypted, user_and_token, variables
from tasks.source.git import git, lend

URL = "https://git.example.com/acme/shop.git"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"value": "t0ken"}, (USER, "t0ken")),
        ({"value": "ada:t0ken"}, ("ada", "t0ken")),
        ({"value": {"username": "ada", "password": "t0ken"}}, ("ada", "t0ken")),
        ({"token": "t0ken"}, (USER, "t0ken")),
        ({"username": "ada", "token": "t0ken", "url": None}, ("ada", "t0ken")),
    ],
    ids=["a secret", "with a user", "by names", "GitHub's block", "Bitbucket's block"],
)
def test_every_kind_of_block_gives_user_and_token(data: dict[str, Any], told: tuple[str, str]) -> None:
    assert user_and_token(data, "block") == told


@pytest.mark.parametrize("data", [{}, {"value": ""}, {"value": "a\nb"}, {"token": None}])
def test_a_block_without_a_token_is_named(data: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="git-token holds no token"):
        user_and_token(data, "git-token")


@pytest.mark.parametrize("url", ["http://git.example.com/shop.git", "git@host:shop.git", "ssh://git@host/shop.git"])
def test_a_token_goes_over_https_only(url: str) -> None:
    with pytest.raises(SourceError, match="https:// only"):
        refuse_unencrypted("git-token", url)


async def test_git_has_it_for_that_host_alone_and_only_in_the_clone_it_is_for(tmp_path: Path) -> None:
    asked = "protocol=https\nhost={}\n\n"
    clone, other = tmp_path / "clone", tmp_path / "other"
    for folder in (clone, other):
        folder.mkdir()
        await git(folder, "init", "--quiet")
    lend(clone, variables(URL, "ada", "t0ken"))
    there = await git(clone, "credential", "fill", stdin=asked.format("git.example.com"))
    assert {"username=ada", "password=t0ken"} <= set(there.splitlines())
    for folder, host in ((clone, "elsewhere.example.com"), (other, "git.example.com")):
        with pytest.raises(SourceError):
            await git(folder, "credential", "fill", stdin=asked.format(host))
    assert "t0ken" not in (clone / ".git/config").read_text()


async def test_settings_that_the_process_was_given_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Ada")
    lend(tmp_path, variables(URL, "ada", "t0ken"))
    assert await git(tmp_path, "config", "user.name") == "Ada\n"
