"""Sources are opened where they are or cloned at a ref."""

from __future__ import annotations

import asyncio
import http.server
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest

from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SourceError, VersionError
from tasks.source.source import Source, open_source
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


def test_two_apps_of_a_repository_are_told_apart_and_refs_are_not() -> None:
    apps = [Source(repository="/srv/shop", folder=folder, ref=ref) for folder in (None, "a", "b") for ref in ("x", "y")]
    assert [app.place for app in apps] == ["/srv/shop"] * 2 + ["/srv/shop#a"] * 2 + ["/srv/shop#b"] * 2


@pytest.mark.parametrize(
    ("repository", "folder", "called"),
    [
        ("https://github.com/acme/shop.git", None, "shop"),
        ("git@host:acme/shop.git", None, "shop"),
        ("git@host:shop.git", None, "shop"),
        ("/srv/shop/", None, "shop"),
        ("https://ada:s3cret@host/mono.git", "apps/shop", "shop"),
    ],
)
def test_a_run_is_called_by_the_last_part_of_where_its_source_is(
    repository: str, folder: str | None, called: str
) -> None:
    assert Source(repository=repository, folder=folder).called == called


def test_the_form_describes_its_fields() -> None:
    fields = Source.model_json_schema()["properties"]
    assert all(field["title"] and field["description"] and field["examples"] for field in fields.values())


# ---- opening -------------------------------------------------------------------------------------------------------


async def test_of_a_folder_without_a_ref_all_that_git_would_commit_is_taken(repo: Repo, workdir: Path) -> None:
    repo.write("api/main.py", "changed")
    repo.write("api/new.py", "new")
    repo.write(".gitignore", ".env\n")
    repo.write(".env", "s3cret")
    checkout = await open_source(Source(repository=str(repo.path)), workdir)
    assert ((checkout / "api/main.py").read_text(), (checkout / "api/new.py").read_text()) == ("changed", "new")
    assert not (checkout / ".env").exists()
    version = await read_version(checkout)
    assert version == await read_version(repo.path)
    assert version.dirty


@pytest.mark.parametrize("versioned", [False, True], ids=["no repository", "no commit"])
async def test_a_folder_without_a_commit_is_used_where_it_is(tmp_path: Path, workdir: Path, versioned: bool) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    if versioned:
        Repo.init(folder)
    assert await open_source(Source(repository=str(folder)), workdir) == folder
    assert left_in(workdir) == []


@pytest.mark.parametrize("ref", ["v1.0.0", "HEAD~1", "feature", "<sha>"])
async def test_a_folder_with_a_ref_is_cloned_at_it(repo: Repo, workdir: Path, ref: str) -> None:
    sha = repo.head()
    repo.git("branch", "feature")
    repo.commit(**{"api/main.py": "2"})
    repo.write("api/main.py", "uncommitted")
    checkout = await open_source(Source(repository=str(repo.path), ref=ref.replace("<sha>", sha[:9])), workdir)
    assert checkout.is_relative_to(workdir)
    assert (checkout / "api/main.py").read_text() == "1"
    assert (await read_version(checkout)).version == "v1.0.0"
    assert (repo.path / "api/main.py").read_text() == "uncommitted"


async def test_a_commit_that_no_branch_holds_can_be_opened_from_a_folder(repo: Repo, workdir: Path) -> None:
    lost = repo.commit(**{"api/main.py": "lost"})
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    checkout = await open_source(Source(repository=str(repo.path), ref=lost), workdir)
    assert (checkout / "api/main.py").read_text() == "lost"


async def test_a_folder_inside_a_repository_stays_that_folder(repo: Repo, workdir: Path) -> None:
    checkout = await open_source(Source(repository=str(repo.path / "api"), ref="main"), workdir)
    assert (checkout / "main.py").read_text() == "1"
    assert checkout.name == "api"


@pytest.mark.parametrize("ref", [None, "main", "v1.0.0", "feature", "refs/pull/7/head"])
async def test_a_url_is_cloned_with_tags_and_history(repo: Repo, workdir: Path, ref: str | None) -> None:
    repo.git("branch", "feature")
    repo.git("update-ref", "refs/pull/7/head", "HEAD")
    checkout = await open_source(Source(repository=repo.path.as_uri(), ref=ref), workdir)
    assert (checkout / "api/main.py").read_text() == "1"
    assert (await read_version(checkout)).version == "v1.0.0"


async def test_a_commit_that_only_the_server_has_is_fetched_by_its_id(repo: Repo, workdir: Path) -> None:
    repo.git("config", "uploadpack.allowAnySHA1InWant", "true")
    hidden = repo.commit()
    repo.git("update-ref", "refs/hidden/x", "HEAD")
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    checkout = await open_source(Source(repository=repo.path.as_uri(), ref=hidden), workdir)
    assert (await read_version(checkout)).commit == hidden


@pytest.mark.parametrize("remote", [True, False], ids=["url", "folder"])
async def test_an_unknown_ref_is_refused_with_the_closest_and_leaves_nothing(
    repo: Repo, workdir: Path, remote: bool
) -> None:
    address = repo.path.as_uri() if remote else str(repo.path)
    with pytest.raises(SourceError, match=r"no branch, tag or commit 'v1\.0'") as raised:
        await open_source(Source(repository=address, ref="v1.0"), workdir)
    assert raised.value.remedy.startswith("did you mean 'v1.0.0'")
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
    with pytest.raises(VersionError, match="is not in a git repository"):
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
