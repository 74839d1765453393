"""Ignore files mean what gcloud and Docker mean by them.

The tables below were compared with `gcloud meta list-files-for-upload` and `buildah copy --ignorefile`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.builds.ignore import source_files
from tasks.failures.errors import SourceError

FILES = (
    *("Dockerfile", "a.log", "readme.md", "docs/node_modules/y.js", "docs/readme.md", "node_modules/a/x.js"),
    *("src/app.py", "src/b.py", "src/deep/c.py", "src/z.log", "vendor/drop.txt", "vendor/keep.txt"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def left_out(folder: Path) -> set[str]:
    return set(FILES) - set(source_files(folder))


def below(*folders: str) -> set[str]:
    return {name for name in FILES if name.startswith(folders)}


DOCKER = {
    "node_modules": below("node_modules/"),
    "**/node_modules": below("node_modules/", "docs/node_modules/"),
    "*.md\n**/*.log": {"readme.md", "a.log", "src/z.log"},
    "*\n!src/app.py": set(FILES) - {"Dockerfile", "src/app.py"},
    "*\n!src": set(FILES) - {"Dockerfile"} - below("src/"),
    "vendor/*\n!vendor/keep.txt": {"vendor/drop.txt"},
    "/docs/\n": below("docs/"),
    "docs/../vendor": below("vendor/"),
    "src/*.py\n!**/b.py": {"src/app.py"},
    "src/**\n!src/deep": {"src/app.py", "src/b.py", "src/z.log"},
    "# a comment\n\n  node_modules  ": below("node_modules/"),
    "?.log": {"a.log"},
    "[ab].log": {"a.log"},
    "./readme.md": {"readme.md"},
    "**": set(FILES) - {"Dockerfile"},
    ".": set(),
}

GCLOUD = {
    "node_modules": below("node_modules/", "docs/node_modules/"),
    "/node_modules": below("node_modules/"),
    "*.md\n*.log": {"readme.md", "docs/readme.md", "a.log", "src/z.log"},
    "*\n!src/app.py": set(FILES) - {"Dockerfile"},
    "*\n!src": set(FILES) - {"Dockerfile"} - below("src/"),
    "src/\n!src/app.py": below("src/"),
    "vendor/*\n!vendor/keep.txt": {"vendor/drop.txt"},
    "*.log\n!a.log": {"src/z.log"},
    "src/**/c.py": {"src/deep/c.py"},
    "docs/../vendor": set(),
}


@pytest.mark.parametrize(("text", "expected"), DOCKER.items(), ids=list(DOCKER))
def test_dockerignore_patterns_start_at_the_folder_and_the_last_match_decides(
    folder: Path, text: str, expected: set[str]
) -> None:
    (folder / ".dockerignore").write_text(text)
    assert left_out(folder) == expected


@pytest.mark.parametrize(("text", "expected"), GCLOUD.items(), ids=list(GCLOUD))
def test_gcloudignore_patterns_match_at_any_depth_and_nothing_comes_back_below_an_ignored_folder(
    folder: Path, text: str, expected: set[str]
) -> None:
    (folder / ".gcloudignore").write_text(text)
    assert left_out(folder) == expected


def test_without_an_ignore_file_everything_but_git_is_sent(folder: Path) -> None:
    (folder / ".git/objects").mkdir(parents=True)
    (folder / ".git/HEAD").touch()
    (folder / "vendor/.git").touch()  # as a submodule has it
    assert source_files(folder) == sorted(FILES)


def test_gcloudignore_comes_before_dockerignore_and_that_before_gitignore(folder: Path) -> None:
    (folder / ".gitignore").write_text("src\n")
    assert left_out(folder) == below("src/")
    (folder / ".dockerignore").write_text("docs\n")
    assert left_out(folder) == below("docs/")
    (folder / ".gcloudignore").write_text("vendor\n")
    assert left_out(folder) == below("vendor/")


def test_gcloudignore_includes_another_file(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.log\n#!include:nothing\n")
    (folder / ".gcloudignore").write_text("vendor\n#!include:.gitignore\n")
    assert left_out(folder) == below("vendor/") | {"a.log", "src/z.log"}


def test_an_included_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / ".gcloudignore").write_text("#!include:.gitignore\n")
    with pytest.raises(SourceError, match=r"includes \.gitignore, which does not exist there"):
        source_files(folder)


def test_a_pattern_that_cannot_be_is_refused_with_its_file(folder: Path) -> None:
    (folder / ".gcloudignore").write_text("!\n")
    with pytest.raises(SourceError, match=r"\.gcloudignore has a pattern that cannot be"):
        source_files(folder)


def test_the_dockerfile_and_dockerignore_are_always_sent(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n")
    assert source_files(folder) == [".dockerignore", "Dockerfile"]
    (folder / "vendor/Dockerfile.dev").touch()
    assert source_files(folder, "vendor/Dockerfile.dev") == [".dockerignore", "vendor/Dockerfile.dev"]


def test_a_link_to_a_folder_is_a_link_and_not_looked_into(folder: Path) -> None:
    (folder / "linked").symlink_to("src")
    assert [name for name in source_files(folder) if name.startswith("linked")] == ["linked"]
    (folder / ".dockerignore").write_text("linked\n")
    assert "linked" not in source_files(folder)


def test_the_order_is_that_of_bytes_in_every_locale(tmp_path: Path) -> None:
    for name in ("b", "B", "a-b", "a/b", "ä"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert source_files(tmp_path) == ["B", "a-b", "a/b", "b", "ä"]
