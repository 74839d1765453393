"""Sources are opened where they are or cloned at a ref, and packed the same everywhere."""

from __future__ import annotations

import asyncio
import http.server
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from tasks.failures.errors import Cause, SourceError, Transient
from tasks.source.source import Archive, Source, open_source, pack
from tasks.source.version import read_version
from tests.serving import serving
from tests.tasks.repos import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit(**{"api/main.py": "1"})
    repo.tag("v1.0.0")
    return repo


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path / "work"


class _Locked(http.server.BaseHTTPRequestHandler):
    """A git server that lets nobody in, and knows nothing below /missing."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path.startswith("/missing") else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Host and port of a `_Locked` server."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(_Locked) as address:
        yield address.removeprefix("http://")


# ---- the parameter -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("repository", "remote"),
    [
        ("https://github.com/acme/shop.git", True),
        ("ssh://git@host/shop.git", True),
        ("git@github.com:acme/shop.git", True),
        ("file:///srv/shop", True),
        ("/srv/shop", False),
        ("shop", False),
        ("../a@b/shop", False),
        ("ext::sh -c evil", False),
    ],
)
def test_a_url_is_told_from_a_folder(repository: str, remote: bool) -> None:
    assert Source(repository=repository).is_remote is remote


def test_empty_form_fields_mean_nothing_was_given() -> None:
    assert Source(repository=" /srv/shop ", ref=" ") == Source(repository="/srv/shop")
    with pytest.raises(pydantic.ValidationError):
        Source(repository="  ")


@pytest.mark.parametrize("wrong", [{"repository": "a\0b"}, {"repository": "a", "reff": "b"}, {"ref": "main"}])
def test_a_wrong_source_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Source.model_validate(wrong)


def test_a_source_never_shows_a_password() -> None:
    source = Source(repository="https://ada:s3cret@host/x.git?token=s3cret")
    assert "s3cret" not in f"{source!r} {source}"
    with pytest.raises(pydantic.ValidationError) as raised:
        Source.model_validate({"repository": "https://ada:s3cret@host", "ref": ["s3cret"]})
    assert "s3cret" not in str(raised.value)


def test_the_form_describes_its_fields() -> None:
    fields = Source.model_json_schema()["properties"]
    assert all(field["title"] and field["description"] and field["examples"] for field in fields.values())


# ---- opening -------------------------------------------------------------------------------------------------------


async def test_a_folder_without_a_ref_is_used_where_it_is(repo: Repo, workdir: Path) -> None:
    repo.write("api/main.py", "changed")
    checkout = await open_source(Source(repository=str(repo.path)), workdir)
    assert (checkout.path, checkout.cloned) == (repo.path, False)
    assert left_in(workdir) == []


@pytest.mark.parametrize("ref", ["v1.0.0", "HEAD~1", "feature", "<sha>"])
async def test_a_folder_with_a_ref_is_cloned_at_it(repo: Repo, workdir: Path, ref: str) -> None:
    sha = repo.head()
    repo.git("branch", "feature")
    repo.commit(**{"api/main.py": "2"})
    repo.write("api/main.py", "uncommitted")
    checkout = await open_source(Source(repository=str(repo.path), ref=ref.replace("<sha>", sha[:9])), workdir)
    assert checkout.cloned
    assert (checkout.path / "api/main.py").read_text() == "1"
    assert (await read_version(checkout.path)).version == "v1.0.0"
    assert (repo.path / "api/main.py").read_text() == "uncommitted"


async def test_a_commit_that_no_branch_holds_can_be_opened_from_a_folder(repo: Repo, workdir: Path) -> None:
    lost = repo.commit(**{"api/main.py": "lost"})
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    checkout = await open_source(Source(repository=str(repo.path), ref=lost), workdir)
    assert (checkout.path / "api/main.py").read_text() == "lost"


async def test_a_folder_inside_a_repository_stays_that_folder(repo: Repo, workdir: Path) -> None:
    checkout = await open_source(Source(repository=str(repo.path / "api"), ref="main"), workdir)
    assert (checkout.path / "main.py").read_text() == "1"
    assert checkout.path.name == "api"


@pytest.mark.parametrize("ref", [None, "main", "v1.0.0", "feature", "refs/pull/7/head"])
async def test_a_url_is_cloned_with_tags_and_history(repo: Repo, workdir: Path, ref: str | None) -> None:
    repo.git("branch", "feature")
    repo.git("update-ref", "refs/pull/7/head", "HEAD")
    checkout = await open_source(Source(repository=repo.path.as_uri(), ref=ref), workdir)
    assert (checkout.path / "api/main.py").read_text() == "1"
    assert (await read_version(checkout.path)).version == "v1.0.0"


async def test_a_commit_that_only_the_server_has_is_fetched_by_its_id(repo: Repo, workdir: Path) -> None:
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    hidden = repo.commit()
    repo.git("update-ref", "refs/hidden/x", "HEAD")
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    checkout = await open_source(Source(repository=repo.path.as_uri(), ref=hidden), workdir)
    assert (await read_version(checkout.path)).commit == hidden


@pytest.mark.parametrize("remote", [True, False], ids=["url", "folder"])
async def test_an_unknown_ref_is_refused_with_the_closest_and_leaves_nothing(
    repo: Repo, workdir: Path, remote: bool
) -> None:
    address = repo.path.as_uri() if remote else str(repo.path)
    with pytest.raises(SourceError, match=r"no branch, tag or commit 'v1\.0'") as raised:
        await open_source(Source(repository=address, ref="v1.0"), workdir)
    assert raised.value.remedy.startswith("did you mean v1.0.0")
    assert raised.value.cause is Cause.NOT_FOUND
    assert left_in(workdir) == []


@pytest.mark.parametrize("ref", ["--upload-pack=touch pwned", "main:refs/heads/x", "refs/heads/none", "a\nb"])
async def test_a_ref_is_never_an_option_or_a_refspec(repo: Repo, workdir: Path, ref: str) -> None:
    with pytest.raises(SourceError, match="no branch, tag or commit"):
        await open_source(Source(repository=repo.path.as_uri(), ref=ref), workdir)


async def test_a_folder_that_does_not_exist_is_refused(workdir: Path) -> None:
    with pytest.raises(SourceError, match="is not a folder on this machine") as raised:
        await open_source(Source(repository="/nowhere/at/all"), workdir)
    assert raised.value.cause is Cause.NOT_FOUND


async def test_a_ref_of_a_folder_without_git_is_refused(tmp_path: Path, workdir: Path) -> None:
    with pytest.raises(SourceError, match="is in no git repository that can be read"):
        await open_source(Source(repository=str(tmp_path), ref="main"), workdir)


async def test_an_empty_repository_is_refused(tmp_path: Path, workdir: Path) -> None:
    empty = Repo.init(tmp_path / "empty")
    with pytest.raises(SourceError, match="has no commit on its default branch"):
        await open_source(Source(repository=empty.path.as_uri()), workdir)


async def test_a_server_that_wants_credentials_is_reported_without_showing_them(server: str, workdir: Path) -> None:
    with pytest.raises(SourceError, match="may not be read, or does not exist") as raised:
        await open_source(Source(repository=f"http://ada:s3cret@{server}/private.git"), workdir)
    assert raised.value.cause is Cause.PERMISSION
    assert "s3cret" not in str(raised.value)
    assert f"git ls-remote http://***@{server}/private.git" in raised.value.remedy


async def test_a_question_for_credentials_is_an_error_and_not_a_hanging_run(server: str, workdir: Path) -> None:
    with pytest.raises(SourceError, match="terminal prompts disabled"):
        await open_source(Source(repository=f"http://{server}/private.git"), workdir)


async def test_a_repository_the_server_does_not_have_is_reported(server: str, workdir: Path) -> None:
    with pytest.raises(SourceError, match="does not exist: fatal: repository") as raised:
        await open_source(Source(repository=f"http://{server}/missing.git"), workdir)
    assert raised.value.cause is Cause.NOT_FOUND
    assert raised.value.transient is Transient.NO


async def test_a_server_that_does_not_answer_may_be_tried_again(server: str, workdir: Path) -> None:
    with pytest.raises(SourceError, match="could not be cloned") as raised:
        await open_source(Source(repository="http://ada:s3cret@127.0.0.1:1/x.git"), workdir)
    assert (raised.value.cause, raised.value.transient) == (Cause.NETWORK, Transient.MAYBE)
    assert "s3cret" not in str(raised.value)


async def test_a_cancelled_clone_leaves_nothing(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()
        hung_up.set()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x.git"
        running = asyncio.create_task(open_source(Source(repository=address), workdir))
        await asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await hung_up.wait()
    assert left_in(workdir) == []


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*")]


# ---- packing -------------------------------------------------------------------------------------------------------


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


async def test_two_checkouts_of_a_commit_have_the_same_digest(repo: Repo, tmp_path: Path) -> None:
    digests = set()
    for place in ("one", "two"):
        checkout = await open_source(Source(repository=repo.path.as_uri(), ref="v1.0.0"), tmp_path / place)
        digests.add(pack(checkout.path / "api", tmp_path / f"{place}.tar.gz").sha256)
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
    with pytest.raises(SourceError, match=r"the symbolic link .*link leads out of the source folder"):
        pack(folder, tmp_path / "out.tar.gz")
    (folder / ".dockerignore").write_text("out\nlink\n")
    assert "link" not in members(pack(folder, tmp_path / "out.tar.gz"))


@pytest.mark.parametrize("target", ["nowhere", "loop", "app", "app/../run.sh", "."])
def test_a_link_that_stays_inside_is_kept_wherever_it_leads(folder: Path, tmp_path: Path, target: str) -> None:
    (folder / "loop").symlink_to(target)
    assert members(pack(folder, tmp_path / "out.tar.gz"))["loop"].linkname == target


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
