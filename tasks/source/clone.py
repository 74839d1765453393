"""Clones of git repositories with their whole history and one commit checked out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.failures.errors import Cause, SourceError, Transient
from tasks.source.git import Finished, attempt, commit_of, git, hide_credentials, meant_ref
from tasks.source.version import complete_history

TIMEOUT_S = 240.0  # of each call that moves data

_FETCHABLE = re.compile(r"[0-9a-f]{40}|refs/[^:*]+")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What it means when git or ssh says something like `pattern`, and what to do; `{}` stands for the repository."""

    pattern: str
    problem: str
    remedy: str
    cause: Cause
    transient: Transient = Transient.NO


_UNREACHABLE = _Refusal(
    "",
    "could not be cloned",
    "check the network and the address: `git ls-remote {}` must list its branches.",
    Cause.NETWORK,
    Transient.MAYBE,
)
_REFUSALS = (
    _Refusal(
        "host key verification failed",
        "is on a host whose key this machine does not know",
        "add the key: `ssh-keyscan HOST >> ~/.ssh/known_hosts`, after comparing it with the one the host publishes.",
        Cause.PERMISSION,
    ),
    _Refusal(
        "could not read (username|password)|authentication failed|(permission|access) denied|returned error: 40[13]",
        "may not be read, or does not exist",
        "give this machine's git credentials that can read it (credential helper or SSH key); "
        "`git ls-remote {}` must work there without a question.",
        Cause.PERMISSION,
    ),
    _Refusal(
        "not found|does not exist|not appear to be a git repository|no such file",
        "does not exist",
        "check the address: `git ls-remote {}` must list its branches.",
        Cause.NOT_FOUND,
    ),
    _UNREACHABLE,
)


async def clone_url(url: str, ref: str | None, target: Path) -> Path:
    """Clone a remote repository, files on demand, into an empty folder; without a ref its default branch."""
    finished = await attempt(
        target,
        *("clone", "--quiet", "--no-checkout", "--filter=blob:none", "--", url, "."),
        timeout_s=TIMEOUT_S,
    )
    if finished.code:
        raise _refused(url, finished)
    commit = await commit_of(target, ref or "HEAD") or await _fetched(target, ref or "")
    if commit is None:
        raise await _unknown(target, hide_credentials(url), ref)
    await _check_out(target, commit)
    return target


async def clone_folder(folder: Path, ref: str, target: Path) -> Path:
    """Clone the repository around a local folder, sharing its objects, into an empty one; the folder in the clone.

    VersionError when the repository is a shallow clone that cannot be completed.
    """
    found = await attempt(folder, "rev-parse", "--path-format=absolute", "--git-common-dir", "--show-prefix")
    if found.code:
        raise SourceError(
            f"the ref {ref} cannot be looked up: {folder} is in no git repository that can be read.",
            "leave the ref empty to ship the folder as it is, or give the path of a git repository.",
        )
    await complete_history(folder)
    commit = await commit_of(folder, ref)
    if commit is None:
        raise await _unknown(folder, str(folder), ref)
    repository, prefix = found.output.split("\n")[:2]
    await git(target, "clone", "--quiet", "--no-checkout", "--shared", "--", repository, ".")
    await _check_out(target, commit)
    return target / prefix


async def _fetched(target: Path, ref: str) -> str | None:
    """The commit of a ref that is neither branch nor tag, like refs/pull/7/head, or an id that no branch holds."""
    if not _FETCHABLE.fullmatch(ref):
        return None
    fetched = await attempt(target, "fetch", "--quiet", "--", "origin", ref, timeout_s=TIMEOUT_S)
    return None if fetched.code else await commit_of(target, "FETCH_HEAD")


async def _check_out(target: Path, commit: str) -> None:
    await git(target, "checkout", "--quiet", "--detach", commit, timeout_s=TIMEOUT_S)


async def _unknown(repo: Path, shown: str, ref: str | None) -> SourceError:
    if ref is None:
        return SourceError(f"{shown} has no commit on its default branch.", "push one, or name the branch to ship.")
    return SourceError(
        f"{shown} has no branch, tag or commit {ref!r}.",
        await meant_ref(repo, ref) or "give one that exists there; push it if it is only here.",
        Cause.NOT_FOUND,
    )


def _refused(url: str, finished: Finished) -> SourceError:
    """Why a repository could not be cloned, from what git said."""
    why = next(why for why in _REFUSALS if re.search(why.pattern, finished.complaint, re.IGNORECASE))
    shown = hide_credentials(url)
    return SourceError(
        f"{shown} {why.problem}: {finished.reason}", why.remedy.format(shown), why.cause, transient=why.transient
    )
