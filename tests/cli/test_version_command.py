"""`slipway version` on real repositories: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import refusal, slipway
from tests.tasks.repos import Repo

KINDS = {"tagged": "release", "candidate": "prerelease", "later": "development"}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A release, then a pre-release, then work; each with a tag or branch of its name for --ref."""
    repo = Repo.init(tmp_path / "repository")
    repo.commit()
    repo.tag("v1.3.9", "v1.4.0", "api/v9.0.0", "2024.10.12", "tagged")
    repo.commit()
    repo.tag("v1.5.0-rc.1", "candidate")
    repo.commit()
    repo.tag("later")
    return repo


def asked(repo: Repo, *arguments: str) -> dict[str, Any]:
    done = slipway("version", "--repo", str(repo.path), "--json", *arguments, cwd=repo.path.parent)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_the_version_alone_is_printed_for_shell_scripts(repo: Repo) -> None:
    done = slipway("version", "--ref", "tagged", cwd=repo.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "v1.4.0\n", "")


def test_the_json_of_a_release_says_all_there_is(repo: Repo) -> None:
    assert asked(repo, "--ref", "tagged") == {
        "version": "v1.4.0",
        "kind": "release",
        "commit": repo.git("rev-parse", "tagged"),
        "base": "v1.4.0",
        "dirty": False,
        "image_tag": "v1.4.0",
    }


@pytest.mark.parametrize("ref", KINDS)
def test_the_kind_is_that_of_the_tag(repo: Repo, ref: str) -> None:
    assert asked(repo, "--ref", ref)["kind"] == KINDS[ref]


def test_after_a_tag_the_version_is_named_by_tag_and_commit(repo: Repo) -> None:
    found = asked(repo)
    assert found["base"] == "v1.5.0-rc.1"
    assert found["version"] == f"v1.5.0-rc.1.dev.g{repo.head()[:7]}"


def test_without_any_tag_there_is_no_base(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "repository")
    repo.commit()
    found = asked(repo)
    assert found["base"] is None
    assert found["version"] == f"v0.0.0-dev.g{repo.head()[:7]}"


def test_uncommitted_work_is_said(repo: Repo) -> None:
    repo.git("checkout", "--quiet", "tagged")
    repo.write("new", "text")
    found = asked(repo)
    assert found["dirty"] is True
    assert found["kind"] == "development"


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["--repo", "nowhere"], "nowhere is not a folder", "give the path of a git repository"),
        (["--repo", "empty"], "not in a git repository", "run `git -C empty init`"),
        (
            ["--repo", "repository", "--ref", "v1.4"],
            "no branch, tag or commit 'v1.4'",
            "did you mean 'v1.4.0'",
        ),
    ],
    ids=["no folder", "no repository", "no such ref"],
)
def test_what_has_no_version_is_refused_with_the_remedy(
    repo: Repo, arguments: list[str], problem: str, remedy: str
) -> None:
    (repo.path.parent / "empty").mkdir()
    said = refusal(slipway("version", "--json", *arguments, cwd=repo.path.parent))
    assert said.startswith("slipway: ")
    assert problem in said
    assert f"To fix: {remedy}" in said


def test_a_shallow_clone_that_cannot_be_completed_is_refused(repo: Repo, tmp_path: Path) -> None:
    clone = Repo.clone(repo.path, tmp_path / "clone", "--depth=1")
    clone.git("remote", "remove", "origin")
    said = refusal(slipway("version", cwd=clone.path))
    assert "shallow" in said
    assert "git" in said.partition("To fix:")[2]
