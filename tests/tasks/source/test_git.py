"""git runs with a deadline, without questions, and never tells a secret."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.failures.cause import Cause
from tasks.failures.errors import SourceError
from tasks.source.git import Finished, attempt, commit_of, git, hide_credentials
from tests.tasks.repos import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit()
    return repo


async def test_the_output_of_git_is_returned(repo: Repo) -> None:
    assert (await git(repo.path, "rev-parse", "HEAD")).strip() == repo.head()


async def test_a_failure_names_the_command_the_folder_and_what_git_said(repo: Repo) -> None:
    with pytest.raises(SourceError, match=r"git rev-parse failed in .*repo: fatal: Needed a single revision") as raised:
        await git(repo.path, "rev-parse", "--verify", "nowhere")
    assert "git -C" in raised.value.remedy


async def test_a_command_that_hangs_is_killed_with_its_children_at_its_deadline(repo: Repo, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    hanging = f"alias.hang=!echo $$ > '{pid_file}'; sleep 60"
    with pytest.raises(SourceError, match=r"did not finish within 0\.5 s") as raised:
        await attempt(repo.path, "-c", hanging, "hang", timeout_s=0.5)
    assert raised.value.cause is Cause.TIMEOUT
    _gone(int(pid_file.read_text()))


async def test_a_cancelled_command_is_killed_with_its_children(repo: Repo, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    running = asyncio.create_task(attempt(repo.path, "-c", f"alias.hang=!echo $$ > '{pid_file}'; sleep 60", "hang"))
    pid = int(await asyncio.to_thread(pid_file.read_text))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    _gone(pid)


async def test_a_machine_without_git_is_told_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="git cannot be run") as raised:
        await git(tmp_path, "version")
    assert "install git" in raised.value.remedy


async def test_a_surrounding_git_hook_does_not_redirect_the_call(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Repo.init(tmp_path / "other")
    other.commit("another")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    assert (await git(repo.path, "rev-parse", "--show-toplevel")).strip() == str(repo.path)


@pytest.mark.parametrize("ref", ["main", "v1.0.0", "HEAD", "main^{commit}"])
async def test_a_ref_is_resolved_to_a_full_commit_id(repo: Repo, ref: str) -> None:
    repo.annotated_tag("v1.0.0")
    assert await commit_of(repo.path, ref) == repo.head()
    assert await commit_of(repo.path, repo.head()[:7]) == repo.head()


@pytest.mark.parametrize("ref", ["", "nowhere", "--all", "^HEAD", "HEAD~9", "a\0b", "a\nb", "HEAD^{tree}"])
async def test_what_names_no_commit_is_none(repo: Repo, ref: str) -> None:
    assert await commit_of(repo.path, ref) is None


async def test_a_branch_that_only_the_remote_has_is_found_by_its_bare_name(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "feature")
    clone = Repo.clone(repo.path, tmp_path / "clone")
    assert await commit_of(clone.path, "feature") == repo.head()


async def test_an_expression_is_never_read_on_the_remotes_branch_instead(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    clone = Repo.clone(repo.path, tmp_path / "clone")
    clone.git("reset", "--quiet", "--hard", "HEAD~1")
    assert await commit_of(clone.path, "HEAD~1") is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fatal: https://ada:s3cret@host/x.git not found", "fatal: https://***@host/x.git not found"),
        ("https://t0ken@host", "https://***@host"),
        ("https://ada:pa/ss@wd@host/x", "https://***@host/x"),
        ("'https://host/x.git?private_token=abc'", "'https://host/x.git?***'"),
        ("git@host:x.git", "git@host:x.git"),
    ],
    ids=["password", "token", "odd characters", "query", "ssh user"],
)
def test_credentials_are_taken_out_of_a_text(text: str, shown: str) -> None:
    assert hide_credentials(text) == shown


@given(st.text(st.characters(exclude_categories=["Z", "C"])))
def test_no_password_survives_whatever_is_around_it(padding: str) -> None:
    assert "SECRET" not in hide_credentials(f"cannot read https://ada:{padding}SECRET{padding}@host/x.git: no route")


def test_the_reason_is_what_git_called_fatal_before_its_hints() -> None:
    complaint = "warning: slow\nfatal: no such remote\n\nPlease make sure you have the correct access rights\n"
    assert Finished(128, "", complaint).reason == "fatal: no such remote"


def _gone(pid: int) -> None:
    """Wait until the process has ended; the test's time-out is the deadline."""
    command_line = Path(f"/proc/{pid}/cmdline")  # empty once it is a zombie, gone once it is reaped
    while command_line.exists() and command_line.read_bytes():
        time.sleep(0.01)
