"""Where commands find the local stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.local import FOLDER, announced, local_stack_variables


def test_word_of_a_stack_leads_there_while_it_runs_wherever_its_state_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir()
    with announced(FOLDER.absolute(), tmp_path / "elsewhere", {"PREFECT_API_URL": "http://127.0.0.1:1/api"}):
        assert local_stack_variables() == {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
        assert (FOLDER / "up.json").stat().st_mode & 0o077 == 0
    assert local_stack_variables() == {}
