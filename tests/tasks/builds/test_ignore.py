"""Ignore files mean what gcloud and Docker mean by them.

The table below was compared with `gcloud meta list-files-for-upload`, tests/data/dockerignore.json with what
`docker build` sends of a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.builds.ignore import own_file, source_files
from tasks.failures.errors import SourceError

DOCKER = json.loads((Path(__file__).parents[2] / "data/dockerignore.json").read_text())
FILES = ("Dockerfile", *DOCKER["files"])


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


@pytest.mark.parametrize("case", DOCKER["cases"], ids=lambda case: case["ignore"])
def test_dockerignore_patterns_start_at_the_folder_and_the_last_match_decides(
    folder: Path, case: dict[str, Any]
) -> None:
    (folder / ".dockerignore").write_text(case["ignore"])
    assert left_out(folder) == set(case["left_out"]), case["says"]


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


def test_gcloudignore_comes_before_the_dockerfiles_own_and_that_before_dockerignore(folder: Path) -> None:
    (folder / ".dockerignore").write_text("docs\n")
    assert left_out(folder) == below("docs/")
    (folder / "Dockerfile.dockerignore").write_text("src\n")
    assert left_out(folder) == below("src/")
    (folder / ".gcloudignore").write_text("vendor\n")
    assert left_out(folder) == below("vendor/")


def test_gitignore_has_no_say(folder: Path) -> None:
    (folder / ".gitignore").write_text("src\n")
    assert left_out(folder) == set()


@pytest.mark.parametrize("ignore_file", [".dockerignore", ".gcloudignore"])
@pytest.mark.parametrize("text", ["\ufeffvendor\nsrc\n", "vendor\r\nsrc\r\n", "\ufeffvendor\r\n!no\r\nsrc"])
def test_marks_and_line_ends_of_windows_are_no_part_of_a_pattern(folder: Path, ignore_file: str, text: str) -> None:
    (folder / ignore_file).write_bytes(text.encode())
    assert left_out(folder) == below("vendor/", "src/")


def test_a_dockerignore_that_notepad_has_saved_keeps_secrets_out_of_the_upload(folder: Path) -> None:
    for name in (".env", "id.pem"):
        (folder / name).touch()
    (folder / ".dockerignore").write_bytes(b"\xef\xbb\xbf.env\r\n*.pem\r\n")
    assert not {".env", "id.pem"} & set(source_files(folder))


def test_only_a_line_feed_ends_a_pattern(folder: Path) -> None:
    (folder / "a\x0bb").touch()
    (folder / ".gcloudignore").write_text("a\x0bb\n")
    assert {"a.log", "a\x0bb"} & set(source_files(folder)) == {"a.log"}


def test_an_ignore_file_outside_of_the_folder_is_not_read(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "rules"
    outside.write_text("src\n")
    (folder / ".dockerignore").symlink_to(outside)
    assert left_out(folder) == set()


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


class TestSlipwaysOwnFile:
    @pytest.fixture
    def app(self, folder: Path) -> Path:
        for name in ("slipway.yaml", "src/slipway.yaml"):
            (folder / name).touch()
        return folder

    @pytest.mark.parametrize(
        ("name", "text", "sent"),
        [
            ("", "", False),
            (".dockerignore", "*.log", False),
            (".gcloudignore", "*.log", False),
            (".dockerignore", "!slipway.yaml", True),
            (".gcloudignore", "*.log\n!slipway.yaml", True),
            (".dockerignore", "!slipway.yaml\nslipway.yaml", False),
        ],
    )
    def test_what_is_said_to_slipway_is_no_part_of_the_image_unless_the_ignore_file_says_so(
        self, app: Path, name: str, text: str, sent: bool
    ) -> None:
        if name:
            (app / name).write_text(text)
        found = source_files(app, own=own_file(app, app))
        assert ("slipway.yaml" in found) is sent
        assert "src/slipway.yaml" in found  # another app's

    def test_an_image_that_is_to_have_it_gets_it(self, app: Path) -> None:
        (app / "Dockerfile").write_text("FROM scratch\nCOPY app.py slipway.yaml /app/\n")
        assert "slipway.yaml" in source_files(app, own=own_file(app, app))

    def test_where_it_lies_is_told_from_the_source_folder(self, app: Path) -> None:
        assert own_file(app, app / "src" / "..") == "slipway.yaml"
        assert own_file(app, app / "src") == ""
        assert own_file(app / "src", app) == "src/slipway.yaml"


def test_nothing_else_is_left_out_where_there_is_no_ignore_file(folder: Path) -> None:
    assert set(FILES) <= set(source_files(folder, own="slipway.yaml"))
