"""What ships is the commit, whole and only that, whatever kind of clone it is opened from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.builds.archive import pack
from tasks.failures.errors import SlipwayError, SourceError, VersionError
from tasks.source.source import Source, open_source
from tasks.source.version import read_version
from tests.tasks.repos import Repo, run_git

NAMES = ("a", "b.txt", "c/d.txt", "c/e f", "c/.gitignore", ".gitignore", ".gitattributes", ".dockerignore")
TEXTS = (
    "x\n", "x\r\ny\n", "", "$Id$\n", "\ufeffa\n", "*\n", "* text=auto\n", "* text eol=crlf\n", "*.txt ident\n",
    "c\n!c/*.txt\n",
)  # fmt: skip


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    repo = Repo.init(tmp_path / "repo")
    repo.commit(**{"web/main.py": "1", "slipway.yaml": "app: shop"})
    repo.git("config", "uploadpack.allowFilter", "true")
    return repo


async def opened(repository: Path | str, workdir: Path, ref: str | None = None, folder: str | None = None) -> Path:
    return await open_source(Source(repository=str(repository), ref=ref, folder=folder), workdir)


def files(checkout: Path) -> dict[str, str]:
    return {
        path.relative_to(checkout).as_posix(): path.read_text()
        for path in checkout.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(checkout).parts
    }


# ---- the same content however it is shipped ------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(
    contents=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TEXTS), min_size=1),
    executable=st.sampled_from(NAMES),
    autocrlf=st.sampled_from(["false", "input", "true"]),
)
async def test_a_commit_gives_the_same_content_from_a_folder_a_clone_and_a_url(
    contents: Mapping[str, str], executable: str, autocrlf: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        repo = Repo.init(place / "repo")
        repo.git("config", "core.autocrlf", autocrlf)
        repo.git("config", "uploadpack.allowFilter", "true")
        for name, text in {"web/Dockerfile": "FROM scratch\n", **contents}.items():
            path = repo.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
            path.chmod(0o755 if name == executable else 0o644)
        repo.git("add", "--all", "--force")
        repo.git("commit", "--quiet", "--message=all")
        ways: dict[str, tuple[Path | str, str | None]] = {
            "folder": (repo.path, None),
            "folder with a ref": (repo.path, "main"),
            "url": (repo.path.as_uri(), None),
            "clone": (Repo.clone(repo.path, place / "clone").path, None),
            "partial clone": (Repo.clone(repo.path, place / "partial", "--filter=blob:none").path, "main"),
        }
        found = {way: await _digest(*where, place / "work", place / "out") for way, where in ways.items()}
    assert len(set(found.values())) == 1, found


async def _digest(repository: Path | str, ref: str | None, workdir: Path, out: Path) -> str:
    try:
        return pack(await opened(repository, workdir, ref), out).sha256
    except SlipwayError as error:
        return type(error).__name__


async def test_what_is_tracked_is_shipped_although_gitignore_names_it(repo: Repo, tmp_path: Path) -> None:
    repo.write("web/dist/index.html", "built")
    repo.write("web/.gitignore", "dist/\n")
    repo.git("add", "--force", "web/dist/index.html")
    repo.commit(**{"web/.env.example": ""})
    repo.write("web/dist/later.html", "built later")
    for number, where in enumerate((str(repo.path), repo.path.as_uri())):
        checkout = await opened(where, tmp_path / f"{number}")
        assert files(checkout / "web").keys() == {"main.py", ".gitignore", ".env.example", "dist/index.html"}


async def test_a_fresh_clone_that_is_dirty_at_once_is_refused_with_its_files(repo: Repo, tmp_path: Path) -> None:
    (repo.path / "web/notes.txt").write_bytes(b"one\r\ntwo\r\n")
    repo.commit(**{"web/main.py": "2"})
    repo.write(".gitattributes", "*.txt text\n")
    repo.git("add", ".gitattributes")
    repo.git("commit", "--quiet", "--message=attributes")
    for where in (repo.path, repo.path.as_uri()):
        with pytest.raises(SourceError, match=r"differs from the commit at once, in web/notes\.txt") as raised:
            await opened(where, tmp_path / "work", "main")
        assert "git add --renormalize ." in raised.value.remedy


async def test_what_this_machine_sets_for_git_changes_nothing_of_what_is_shipped(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repo.path / "web/link").symlink_to("main.py")
    repo.commit(**{"web/other.py": "1"})
    hook = tmp_path / "hooks/post-checkout"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\ntouch web/by-a-hook\n")
    hook.chmod(0o755)
    own = tmp_path / "gitconfig"
    own.write_text(
        f"[core]\nsymlinks = false\nhooksPath = {hook.parent}\nsparseCheckout = true\n[clone]\ndefaultRemoteName = up\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own))
    for number, where in enumerate((str(repo.path), repo.path.as_uri())):
        web = await opened(where, tmp_path / f"{number}", "main") / "web"
        assert (web / "link").is_symlink()
        assert sorted(path.name for path in web.iterdir()) == ["link", "main.py", "other.py"]


async def test_a_work_tree_in_the_middle_of_a_merge_is_not_shipped(repo: Repo, tmp_path: Path) -> None:
    repo.git("switch", "--quiet", "--create", "side")
    repo.commit(**{"web/main.py": "side"})
    repo.git("switch", "--quiet", "main")
    repo.commit(**{"web/main.py": "main"})
    with pytest.raises(AssertionError):
        repo.git("merge", "--quiet", "side")
    assert "<<<<<<<" in (repo.path / "web/main.py").read_text()
    with pytest.raises(VersionError, match=r"conflicts of a merge in web/main\.py") as raised:
        await opened(repo.path, tmp_path / "work")
    assert "git merge --abort" in raised.value.remedy
    assert files(await opened(repo.path, tmp_path / "work", "main"))["web/main.py"] == "main"


# ---- clones that lack something ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
async def test_a_partial_clone_fetches_what_the_commit_needs(repo: Repo, tmp_path: Path, kind: str) -> None:
    repo.commit(**{"web/data.txt": "second"})
    repo.tag("v1.1.0")
    repo.commit(**{"web/data.txt": "third"})
    clone = Repo.clone(repo.path, tmp_path / "clone", f"--filter={kind}")
    checkout = await opened(clone.path, tmp_path / "work", "v1.1.0")
    assert files(checkout) == {"web/main.py": "1", "slipway.yaml": "app: shop", "web/data.txt": "second"}
    assert (await read_version(checkout)).version == "v1.1.0"


async def test_a_partial_clone_that_cannot_fetch_is_refused_as_one(repo: Repo, tmp_path: Path) -> None:
    repo.tag("v1.0.0")
    repo.commit(**{"web/main.py": "2"})
    clone = Repo.clone(repo.path, tmp_path / "clone", "--filter=blob:none")
    repo.path.rename(tmp_path / "gone")
    with pytest.raises(SourceError, match=r"is a partial clone, and the files of .* could not be fetched") as raised:
        await opened(clone.path, tmp_path / "work", "v1.0.0")
    assert "without --filter" in raised.value.remedy


async def test_a_sparse_checkout_ships_the_whole_commit(repo: Repo, tmp_path: Path) -> None:
    repo.commit(**{"api/main.py": "1", "docs/index.md": ""})
    repo.git("sparse-checkout", "set", "web")
    assert not (repo.path / "api").exists()
    checkout = await opened(repo.path, tmp_path / "work")
    assert files(checkout).keys() == {"slipway.yaml", "web/main.py", "api/main.py", "docs/index.md"}
    assert not (await read_version(checkout)).dirty


async def test_changes_in_a_sparse_checkout_come_on_top_of_the_whole_commit(repo: Repo, tmp_path: Path) -> None:
    repo.commit(**{"api/main.py": "1"})
    repo.git("sparse-checkout", "set", "web")
    repo.write("web/main.py", "changed")
    checkout = await opened(repo.path, tmp_path / "work")
    assert files(checkout) == {"slipway.yaml": "app: shop", "web/main.py": "changed", "api/main.py": "1"}
    assert (await read_version(checkout)).dirty


async def test_a_linked_work_tree_is_a_repository_like_any_other(repo: Repo, tmp_path: Path) -> None:
    repo.tag("v1.0.0")
    repo.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    checkout = await opened(tmp_path / "linked", tmp_path / "work")
    assert (await read_version(checkout)).version == "v1.0.0"


# ---- which commit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", [True, False], ids=["url", "folder"])
async def test_a_name_that_is_a_tag_and_a_branch_is_not_guessed(repo: Repo, tmp_path: Path, remote: bool) -> None:
    where = repo.path.as_uri() if remote else str(repo.path)
    repo.annotated_tag("stable")
    repo.git("branch", "stable")
    await opened(where, tmp_path / "work", "stable")
    repo.git("switch", "--quiet", "stable")
    repo.commit(**{"web/main.py": "branch"})
    with pytest.raises(SourceError, match=r"stable is a tag .* and a branch .*, and they are different") as raised:
        await opened(where, tmp_path / "work", "stable")
    assert "refs/tags/stable or refs/heads/stable" in raised.value.remedy
    for ref, content in (("refs/tags/stable", "1"), ("refs/heads/stable", "branch")):
        assert (await opened(where, tmp_path / "work", ref) / "web/main.py").read_text() == content


async def test_a_branch_is_found_by_its_name_whatever_else_git_knows_by_it(repo: Repo, tmp_path: Path) -> None:
    """`origin` is the remote's default branch too, `abc1234` another commit, and those come first in a clone."""
    first = repo.git("rev-parse", "HEAD").strip()
    repo.commit(**{"web/main.py": "main"})
    for name in ("origin", first[:8]):
        repo.git("switch", "--quiet", "--create", name, "main")
        repo.commit(**{"web/main.py": name})
        repo.git("switch", "--quiet", "main")
    for number, where in enumerate((str(repo.path), repo.path.as_uri())):
        for ref, content in {"origin": "origin", first[:8]: first[:8], "origin~1": "main", first: "1"}.items():
            checkout = await opened(where, tmp_path / f"{number}", ref)
            assert (checkout / "web/main.py").read_text() == content, (where, ref)


async def test_the_url_of_a_shallow_clone_is_refused_as_one(repo: Repo, tmp_path: Path) -> None:
    repo.commit(**{"web/main.py": "2"})
    shallow = Repo.clone(repo.path, tmp_path / "shallow", "--depth=1")
    with pytest.raises(SourceError, match="is a shallow clone itself") as raised:
        await opened(shallow.path.as_uri(), tmp_path / "work")
    assert "git fetch --unshallow --tags" in raised.value.remedy


# ---- which folder --------------------------------------------------------------------------------------------------


async def test_an_app_below_the_root_is_opened_in_its_folder(repo: Repo, tmp_path: Path) -> None:
    repo.commit(**{"apps/shop/slipway.yaml": "app: below", "apps/shop/web/main.py": "2"})
    repo.tag("v1.1.0")
    for number, where in enumerate((str(repo.path), repo.path.as_uri())):
        checkout = await opened(where, tmp_path / f"{number}", folder="apps/shop")
        assert files(checkout) == {"slipway.yaml": "app: below", "web/main.py": "2"}
        assert (await read_version(checkout)).version == "v1.1.0"


async def test_a_folder_that_is_not_there_is_answered_with_those_that_have_a_manifest(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit(**{"apps/shop/slipway.yaml": ""})
    (repo.path / "out").symlink_to("/etc")
    repo.commit(**{"apps/blog/slipway.yaml": ""})
    for folder in ("apps/shp", "out"):
        with pytest.raises(SourceError, match=f"the folder {folder} is not in") as raised:
            await opened(repo.path.as_uri(), tmp_path / "work", folder=folder)
        assert "has slipway.yaml, apps/blog/slipway.yaml, apps/shop/slipway.yaml." in raised.value.remedy


async def test_a_folder_that_git_ignores_is_not_shipped(repo: Repo, tmp_path: Path) -> None:
    repo.commit(**{".gitignore": "build/"})
    repo.write("build/slipway.yaml", "app: shop")
    with pytest.raises(SourceError, match="build is not in what git has of its repository"):
        await opened(repo.path / "build", tmp_path / "work")


# ---- whose folder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["folder", "folder with a ref", "url"])
async def test_a_folder_of_somebody_else_is_answered_with_how_to_trust_it(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    where = repo.path.as_uri() if way == "url" else str(repo.path)
    ref = None if way == "folder" else "main"
    with pytest.raises(SlipwayError, match="another user owns it") as raised:
        await opened(where, tmp_path / "work", ref)
    command = raised.value.remedy.split("`")[1]
    assert command.startswith(f"git config --global --add safe.directory {repo.path}")
    run_git(tmp_path, *command.split()[1:], GIT_CONFIG_GLOBAL=str(tmp_path / "gitconfig"))
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    assert files(await opened(where, tmp_path / "work", ref))["web/main.py"] == "1"
