"""Clones of git repositories with their whole history and one commit checked out."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SourceError
from tasks.source.git import Finished, attempt, commit_of, git, hide_credentials, meant_ref
from tasks.source.version import complete_history
from tasks.source.worktree import in_short, read_changed_tree

TIMEOUT_S = 240.0  # of each call that moves data
CLONED_FROM = "slipway.folder"  # the setting of a clone that says which folder it was made of

# Whatever this machine's own configuration says; its hooks have no say in what is checked out either.
_THE_SAME_EVERYWHERE = (
    *("core.autocrlf=false", "core.eol=lf", "core.symlinks=true", "core.sparseCheckout=false"),
    *(f"core.attributesFile={os.devnull}", f"core.hooksPath={os.devnull}"),
)
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
        "dubious ownership",
        "is not read by git, because another user owns it",
        "if you trust it, run `git config --global --add safe.directory {}`.",
        Cause.PERMISSION,
    ),
    _Refusal(
        "transport '.*' not allowed",
        "is at an address that git does not follow out of a repository",
        "give the submodule an https:// or ssh:// address in .gitmodules, or ship from a folder that has it.",
        Cause.PERMISSION,
    ),
    _Refusal(
        "host key verification failed",
        "is on a host whose key this machine does not know",
        "add the key: `ssh-keyscan HOST >> ~/.ssh/known_hosts`, after comparing it with the one the host publishes.",
        Cause.PERMISSION,
    ),
    _Refusal(
        "could not read (username|password)|authentication failed|(permission|access) denied|returned error: 40[13]",
        "may not be read, or does not exist",
        "give this machine's git credentials that can read it (credential helper or SSH key), so that "
        "`git ls-remote {}` works there without a question, or name a block with a token in `credentials` of the "
        "source.",
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


async def clone_url(url: str, ref: str | None, target: Path, *, trusted: bool = True) -> Path:
    """Clone a remote repository, files on demand, into an empty folder; without a ref its default branch.

    An address that is not `trusted`, because a repository names it, is followed over the network only.
    """
    await _refuse_shallow(url)
    finished = await attempt(
        target,
        *("clone", "--quiet", "--no-checkout", "--filter=blob:none", "--origin=origin", "--", url, "."),
        timeout_s=TIMEOUT_S,
        env={} if trusted else {"GIT_PROTOCOL_FROM_USER": "0"},
    )
    if finished.code:
        raise _refused(url, finished)
    await _have_branches(target)
    commit = await commit_of(target, ref or "HEAD") or await _fetched(target, ref or "")
    if commit is None:
        raise await _unknown(target, hide_credentials(url), ref)
    await _check_out(target, commit)
    return target


async def _refuse_shallow(url: str) -> None:
    """A folder's URL is looked at first: git 2.39 would ask a shallow repository for the commits that it lacks, and
    before the answer for the same again, by thousands of processes. No host of repositories has a shallow one.
    """
    parts = urlsplit(url)
    if parts.scheme.lower() != "file":
        return
    asked = await attempt(Path("/"), "-C", unquote(parts.path), "rev-parse", "--is-shallow-repository")
    if asked.output.strip() == "true":
        raise SourceError(
            f"{url} is a shallow clone itself, which lacks the tags and commits that decide the version.",
            "complete it there with `git fetch --unshallow --tags`, or give the repository that it was cloned from.",
        )


async def _have_branches(target: Path) -> None:
    """Make the remote's branches the clone's own, so that a ref means here what it means in the repository itself.

    A remote's branch gives way to all else: the branch `origin` to the remote's default one, `abc1234` to the commit.
    https://git-scm.com/docs/gitrevisions
    """
    named = "%(if)%(symref)%(then)%(else)update refs/heads/%(refname:lstrip=3) %(objectname)%(end)"
    updates = await git(target, "for-each-ref", f"--format={named}", "refs/remotes/origin")
    lines = [f"{line}\n" for line in updates.splitlines() if line]
    await git(target, "update-ref", "--stdin", stdin="".join(lines))


async def clone_folder(folder: Path, ref: str | None, target: Path) -> Path:
    """Clone the repository around a local folder, sharing its objects, into an empty one; the folder in the clone.

    Without a ref what git would commit of the work tree now: what is ignored and not tracked stays behind. The clone
    has the repository's tags. VersionError when there is no repository or a shallow one that cannot be completed.
    """
    has_work_tree = await complete_history(folder)
    commit = await commit_of(folder, ref or "HEAD")
    if commit is None:
        raise await _unknown(folder, str(folder), ref)
    await _complete_files(folder, commit)
    prefix = await _share(folder, target, has_work_tree)
    changed_tree = await read_changed_tree(folder, target / ".git/objects") if ref is None else ""
    await _check_out(target, commit, changed_tree)
    if not (target / prefix).is_dir():
        raise SourceError(
            f"{folder} is not in what git has of its repository{f' at {ref}' if ref else ''}.",
            "commit it, or take it out of .gitignore, or give a folder that is a repository of its own.",
            Cause.NOT_FOUND,
        )
    return target / prefix


async def _share(folder: Path, target: Path, has_work_tree: bool) -> str:
    """Make `target` a repository with the objects and tags of the one around `folder`; the folder's path in it."""
    facts = ("--git-path", "objects", "--show-object-format", *(("--show-toplevel",) if has_work_tree else ()))
    told = (await git(folder, "rev-parse", "--path-format=absolute", *facts)).splitlines()
    await git(target, "init", "--quiet", "--template=", f"--object-format={told[1]}")
    alternates = target / ".git/objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{told[0]}\n", errors="surrogateescape")
    tags = await git(folder, "for-each-ref", "--format=create %(refname) %(objectname)", "refs/tags")
    await git(target, "update-ref", "--stdin", stdin=tags)
    origin = (await attempt(folder, "config", "--get", "remote.origin.url")).output.strip()
    if origin:
        await git(target, "config", "remote.origin.url", origin)
    if not has_work_tree:
        return ""
    await git(target, "config", CLONED_FROM, told[2])
    return (await git(folder, "rev-parse", "--show-prefix")).removesuffix("\n")


async def _complete_files(folder: Path, commit: str) -> None:
    """Let a partial clone fetch all files of the commit: with its own remote and credentials, and at once."""
    promisors = await attempt(folder, "config", "--get-regexp", r"^remote\..*\.promisor$", "true")
    if promisors.code:
        return
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        env = {"GIT_INDEX_FILE": f"{scratch}/index", "GIT_WORK_TREE": scratch}
        fetched = await attempt(folder, "read-tree", "-m", "-u", commit, timeout_s=TIMEOUT_S, env=env)
    if fetched.code:
        raise SourceError(
            f"{folder} is a partial clone, and the files of {commit[:12]} that it lacks could not be fetched from its "
            f"remote: {fetched.reason}",
            "see that the remote answers, or clone without --filter.",
            Cause.NETWORK,
            transient=Transient.MAYBE,
        )


async def _fetched(target: Path, ref: str) -> str | None:
    """The commit of a ref that is neither branch nor tag, like refs/pull/7/head, or an id that no branch holds."""
    if not _FETCHABLE.fullmatch(ref):
        return None
    fetched = await attempt(target, "fetch", "--quiet", "--", "origin", ref, timeout_s=TIMEOUT_S)
    return None if fetched.code else await commit_of(target, "FETCH_HEAD")


async def _check_out(target: Path, commit: str, changed_tree: str = "") -> None:
    """Fill an empty work tree with a commit, or with a tree on top of it, the same on every machine."""
    for setting in _THE_SAME_EVERYWHERE:
        await git(target, "config", *setting.split("="))
    await git(target, "checkout", "--quiet", "--detach", commit, timeout_s=TIMEOUT_S)
    if changed_tree:
        await git(target, "read-tree", "-m", "-u", "HEAD", changed_tree, timeout_s=TIMEOUT_S)
    await _refuse_dirty(target, commit)


async def _refuse_dirty(target: Path, commit: str) -> None:
    """What has just been checked out must be what was asked for.

    An index that is older than every file makes git compare contents, not times:
    https://git-scm.com/docs/racy-git
    """
    os.utime(target / ".git/index", (1, 1))
    changed = await git(target, "diff", "--name-only", "-z", "--no-ext-diff", "--ignore-submodules=all")
    names = changed.split("\0")[:-1]
    if names:
        raise SourceError(
            f"a fresh clone of {commit[:12]} differs from the commit at once, in {in_short(names)}.",
            "the line ends in .gitattributes, or a filter that this machine lacks, change these files: run "
            "`git add --renormalize .` and commit, or install the filter (for git-lfs: `git lfs install`).",
        )


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
    owned = re.search("safe.directory (.+)", finished.complaint)
    return SourceError(
        f"{shown} {why.problem}: {finished.reason}",
        why.remedy.format(owned[1] if owned else shown),
        why.cause,
        transient=why.transient,
    )
