"""The build context leaves out what Docker's does.

tests/data/dockerignore.json was compared with what `docker build` sends of a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.emulator.builds.context import load

DOCKER = json.loads((Path(__file__).parents[3] / "data/dockerignore.json").read_text())


@pytest.mark.parametrize("case", DOCKER["cases"], ids=lambda case: case["ignore"])
def test_dockerignore_leaves_out_what_docker_leaves_out(tmp_path: Path, case: dict[str, Any]) -> None:
    for name in DOCKER["files"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".dockerignore").write_text(case["ignore"])
    left_out = set(DOCKER["files"]) - set(load(tmp_path).paths)
    assert left_out == set(case["left_out"]), case["says"]


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
def test_a_dockerignore_that_notepad_has_saved_keeps_secrets_out_of_the_image(tmp_path: Path, name: str) -> None:
    """With a byte order mark, which Docker skips: https://github.com/moby/moby/pull/23221."""
    for file in (".env", "id.pem", "server.py"):
        (tmp_path / file).touch()
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf.env\r\n*.pem\r\n")
    assert set(load(tmp_path).paths) == {name, "server.py"}


def test_a_comment_after_a_byte_order_mark_is_one(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / ".dockerignore").write_bytes(b"\xef\xbb\xbf# a\r\n#!a\n")
    assert "a" in load(tmp_path).paths
