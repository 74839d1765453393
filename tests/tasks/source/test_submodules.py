"""Submodules are filled at the commit that is named, from the folder that has them or from their address."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasks.builds.archive import pack
from tasks.source.source import Source, open_source
from tasks.source.submodules import address, fetch_submodules
from tasks.source.version import read_version
from tests.tasks.repos import Repo, run_git

FILE = ("-c", "protocol.file.allow=always")


@pytest.fixture
def app(tmp_path: Path) -> Repo:
    """An app with the submodule web/lib, which has a submodule of its own."""
    deep, lib, app = (Repo.init(tmp_path / name) for name in ("deep", "lib", "app"))
    deep.commit(**{"deep.py": "1"})
    lib.commit(**{"shared.py": "1"})
    lib.git(*FILE, "submodule", "--quiet", "add", "../deep", "deep")
    lib.commit()
    app.commit(**{"web/main.py": "1", "docs/index.md": ""})
    app.git(*FILE, "submodule", "--quiet", "add", "../lib", "web/lib")
    app.commit()
    app.git(*FILE, "submodule", "--quiet", "update", "--init", "--recursive")
    return app


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose git follows paths in .gitmodules: the only addresses there are in a test."""
    config = tmp_path / "gitconfig"
    run_git(tmp_path, "config", "--file", str(config), "protocol.file.allow", "always")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))


async def opened(repository: str, workdir: Path, ref: str | None = None) -> Path:
    return await open_source(Source(repository=repository, ref=ref), workdir)


@pytest.mark.usefixtures("trusting")
async def test_the_same_submodules_come_from_a_folder_and_from_a_url(app: Repo, tmp_path: Path) -> None:
    digests = set()
    for number, (where, ref) in enumerate(
        [(str(app.path), None), (str(app.path), "main"), (app.path.as_uri(), None), (app.path.as_uri(), "main")]
    ):
        checkout = await opened(where, tmp_path / f"{number}", ref)
        assert await fetch_submodules(checkout, ["web"]) == {}
        assert (checkout / "web/lib/deep/deep.py").read_text() == "1"
        digests.add(pack(checkout / "web", tmp_path / "out").sha256)
    assert len(digests) == 1


async def test_a_submodule_is_there_at_once_and_whole_or_not_at_all(app: Repo, tmp_path: Path) -> None:
    """Whoever reads the version meanwhile would take half a submodule for a change in the work tree."""
    checkout = await opened(str(app.path), tmp_path / "work", "main")
    lib = checkout / "web/lib"
    coming = asyncio.create_task(fetch_submodules(checkout, ["web"]))
    for _ in iter((lib / ".git").exists, True):
        await asyncio.sleep(0)
    assert (lib / "shared.py").exists()
    assert (lib / "deep/deep.py").exists()
    assert await coming == {}
    assert not (await read_version(checkout)).dirty


async def test_a_folder_gives_its_submodules_without_the_network(app: Repo, tmp_path: Path) -> None:
    for name in ("lib", "deep"):
        (tmp_path / name).rename(tmp_path / f"gone-{name}")
    checkout = await opened(str(app.path), tmp_path / "work")
    assert await fetch_submodules(checkout, ["web"]) == {}
    assert (checkout / "web/lib/shared.py").read_text() == "1"


async def test_a_commit_that_the_folders_submodule_is_not_at_is_taken_all_the_same(app: Repo, tmp_path: Path) -> None:
    before = app.head()
    lib = Repo(app.path / "web/lib")
    lib.commit(**{"shared.py": "2"})
    app.commit()
    checkout = await opened(str(app.path), tmp_path / "work", before)
    assert await fetch_submodules(checkout, ["web"]) == {}
    assert (checkout / "web/lib/shared.py").read_text() == "1"


async def test_only_what_is_wanted_is_fetched(app: Repo, tmp_path: Path) -> None:
    checkout = await opened(str(app.path), tmp_path / "work")
    await fetch_submodules(checkout, ["docs"])
    assert list((checkout / "web/lib").iterdir()) == []
    await fetch_submodules(checkout / "web", ["lib"])
    assert (checkout / "web/lib/shared.py").exists()


async def test_a_repository_cannot_name_a_folder_of_the_machine(app: Repo, tmp_path: Path) -> None:
    checkout = await opened(app.path.as_uri(), tmp_path / "work")
    (error,) = (await fetch_submodules(checkout, ["web"])).values()
    assert "transport 'file' not allowed" in error.problem
    assert "https:// or ssh:// address in .gitmodules" in error.remedy
    assert list((checkout / "web/lib").iterdir()) == []


async def test_a_repository_without_an_address_is_named(tmp_path: Path) -> None:
    app = Repo.init(tmp_path / "app")
    Repo.init(app.path / "web/lib").commit()
    app.git("-c", "advice.addEmbeddedRepo=false", "add", "web/lib")
    app.commit()
    checkout = await opened(app.path.as_uri(), tmp_path / "work")
    (error,) = (await fetch_submodules(checkout, ["."])).values()
    assert "web/lib is a repository of its own, and .gitmodules does not say" in error.problem


@pytest.mark.parametrize(
    ("url", "origin", "meant"),
    [
        ("https://h/lib.git", "https://x/app.git", "https://h/lib.git"),
        ("../lib.git", "https://h/acme/app.git", "https://h/acme/lib.git"),
        ("../../other/lib", "https://h/acme/app.git/", "https://h/other/lib"),
        ("../lib.git", "git@h:acme/app.git", "git@h:acme/lib.git"),
        ("../lib.git", "git@h:app.git", "git@h:lib.git"),
        ("./lib", "/srv/app", "/srv/app/lib"),
    ],
)
def test_an_address_may_be_relative_to_that_of_the_repository_around(url: str, origin: str, meant: str) -> None:
    assert address(url, origin) == meant
