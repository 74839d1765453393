"""What git says a commit is called.

==============================================  =============================================================
the commit is                                   its version
==============================================  =============================================================
on the tag v1.4.0 or 1.4.0                      v1.4.0; the highest tag by SemVer precedence if there are several
after v1.4.0, the nearest tag                   v1.4.0-dev.g0613260
after v1.5.0-rc.1, the nearest tag              v1.5.0-rc.1.dev.g0613260: after rc.1, before rc.2 and v1.5.0
after no tag                                    v0.0.0-dev.g0613260
the base of a work tree with other content      v1.4.0-dev.g0613260.dirty-9f3c01aa, by a hash of that content
==============================================  =============================================================

Only tags that are SemVer 2.0.0 with an optional `v` count: not `api/v0.1.0` (a part of a monorepo), `v1.2`, `1.0rc1`
(PEP 440) nor `20240102`. A bare calendar date is no version either, even where SemVer could read it as one
(2024.10.12); `v2024.10.12` is. Tags that the commit does not descend from do not count.

"Nearest" is what `git describe` means: the fewest commits reachable from here and not from the tag; of two equally
near ones the highest. The `g` keeps an id of digits only from being a number with a leading zero, which SemVer
forbids. The id is always the first 7 digits of the full one, not git's own abbreviation, whose length depends on
what else a clone holds.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import semver

from tasks.failures.cause import Cause
from tasks.failures.errors import VersionError
from tasks.model import Version, VersionKind
from tasks.names.naming import image_tag
from tasks.source.git import Finished, attempt, commit_of, git, meant_ref
from tasks.source.worktree import read_changed_tree

SHORT_ID = 7
UNSHALLOW_TIMEOUT_S = 120.0

_BARE_DATE = re.compile(r"(\d{4})\.(\d{1,2})\.(\d{1,2})")


async def read_version(repo: Path, ref: str | None = None) -> Version:
    """The version of `ref` (branch, tag, id, HEAD~1, …), or without one of HEAD and the work tree on it.

    A shallow clone is completed from its remote first. VersionError when there is no repository, commit or such ref, or
    when git cannot be sure; SourceError when git is missing or does not answer in time.
    """
    has_work_tree = await complete_history(repo)
    commit = await commit_of(repo, "HEAD" if ref is None else ref)
    if commit is None:
        raise await _unknown(repo, ref)
    tags = await _version_tags(repo)
    here = [name for name, tagged in tags.items() if tagged == commit]
    _refuse_twins(commit, here, tags)
    nearest = here or await _nearest(repo, commit, tags)
    changed_tree = await read_changed_tree(repo) if has_work_tree and ref is None else ""
    return decide(commit, here, nearest, changed_tree)


def decide(commit: str, here: Iterable[str], nearest: Iterable[str] = (), changed_tree: str = "") -> Version:
    """The version of a commit, from the names of the tags on it and of the nearest ones it descends from.

    `changed_tree` identifies the work tree's content where that is not the commit's own, and is empty otherwise.
    """
    exact, base = _highest(here), _highest([*here, *nearest])
    if exact is None or changed_tree:
        name, kind = _development(base, commit, changed_tree), VersionKind.DEVELOPMENT
    else:
        name, kind = f"v{exact}", kind_of(exact)
    return Version(name, kind, commit, f"v{base}" if base else None, bool(changed_tree), image_tag(name))


async def complete_history(repo: Path) -> bool:
    """Make sure that there is a repository with its whole history; whether it has a work tree.

    VersionError when there is none, or when the rest of a shallow clone cannot be fetched.
    """
    asked = await attempt(repo, "rev-parse", "--is-shallow-repository", "--is-inside-work-tree")
    if asked.code:
        raise _no_repository(repo, asked)
    shallow, work_tree = asked.output.split()
    if shallow == "true":
        await _unshallow(repo)
    return work_tree == "true"


async def is_versioned(folder: Path) -> bool:
    """Whether git has a work tree with a commit there; VersionError when git refuses to say."""
    asked = await attempt(folder, "rev-parse", "--is-inside-work-tree")
    if "dubious ownership" in asked.complaint:
        raise _no_repository(folder, asked)
    return asked.output.strip() == "true" and await commit_of(folder, "HEAD") is not None


def semver_of(tag: str) -> semver.Version | None:
    """The version a tag stands for; None for a tag that is no version (see the top of this module)."""
    if not tag.isascii() or _is_date(tag):
        return None
    try:
        return semver.Version.parse(tag.removeprefix("v"))
    except ValueError:
        return None


def kind_of(version: semver.Version) -> VersionKind:
    """What a commit is that has the version's tag."""
    return VersionKind.PRERELEASE if version.prerelease else VersionKind.RELEASE


def _is_date(tag: str) -> bool:
    found = _BARE_DATE.fullmatch(tag)
    if not found or not 1970 <= int(found[1]) < 2100:
        return False
    try:
        datetime.date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return False
    return True


def _highest(names: Iterable[str]) -> semver.Version | None:
    """By SemVer precedence, which ignores build metadata: of versions that differ only there, the one without wins."""
    versions = [version for name in names if (version := semver_of(name))]
    return max(versions, key=lambda version: (version, not version.build, version.build or ""), default=None)


def _development(base: semver.Version | None, commit: str, changed_tree: str) -> str:
    base = base or semver.Version(0)
    parts = [base.prerelease, "dev", f"g{commit[:SHORT_ID]}", changed_tree and f"dirty-{changed_tree[:8]}"]
    return f"v{base.replace(prerelease='.'.join(part for part in parts if part), build=None)}"


def _no_repository(repo: Path, asked: Finished) -> VersionError:
    if not repo.is_dir():
        return VersionError(f"{repo} is not a folder.", "give the path of a git repository.", Cause.NOT_FOUND)
    if "dubious ownership" in asked.complaint:
        return VersionError(
            f"git refuses to read {repo}: another user owns it.",
            f"if you trust it, run `git config --global --add safe.directory {repo.resolve()}`.",
            Cause.PERMISSION,
        )
    if "not a git repository" in asked.complaint:
        return VersionError(
            f"{repo} is not in a git repository, so it has no version.",
            f"run `git -C {repo} init` and commit, or give the path of the repository.",
        )
    return VersionError(f"git cannot read {repo}: {asked.reason}", "repair the repository, or clone it again.")


async def _unshallow(repo: Path) -> None:
    """Fetch the history and the tags that a shallow clone lacks: without them a nearer or higher tag may be missed."""
    remotes = (await git(repo, "remote")).split()
    if not remotes:
        raise _shallow(repo, "it has no remote to get the rest from")
    remote = "origin" if "origin" in remotes else remotes[0]
    fetched = await attempt(repo, "fetch", "--quiet", "--unshallow", "--tags", remote, timeout_s=UNSHALLOW_TIMEOUT_S)
    if fetched.code:
        raise _shallow(repo, f"getting the rest from {remote} failed ({fetched.reason})")
    if (await git(repo, "rev-parse", "--is-shallow-repository")).strip() == "true":
        raise _shallow(repo, f"{remote} is a shallow clone itself")


def _shallow(repo: Path, reason: str) -> VersionError:
    return VersionError(
        f"{repo} is a shallow clone, {reason}; the tags that decide the version may be missing.",
        f"run `git -C {repo} fetch --unshallow --tags`, or clone with the whole history "
        "(actions/checkout: `fetch-depth: 0`; GitLab: `GIT_DEPTH: 0`).",
    )


async def _unknown(repo: Path, ref: str | None) -> VersionError:
    if ref is None:
        return VersionError(f"{repo} has no commit yet.", "commit something; then the commit has a version.")
    remedy = await meant_ref(repo, ref) or "give a branch, a tag or a commit of this repository."
    return VersionError(f"{repo} has no branch, tag or commit {ref!r}.", remedy, Cause.NOT_FOUND)


async def _version_tags(repo: Path) -> dict[str, str]:
    """Tag name to commit id, of the tags that are versions."""
    listed = await attempt(repo, "show-ref", "--tags", "--dereference")  # exits with 1 when there is no tag
    tagged: dict[str, str] = {}
    for line in listed.output.splitlines():
        target, _, name = line.partition(" refs/tags/")
        tagged[name.removesuffix("^{}")] = target  # an annotated tag's commit comes after the tag object
    return {name: target for name, target in tagged.items() if semver_of(name)}


def _refuse_twins(commit: str, here: Iterable[str], tags: Mapping[str, str]) -> None:
    """v1.4.0 and 1.4.0 are one version: on two commits they make it ambiguous."""
    for name in here:
        twin = name.removeprefix("v") if name.startswith("v") else f"v{name}"
        if tags.get(twin, commit) != commit:
            raise VersionError(
                f"the tags {name} and {twin} are the same version on different commits.",
                f"delete the wrong one: `git tag -d {twin}`, and `git push --delete origin {twin}`.",
            )


async def _nearest(repo: Path, commit: str, tags: Mapping[str, str]) -> list[str]:
    """The names of the tags that the fewest commits lie between.

    A tag that another reachable tag descends from is farther than that one. What is left borders on the commits
    that are in no tag, so git lists it in one walk, and only those few are counted.
    """
    merged = await git(repo, "for-each-ref", "--format=%(refname:strip=2)", "--merged", commit, "refs/tags")
    reachable = [name for name in merged.splitlines() if name in tags]
    if not reachable:
        return []
    walk = "\n".join([commit, *sorted({f"^{tags[name]}" for name in reachable})])
    walked = await git(repo, "rev-list", "--boundary", "--stdin", stdin=walk)
    border = {line[1:] for line in walked.splitlines() if line.startswith("-")}
    candidates = sorted(border & {tags[name] for name in reachable})
    counts = [int(await git(repo, "rev-list", "--count", f"{tagged}..{commit}")) for tagged in candidates]
    nearest = {tagged for tagged, count in zip(candidates, counts, strict=True) if count == min(counts)}
    return [name for name in reachable if tags[name] in nearest]
