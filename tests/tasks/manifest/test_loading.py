"""slipway.yaml as a file: missing, unreadable, no manifest at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.manifest.loading import load_manifest, parse_manifest
from tests.tasks.manifests import SMALL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "slipway.yaml is empty."),
        ("# nothing\n", "slipway.yaml is empty."),
        ("{}", "slipway.yaml is empty."),
        ("app: [", "slipway.yaml:1:7: not valid YAML"),
        ("app: a\n\tservices: b", "slipway.yaml:2:1: not valid YAML: found character '\\t'"),
        ("a: 1\n---\nb: 2", "slipway.yaml:2:1: not valid YAML"),
        ("a: *b", "slipway.yaml:1:4: not valid YAML: found undefined alias"),
        ("a: \0", "slipway.yaml: not valid YAML"),
        ("a: !!python/object:os.system {}", "slipway.yaml:1:4: not valid YAML"),
        ("a: !!timestamp 2026-99-99", "slipway.yaml: not valid YAML"),
        ("[" * 5000, "slipway.yaml: not valid YAML"),
        ("- app", "must be a mapping of keys to values"),
        ("just text", "must be a mapping of keys to values"),
        ("app: shop", "slipway.yaml:1: environments: is missing"),
        ("1: 2", "slipway.yaml:1: 1: unknown key"),
        ("'<other>': 2", "slipway.yaml:1: <other>: unknown key"),
        ("'[key]': 2", "slipway.yaml:1: [key]: unknown key"),
    ],
)
def test_a_text_that_is_no_manifest_is_refused(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as raised:
        parse_manifest(text)
    assert said in raised.value.problem
    assert raised.value.remedy


def test_a_missing_file_is_answered_with_an_example_that_works(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"slipway\.yaml cannot be read: No such file") as raised:
        load_manifest(tmp_path)
    assert raised.value.cause is Cause.NOT_FOUND
    example = raised.value.remedy.split("\n", 1)[1]
    assert parse_manifest(example).app == "shop"


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "slipway.yaml"
    path.write_bytes(b"app: shop\n# caf\xe9\n")
    with pytest.raises(ManifestError, match=r"slipway\.yaml:2: not UTF-8\."):
        load_manifest(path)


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "slipway.yaml").write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_manifest(tmp_path).app == "shop"


def test_a_file_is_called_by_its_own_name_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text("app: shop\n")
    with pytest.raises(ManifestError, match=r"other\.yaml:1: environments: is missing"):
        load_manifest(path)
