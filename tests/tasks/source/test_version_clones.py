"""Versions where git knows less than it should (shallow clones) or the work tree holds more than the commit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tasks.failures.errors import VersionError
from tasks.model import VersionKind
from tasks.source.version import read_version
from tests.tasks.repos import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit()
    return repo


# ---- shallow clones ------------------------------------------------------------------------------------------------


async def test_a_shallow_clone_is_completed_from_its_remote(repo: Repo, tmp_path: Path) -> None:
    repo.tag("v1.4.0")
    repo.commit()
    commit = repo.commit()
    shallow = Repo.clone(repo.path, tmp_path / "shallow", "--depth=1")
    assert (await read_version(shallow.path)).version == f"v1.4.0-dev.g{commit[:7]}"


async def test_a_shallow_clone_on_a_tag_learns_of_a_higher_tag_it_lacked(repo: Repo, tmp_path: Path) -> None:
    repo.tag("v1.4.0", "v1.5.0")
    repo.commit()
    shallow = Repo.clone(repo.path, tmp_path / "shallow", "--depth=1", "--branch=v1.4.0")
    shallow.git("tag", "--delete", "v1.5.0")
    assert (await read_version(shallow.path)).version == "v1.5.0"


@pytest.mark.parametrize("remote", ["none", "gone", "another name"])
async def test_a_shallow_clone_is_refused_with_the_remedy_when_it_cannot_be_completed(
    repo: Repo, tmp_path: Path, remote: str
) -> None:
    repo.commit()
    shallow = Repo.clone(repo.path, tmp_path / "shallow", "--depth=1")
    if remote == "none":
        shallow.git("remote", "remove", "origin")
    else:
        shutil.rmtree(repo.path)
    if remote == "another name":
        shallow.git("remote", "rename", "origin", "upstream")
    with pytest.raises(VersionError, match="is a shallow clone") as raised:
        await read_version(shallow.path)
    assert "fetch --unshallow --tags" in raised.value.remedy


async def test_a_shallow_clone_of_a_shallow_clone_is_refused(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    first = Repo.clone(repo.path, tmp_path / "first", "--depth=1")
    second = Repo.clone(first.path, tmp_path / "second")
    with pytest.raises(VersionError, match="is a shallow clone"):
        await read_version(second.path)


async def test_the_password_of_a_remote_is_not_shown(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    shallow = Repo.clone(repo.path, tmp_path / "shallow", "--depth=1")
    shallow.git("remote", "set-url", "origin", "http://ada:s3cret@127.0.0.1:1/x.git")
    with pytest.raises(VersionError) as raised:
        await read_version(shallow.path)
    assert "s3cret" not in str(raised.value)


# ---- dirty work trees ----------------------------------------------------------------------------------------------


async def test_a_dirty_tree_on_a_tag_is_a_development_version(repo: Repo) -> None:
    repo.tag("v1.4.0")
    repo.write("counter", "changed")
    version = await read_version(repo.path)
    assert version.version.startswith(f"v1.4.0-dev.g{repo.head()[:7]}.dirty-")
    assert (version.kind, version.dirty, version.base) == (VersionKind.DEVELOPMENT, True, "v1.4.0")


async def test_two_dirty_states_never_share_a_version(repo: Repo) -> None:
    versions = set()
    for content in ("aa", "bb", "cc"):  # the same size, within the same tick of the file system's clock
        repo.write("counter", content)
        versions.add((await read_version(repo.path)).version)
    repo.write("new file", "")
    versions.add((await read_version(repo.path)).version)
    repo.git("add", "--all")
    versions.add((await read_version(repo.path)).version)  # staged or not, the content is the same
    (repo.path / "counter").unlink()
    versions.add((await read_version(repo.path)).version)
    assert len(versions) == 5


async def test_the_same_dirty_state_has_the_same_version_in_another_clone(repo: Repo, tmp_path: Path) -> None:
    clone = Repo.clone(repo.path, tmp_path / "clone")
    for one in (repo, clone):
        one.write("counter", "changed")
    assert (await read_version(repo.path)).version == (await read_version(clone.path)).version


async def test_an_explicit_ref_is_never_dirty(repo: Repo) -> None:
    repo.tag("v1.4.0")
    repo.write("counter", "changed")
    assert (await read_version(repo.path, "HEAD")).version == "v1.4.0"


async def test_ignored_files_do_not_make_a_tree_dirty(repo: Repo) -> None:
    repo.commit(**{".gitignore": "*.log\n"})
    repo.write("debug.log", "noise")
    assert not (await read_version(repo.path)).dirty


async def test_a_change_that_was_taken_back_is_not_dirty(repo: Repo) -> None:
    original = (repo.path / "counter").read_text()
    repo.write("counter", "changed")
    repo.git("add", "--all")
    repo.write("counter", original)
    assert not (await read_version(repo.path)).dirty


async def test_reading_a_dirty_tree_leaves_the_repository_as_it_was(repo: Repo) -> None:
    repo.write("staged", "1")
    repo.git("add", "staged")
    repo.write("staged", "2")
    repo.write("untracked", "3")
    before = _files(repo.path)
    assert (await read_version(repo.path)).dirty
    assert _files(repo.path) == before


async def test_a_repository_inside_the_work_tree_is_refused_because_its_changes_would_go_unnoticed(repo: Repo) -> None:
    nested = Repo.init(repo.path / "vendor" / "lib")
    nested.commit()
    with pytest.raises(VersionError, match="the repository vendor/lib inside the work tree"):
        await read_version(repo.path)


async def test_a_changed_submodule_is_refused_and_an_unchanged_one_is_not(repo: Repo, tmp_path: Path) -> None:
    library = Repo.init(tmp_path / "library")
    library.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.path), "a lib")
    repo.commit()
    assert not (await read_version(repo.path)).dirty
    repo.write("a lib/counter", "changed")
    with pytest.raises(VersionError, match="the repository a lib inside the work tree"):
        await read_version(repo.path)


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
