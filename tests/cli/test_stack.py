"""The local stack's addresses."""

from __future__ import annotations

import socket
from pathlib import Path

from cli.stack import USUAL, alone, usual_port
from tests.tasks.repos import Repo


def test_a_folders_stack_has_the_same_port_at_every_start_unless_somebody_has_it(tmp_path: Path) -> None:
    folder = next(each for each in (tmp_path / str(number) for number in range(20)) if usual_port(each) in USUAL)
    port = usual_port(folder)
    assert usual_port(folder) == port
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", port))
        somebody.listen()
        assert usual_port(folder) != port


def test_folders_do_not_share_a_port(tmp_path: Path) -> None:
    assert len({usual_port(tmp_path / str(number)) for number in range(20)}) > 15


def test_git_sees_nothing_of_a_stack_in_its_repository(tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "shop")
    repo.commit(Dockerfile="FROM scratch\n")
    with alone(repo.path / ".slipway"):
        (repo.path / ".slipway" / "key").touch()
        assert repo.git("status", "--porcelain") == ""
