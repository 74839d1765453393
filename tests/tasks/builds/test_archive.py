"""A source is packed the same everywhere, and only what belongs to it."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from tasks.builds.archive import Archive, pack, plan
from tasks.builds.ignore import own_file
from tasks.failures.errors import SourceError
from tasks.source.source import Source, open_source
from tests.tasks.repos import Repo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repo = Repo(tmp_path / "api")
    repo.write("Dockerfile", "FROM scratch\n")
    repo.write("app/main.py", "print('hello')\n")
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (repo.path / "latest").symlink_to("app/main.py")
    return repo.path


def members(archive: Archive) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive.path) as packed:
        return {member.name: member for member in packed.getmembers()}


def test_an_archive_holds_the_files_and_says_so(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "out.tar.gz")
    packed = members(archive)
    assert list(packed) == ["Dockerfile", "app/main.py", "latest", "run.sh"]
    assert (archive.files, archive.size_bytes) == (4, archive.path.stat().st_size)
    assert packed["latest"].linkname == "app/main.py"
    assert {member.mode for member in packed.values() if member.isreg()} == {0o644, 0o755}
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in packed.values()} == {(0, 0, "", 0)}


def test_the_same_content_has_the_same_digest_whenever_and_wherever_it_is_packed(folder: Path, tmp_path: Path) -> None:
    first = pack(folder, tmp_path / "first.tar.gz")
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    (copy / "empty folder").mkdir()
    (copy / "Dockerfile").chmod(0o600)
    (copy / "run.sh").chmod(0o777)
    os.utime(copy / "run.sh", (1, 1))
    second = pack(copy, tmp_path / "second.tar.gz")
    assert (first.sha256, first.path.read_bytes()) == (second.sha256, second.path.read_bytes())
    again = gzip.compress(gzip.decompress(first.path.read_bytes()), 1)  # as another zlib would have packed it
    assert again != first.path.read_bytes()
    assert hashlib.sha256(gzip.decompress(again)).hexdigest() == first.content_sha256 == second.content_sha256


async def test_two_checkouts_of_a_commit_have_the_same_digest(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "repo")
    repo.commit(**{"api/main.py": "1"})
    repo.tag("v1.0.0")
    digests = set()
    for place in ("one", "two"):
        checkout = await open_source(Source(repository=repo.path.as_uri(), ref="v1.0.0"), tmp_path / place)
        digests.add(pack(checkout / "api", tmp_path / f"{place}.tar.gz").sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("change", ["content", "name", "mode", "link", "more"])
def test_any_difference_that_counts_changes_the_digest(folder: Path, tmp_path: Path, change: str) -> None:
    before = pack(folder, tmp_path / "before.tar.gz").sha256
    match change:
        case "content":
            (folder / "run.sh").write_text("#!/bin/ash")
        case "name":
            (folder / "run.sh").rename(folder / "run2.sh")
        case "mode":
            (folder / "run.sh").chmod(0o644)
        case "link":
            (folder / "latest").unlink()
            (folder / "latest").symlink_to("run.sh")
        case "more":
            (folder / "more").touch()
    assert pack(folder, tmp_path / "after.tar.gz").sha256 != before


def test_ignored_files_are_left_out_but_never_the_dockerfile(folder: Path, tmp_path: Path) -> None:
    (folder / "docker").mkdir()
    (folder / "docker/Dockerfile.prod").touch()
    (folder / ".dockerignore").write_text("docker\nrun.sh\n")
    archive = pack(folder, tmp_path / "out.tar.gz", "docker/Dockerfile.prod")
    assert list(members(archive)) == [".dockerignore", "Dockerfile", "app/main.py", "docker/Dockerfile.prod", "latest"]


def test_an_archive_does_not_pack_itself(folder: Path) -> None:
    first = pack(folder, folder / "out.tar.gz")
    second = pack(folder, folder / "out.tar.gz")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "app/../../secret", "out/secret"])
def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, target: str) -> None:
    (folder / ".dockerignore").write_text("out\n")
    (folder / "out").symlink_to(tmp_path)
    (folder / "link").symlink_to(target)
    with pytest.raises(SourceError, match=r"the symbolic link link leads out of the source folder"):
        pack(folder, tmp_path / "out.tar.gz")
    (folder / ".dockerignore").write_text("out\nlink\n")
    assert "link" not in members(pack(folder, tmp_path / "out.tar.gz"))


@pytest.mark.parametrize("target", ["nowhere", "loop", "app", "app/../run.sh", "."])
def test_a_link_that_stays_inside_is_kept_wherever_it_leads(folder: Path, tmp_path: Path, target: str) -> None:
    (folder / "loop").symlink_to(target)
    assert members(pack(folder, tmp_path / "out.tar.gz"))["loop"].linkname == target


def test_all_that_cannot_be_packed_is_named_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "one").symlink_to("/etc/passwd")
    (folder / "two").symlink_to("../../secret")
    with pytest.raises(SourceError, match=r"link one leads out .*; the symbolic link two leads out"):
        plan(folder)


@pytest.mark.parametrize("dockerfile", ["cfg/adc.json", "cfg/sub/adc.json", "here/cfg/adc.json", "adc.json"])
def test_nothing_leaves_the_folder_through_the_name_of_the_dockerfile(
    folder: Path, tmp_path: Path, dockerfile: str
) -> None:
    for name in ("adc.json", "sub/adc.json"):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text("secret")
    (folder / "cfg").symlink_to(tmp_path / "home")
    (folder / "here").symlink_to(".")
    (folder / "adc.json").symlink_to("../home/adc.json")
    (folder / ".dockerignore").write_text("cfg\nadc.json\n")
    with pytest.raises(SourceError, match="leads out of the source folder"):
        pack(folder, tmp_path / "out.tar.gz", dockerfile)


def test_a_dockerfile_behind_links_is_packed_with_the_links(folder: Path, tmp_path: Path) -> None:
    (folder / "docker").mkdir()
    (folder / "docker/Dockerfile.prod").touch()
    (folder / "docker/current").symlink_to("../docker/Dockerfile.prod")
    (folder / "linked").symlink_to("docker")
    (folder / ".dockerignore").write_text("docker\nlinked\napp\n")
    packed = members(pack(folder, tmp_path / "out.tar.gz", "linked/current"))
    assert {"linked", "docker/current", "docker/Dockerfile.prod"} < packed.keys()
    assert "linked/current" not in packed
    assert packed["linked"].issym()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"the source folder .*/api does not exist") as raised:
        pack(tmp_path / "api", tmp_path / "out.tar.gz")
    assert "`source` in slipway.yaml" in raised.value.remedy


@pytest.mark.parametrize("ignored", [False, True], ids=["empty", "everything ignored"])
def test_a_folder_with_nothing_to_pack_is_named(tmp_path: Path, ignored: bool) -> None:
    (tmp_path / "api/.git").mkdir(parents=True)
    if ignored:
        (tmp_path / "api/.gcloudignore").write_text("*\n")
    with pytest.raises(SourceError, match=r"the source folder .*/api is empty, or everything in it is ignored"):
        pack(tmp_path / "api", tmp_path / "out.tar.gz")
    assert not (tmp_path / "out.tar.gz").exists()


def test_what_is_no_file_is_refused(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(SourceError, match="pipe is neither a file nor a symbolic link"):
        pack(folder, tmp_path / "out.tar.gz")


def test_names_of_any_kind_survive(folder: Path, tmp_path: Path) -> None:
    names = ["ümläut", "with space", "n" * 150, os.fsdecode(b"latin-\xe4")]
    for name in names:
        (folder / name).write_text(name, errors="surrogateescape")
    archive = pack(folder, tmp_path / "out.tar.gz")
    assert set(names) <= members(archive).keys()


def test_a_change_of_slipway_yaml_alone_packs_the_same(folder: Path, tmp_path: Path) -> None:
    digests = set()
    for text in ("app: shop\n", "app: shop\nretention: {keep: 3}\n"):
        (folder / "slipway.yaml").write_text(text)
        digests.add(pack(folder, tmp_path / "out.tar.gz", own=own_file(folder, folder)).sha256)
    assert len(digests) == 1


def test_a_link_to_what_git_keeps_for_itself_is_refused(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "repo")
    (repo.path / "big.bin").symlink_to(".git/annex/objects/x")
    with pytest.raises(
        SourceError, match=r"big\.bin leads to \.git/annex/objects/x, and what is in \.git is never sent"
    ):
        pack(repo.path, tmp_path / "out.tar.gz")
