"""Files of variables, as gcloud's --env-vars-file takes them, and what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.loading import parse_manifest
from tasks.manifest.variables import read_variables, with_env_files
from tests.tasks.manifests import SMALL

DOTENV = """\
# what the shop is told
export LEVEL=info
TITLE="The shop \\"A\\""
RAW='$HOME is no variable here'
EMPTY=
"""


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "a.yaml",
            "LEVEL: info\nSIZE: 10\nRATE: 1.10\nON: on\nAT: 10:30\n",
            "LEVEL=info SIZE=10 RATE=1.10 ON=on AT=10:30",
        ),
        ("a.json", json.dumps({"LEVEL": "info"}), "LEVEL=info"),
        ("a.yaml", "", ""),
    ],
)
def test_values_are_taken_as_they_are_written(tmp_path: Path, name: str, text: str, found: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_variables(tmp_path / name, name) == dict(each.split("=", 1) for each in found.split())


def test_a_dotenv_file_is_told_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/of/the/worker")
    (tmp_path / ".env").write_text(DOTENV)
    assert read_variables(tmp_path / ".env", "web/.env") == {
        "LEVEL": "info",
        "TITLE": 'The shop "A"',
        "RAW": "$HOME is no variable here",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "A: true", "a.yaml:1: A: must be text; put it in quotes"),
        ("a.yaml", "A: x\nB: {c: d}", "a.yaml:2: B: must be text"),
        ("a.yaml", "A: x\nA: y", "a.yaml:2: A: this key stands here twice"),
        ("a.yaml", "- A", "a.yaml: must be a mapping"),
        ("a.yaml", "A: [", "a.yaml:"),
        ("a.yaml", "K_SERVICE: x", "a.yaml: K_SERVICE: is set by Cloud Run itself"),
        ("a.env", "A", "a.env: A: has no value"),
        ("a.env", "A=${HOME}/x", "a.env: A: has ${…} in it"),
        ("missing.yaml", None, "missing.yaml cannot be read: No such file"),
    ],
)
def test_what_is_refused_names_the_file(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ManifestError) as raised:
        read_variables(tmp_path / name, name)
    assert raised.value.problem.startswith(said)
    assert raised.value.remedy


def test_what_slipway_yaml_says_itself_wins_and_an_environment_has_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text("A: file\nB: file\n")
    (tmp_path / "staging.yaml").write_text("B: staging\nC: staging\n")
    text = SMALL.replace("  web:\n", "  web: {env_file: all.yaml, env: {A: said}}\n").replace(
        "[europe-west1]}", "[europe-west1], services: {web: {env_file: staging.yaml, env: {C: said}}}}"
    )
    manifest = with_env_files(parse_manifest(text), tmp_path)
    assert manifest.service_in("staging", "web").env == {"A": "said", "B": "staging", "C": "said"}
    assert "file" not in json.dumps(manifest.without_values()).replace("env_file", "")


def test_a_variable_of_the_file_has_no_second_source(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("KEY: x\n")
    manifest = parse_manifest(SMALL.replace("  web:\n", "  web: {env_file: a.yaml, secrets: {KEY: key}}\n"))
    with pytest.raises(ManifestError, match=r"services\.web\.secrets\.KEY: KEY is in env too"):
        with_env_files(manifest, tmp_path)


def test_a_file_outside_of_the_repository_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "repository", tmp_path / "a.yaml"
    inside.mkdir()
    outside.write_text("A: x\n")
    (inside / "a.yaml").symlink_to(outside)
    with pytest.raises(ManifestError, match=r"services\.web\.env_file: a\.yaml leads out of the repository"):
        with_env_files(parse_manifest(SMALL.replace("  web:\n", "  web: {env_file: a.yaml}\n")), inside)
