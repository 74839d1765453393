"""The version of a commit, asked of real repositories."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re
from pathlib import Path

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from tasks.failures.cause import Cause
from tasks.failures.errors import VersionError
from tasks.model import Version, VersionKind
from tasks.source.version import decide, read_version, semver_of
from tests.tasks.repos import Repo

SHA = "0613260000000000000000000000000000000000"  # begins with digits only and a zero


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit()
    return repo


# ---- the decision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "nearest", "changed_tree", "version", "kind", "base"),
    [
        (["v1.4.0"], [], "", "v1.4.0", VersionKind.RELEASE, "v1.4.0"),
        (["1.4.0"], [], "", "v1.4.0", VersionKind.RELEASE, "v1.4.0"),
        (["v1.5.0-rc.1"], [], "", "v1.5.0-rc.1", VersionKind.PRERELEASE, "v1.5.0-rc.1"),
        (["v1.9.0", "v1.10.0", "v1.10.0-rc.2"], [], "", "v1.10.0", VersionKind.RELEASE, "v1.10.0"),
        (["v1.2.3+build.5"], [], "", "v1.2.3+build.5", VersionKind.RELEASE, "v1.2.3+build.5"),
        (["v1.2.3+5", "v1.2.3"], [], "", "v1.2.3", VersionKind.RELEASE, "v1.2.3"),
        ([], ["v1.4.0"], "", "v1.4.0-dev.g0613260", VersionKind.DEVELOPMENT, "v1.4.0"),
        ([], ["v1.4.0", "v2.0.0"], "", "v2.0.0-dev.g0613260", VersionKind.DEVELOPMENT, "v2.0.0"),
        ([], ["v1.2.3+build.5"], "", "v1.2.3-dev.g0613260", VersionKind.DEVELOPMENT, "v1.2.3+build.5"),
        ([], ["v1.5.0-rc.1"], "", "v1.5.0-rc.1.dev.g0613260", VersionKind.DEVELOPMENT, "v1.5.0-rc.1"),
        ([], [], "", "v0.0.0-dev.g0613260", VersionKind.DEVELOPMENT, None),
        (["v1.4.0"], [], "9f3c01aa77", "v1.4.0-dev.g0613260.dirty-9f3c01aa", VersionKind.DEVELOPMENT, "v1.4.0"),
        ([], [], "00000001", "v0.0.0-dev.g0613260.dirty-00000001", VersionKind.DEVELOPMENT, None),
        (["nightly", "api/v3.0.0", "20240102"], [], "", "v0.0.0-dev.g0613260", VersionKind.DEVELOPMENT, None),
    ],
    ids=[
        "release tag",
        "tag without v",
        "pre-release tag",
        "several tags",
        "build metadata",
        "tags that differ in metadata only",
        "after a release",
        "after two equally near",
        "after build metadata",
        "after a pre-release",
        "no tags",
        "dirty on a tag",
        "dirty without tags",
        "odd tags only",
    ],
)
def test_the_tags_decide_the_version(
    here: list[str], nearest: list[str], changed_tree: str, version: str, kind: VersionKind, base: str | None
) -> None:
    decided = decide(SHA, here, nearest, changed_tree)
    assert (decided.version, decided.kind, decided.base) == (version, kind, base)
    assert (decided.commit, decided.dirty) == (SHA, bool(changed_tree))


@given(st.text("0123456789abcdef", min_size=40, max_size=40), st.sampled_from([[], ["v1.2.3"], ["v1.2.3-rc.1"]]))
def test_every_development_version_is_valid_semver(commit: str, nearest: list[str]) -> None:
    semver.Version.parse(decide(commit, [], nearest).version.removeprefix("v"))
    semver.Version.parse(decide(commit, [], nearest, commit).version.removeprefix("v"))


def test_work_after_a_pre_release_sorts_between_it_and_the_next() -> None:
    names = ["v1.5.0-rc.1", decide(SHA, [], ["v1.5.0-rc.1"]).version, "v1.5.0-rc.2", "v1.5.0"]
    versions = [semver.Version.parse(name.removeprefix("v")) for name in names]
    assert versions == sorted(versions)
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    "tag",
    [
        *("pkg/v0.1.0", "pkg-v0.1.0", "pkg@0.1.0", "release-1.0.0"),
        *("2024.01.02", "20240102", "2024-01-02", "2024.10.12"),
        *("1.0rc1", "v1.2", "v1", "1.2.3.4", "1.2.3rc1", "1.2.3.post1", "v1.2.3-", "v01.2.3", "v1.2.3-01"),
        *("V1.2.3", "vv1.2.3", "latest", "", "1.٢.3", "9" * 5000 + ".0.0"),
    ],
)
def test_a_tag_that_is_no_version_is_ignored(tag: str) -> None:
    assert semver_of(tag) is None


@pytest.mark.parametrize("tag", ["0.0.0", "v2024.10.12", "2024.13.1", "1969.10.12", "v1.0.0-0.3.7", "v1.0.0+exp.sha-5"])
def test_a_tag_that_is_a_version_is_read(tag: str) -> None:
    assert str(semver_of(tag)) == tag.removeprefix("v")


# ---- real repositories ---------------------------------------------------------------------------------------------


async def test_on_a_tag_the_version_is_the_tag(repo: Repo) -> None:
    repo.tag("v1.4.0")
    assert await read_version(repo.path) == Version(
        "v1.4.0", VersionKind.RELEASE, repo.head(), "v1.4.0", dirty=False, image_tag="v1.4.0"
    )


async def test_annotated_and_lightweight_tags_count_alike(repo: Repo) -> None:
    repo.tag("v1.0.0")
    repo.annotated_tag("v1.1.0")
    repo.git("tag", "--annotate", "--message=tag of a tag", "v1.2.0", "v1.1.0")
    assert (await read_version(repo.path)).version == "v1.2.0"


async def test_build_metadata_is_mapped_in_the_image_tag(repo: Repo) -> None:
    repo.tag("v1.2.3+build.5")
    version = await read_version(repo.path)
    assert (version.version, version.image_tag) == ("v1.2.3+build.5", "v1.2.3_build.5")


async def test_between_tags_the_nearest_one_is_the_base(repo: Repo) -> None:
    repo.tag("v1.3.0")
    repo.commit()
    repo.tag("v1.4.0")
    commit = repo.commit()
    assert (await read_version(repo.path)).version == f"v1.4.0-dev.g{commit[:7]}"


async def test_the_nearest_tag_wins_over_a_higher_one_that_is_farther(repo: Repo) -> None:
    repo.tag("v2.0.0")
    repo.commit()
    repo.tag("v1.4.1")
    commit = repo.commit()
    assert (await read_version(repo.path)).version == f"v1.4.1-dev.g{commit[:7]}"


async def test_an_unreachable_tag_is_ignored(repo: Repo) -> None:
    repo.tag("v1.0.0")
    repo.git("switch", "--quiet", "--create", "side")
    repo.commit()
    repo.tag("v9.0.0")
    repo.git("switch", "--quiet", "main")
    commit = repo.commit()
    assert (await read_version(repo.path)).version == f"v1.0.0-dev.g{commit[:7]}"


async def test_odd_tags_nearer_by_are_ignored(repo: Repo) -> None:
    repo.tag("v1.0.0")
    commit = repo.commit()
    repo.tag("pkg/v7.0.0", "2024.01.02", "20240102", "3.0rc1", "v8.1", "nightly")
    repo.git("tag", "v9.9.9", "HEAD^{tree}")
    assert (await read_version(repo.path)).version == f"v1.0.0-dev.g{commit[:7]}"


async def test_without_any_tag_the_base_is_zero(repo: Repo) -> None:
    version = await read_version(repo.path)
    assert (version.version, version.base) == (f"v0.0.0-dev.g{repo.head()[:7]}", None)


async def test_an_id_of_digits_with_a_leading_zero_stays_valid_semver(repo: Repo) -> None:
    commit = _commit_with_id(repo, r"0\d{6}")
    version = (await read_version(repo.path, commit)).version
    assert version == f"v0.0.0-dev.g{commit[:7]}"
    semver.Version.parse(version.removeprefix("v"))


async def test_of_two_merged_branches_the_tag_with_fewer_commits_after_it_is_nearest(repo: Repo) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.commit(side="1")
    repo.tag("v1.0.0")
    repo.git("switch", "--quiet", "main")
    for number in range(3):
        repo.commit(main=str(number))
    repo.tag("v0.9.0")
    repo.commit(main="last")
    repo.git("merge", "--quiet", "--no-edit", "side")
    assert (await read_version(repo.path)).base == "v0.9.0"


async def test_of_two_equally_near_tags_the_highest_is_the_base(repo: Repo) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.commit(side="1")
    repo.tag("v1.0.0")
    repo.git("switch", "--quiet", "main")
    repo.commit(main="1")
    repo.tag("v0.9.0")
    repo.git("merge", "--quiet", "--no-edit", "side")
    assert (await read_version(repo.path)).base == "v1.0.0"


@pytest.mark.parametrize("seed", range(6))
async def test_nearest_means_the_fewest_commits_in_any_history(tmp_path: Path, seed: int) -> None:
    repo = _random_history(tmp_path / "repo", random.Random(seed))
    distances = {
        tag: int(repo.git("rev-list", "--count", f"{tag}..HEAD")) for tag in repo.git("tag", "--merged", "HEAD").split()
    }
    nearest = [tag for tag, distance in distances.items() if distance == min(distances.values())]
    highest = max(nearest, key=lambda tag: semver.Version.parse(tag[1:]))
    assert (await read_version(repo.path)).base == highest


# ---- refs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["release", "v1.0.0", "HEAD~1", "main~1", "<short>", "<full>"])
async def test_a_ref_may_be_a_branch_a_tag_an_id_or_an_expression(repo: Repo, ref: str) -> None:
    commit = repo.head()
    repo.annotated_tag("v1.0.0")
    repo.git("branch", "release")
    repo.commit()
    version = await read_version(repo.path, ref.replace("<short>", commit[:8]).replace("<full>", commit))
    assert (version.version, version.commit) == ("v1.0.0", commit)


async def test_an_unknown_ref_is_refused_with_the_closest_names(repo: Repo) -> None:
    repo.tag("v1.4.0")
    repo.git("branch", "release-candidate")
    with pytest.raises(VersionError, match=r"no branch, tag or commit 'v1\.4'") as raised:
        await read_version(repo.path, "v1.4")
    assert "did you mean 'v1.4.0'?" in raised.value.remedy
    assert raised.value.cause is Cause.NOT_FOUND


@pytest.mark.parametrize("ref", ["", "--exec=true", "0000000", "v1\0", "HEAD~50"])
async def test_a_ref_that_cannot_be_one_is_refused(repo: Repo, ref: str) -> None:
    with pytest.raises(VersionError, match="no branch, tag or commit"):
        await read_version(repo.path, ref)


async def test_v1_and_1_on_different_commits_are_one_version_too_many(repo: Repo) -> None:
    repo.tag("1.4.0")
    repo.commit()
    repo.tag("v1.4.0")
    with pytest.raises(VersionError, match="same version on different commits") as raised:
        await read_version(repo.path)
    assert "git tag -d 1.4.0" in raised.value.remedy


# ---- no repository -------------------------------------------------------------------------------------------------


async def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="nowhere is not a folder"):
        await read_version(tmp_path / "nowhere")


async def test_a_folder_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="not in a git repository") as raised:
        await read_version(tmp_path)
    assert "init" in raised.value.remedy


async def test_a_repository_without_commits_is_refused(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "repo")
    with pytest.raises(VersionError, match="no commit yet"):
        await read_version(repo.path)


async def test_a_folder_inside_the_repository_has_the_repositorys_version(repo: Repo) -> None:
    repo.write("api/main.py", "new")
    inside, outside = await read_version(repo.path / "api"), await read_version(repo.path)
    assert inside == outside
    assert inside.dirty


async def test_a_bare_repository_has_versions_too(repo: Repo, tmp_path: Path) -> None:
    repo.tag("v1.0.0")
    bare = Repo.clone(repo.path, tmp_path / "bare", "--bare")
    assert (await read_version(bare.path)).version == "v1.0.0"


# ---- size ----------------------------------------------------------------------------------------------------------


async def test_five_thousand_tags_and_a_long_history_take_less_than_a_second(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "repo")
    repo.git("fast-import", "--quiet", stdin=_long_history(5000, 5000))
    repo.git("reset", "--quiet", "--hard", "main")
    repo.commit()
    started = sum(os.times()[:4])  # of this process and those that it has started: a busy machine says nothing
    version = await read_version(repo.path)
    taken_s = sum(os.times()[:4]) - started
    assert version.version == f"v0.4999.0-dev.g{repo.head()[:7]}"
    assert taken_s < 1.0


# ---- helpers -------------------------------------------------------------------------------------------------------


def _commit_with_id(repo: Repo, start: str) -> str:
    """Try messages until the commit's id, computed as git does, starts as wanted; then store that commit."""
    template = f"tree {repo.git('rev-parse', 'HEAD^{tree}')}\nauthor A <a> 0 +0000\ncommitter A <a> 0 +0000\n\n"
    bodies = (f"{template}{number}\n" for number in itertools.count())
    body = next(
        body for body in bodies if re.match(start, hashlib.sha1(f"commit {len(body)}\0{body}".encode()).hexdigest())
    )
    return repo.git("hash-object", "-t", "commit", "-w", "--stdin", stdin=body)


def _random_history(path: Path, chance: random.Random) -> Repo:
    """Branches, merges and tags on a third of the commits, among them one that is always reachable."""
    repo = Repo.init(path)
    commits = [repo.commit()]
    repo.tag("v0.0.1")
    tree = repo.git("rev-parse", "HEAD^{tree}")
    for number in range(40):
        repo.commits += 1
        parents = chance.sample(commits[-4:], k=min(len(commits[-4:]), chance.choice([1, 1, 2])))
        options = [option for parent in parents for option in ("-p", parent)]
        commits.append(repo.git("commit-tree", tree, *options, "-m", str(number)))
        if chance.random() < 0.3:
            repo.tag(f"v{chance.randrange(5)}.{number}.0", at=commits[-1])
    repo.git("reset", "--quiet", "--hard", commits[-1])
    return repo


def _long_history(commits: int, tags: int) -> str:
    """A stream for git fast-import: commit n is tagged v0.n.0."""
    lines = []
    for number in range(commits):
        lines += ["commit refs/heads/main", f"mark :{number + 1}"]
        lines += [f"committer Ada <ada@example.com> {1_700_000_000 + number} +0000", "data 1", "x"]
        lines += [f"from :{number}"] if number else []
        lines += [f"reset refs/tags/v0.{number}.0", f"from :{number + 1}", ""] if number < tags else []
    return "\n".join([*lines, "done", ""])
