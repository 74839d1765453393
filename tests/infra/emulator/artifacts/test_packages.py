"""Which packages a scanner sees in an image's layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.emulator.artifacts.packages import Package, packages
from infra.emulator.artifacts.scanner import before
from tests.infra.emulator.emulated_registry import layer_of

DPKG = b"""Package: zlib1g
Status: install ok installed
Source: zlib (1:1.2.13)
Version: 1:1.2.13.dfsg-1

Package: gone
Status: deinstall ok config-files
Version: 1

"""


def layers(folder: Path, *contents: dict[str, bytes]) -> list[Path]:
    paths = [folder / f"{number}.tar.gz" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(layer_of(content))
    return paths


def test_every_package_manager_leaves_its_own_trace(tmp_path: Path) -> None:
    found = packages(
        layers(
            tmp_path,
            {"var/lib/dpkg/status": DPKG, "lib/apk/db/installed": b"P:libcrypto3\nV:3.1.0-r1\no:openssl\n\n"},
            {
                "app/lib/My_Package-1.0.dist-info/METADATA": b"Name: My_Package\nVersion: 1.0\n\nName: x",
                "app/node_modules/@scope/left/package.json": b'{"name": "@scope/left", "version": "2.0.0"}',
                "app/node_modules/bad/package.json": b"no JSON",
                "app/package.json": b'{"name": "app", "version": "9"}',
            },
        )
    )
    assert found == [
        Package("Alpine", "openssl", "3.1.0-r1"),
        Package("Debian", "zlib", "1:1.2.13.dfsg-1"),
        Package("PyPI", "my-package", "1.0"),
        Package("npm", "@scope/left", "2.0.0"),
    ]


def test_what_a_later_layer_takes_away_or_replaces_is_not_there(tmp_path: Path) -> None:
    meta = "lib/a-1.dist-info/METADATA"
    first = {meta: b"Name: a\nVersion: 1\n\n", "old/b-1.dist-info/METADATA": b"Name: b\nVersion: 1\n\n"}
    second = {
        "lib/.wh.a-1.dist-info": b"",
        "old/.wh..wh..opq": b"",
        "lib/c-2.dist-info/METADATA": b"Name: c\nVersion: 2",
    }
    assert packages(layers(tmp_path, first, second)) == [Package("PyPI", "c", "2")]
    assert packages(layers(tmp_path, first, {meta: b"Name: a\nVersion: 2\n\n"})) == [
        Package("PyPI", "a", "2"), Package("PyPI", "b", "1")
    ]  # fmt: skip


@pytest.mark.parametrize(("older", "newer"), [("3.1.2", "3.1.10"), ("1:1.2.13-1", "1:1.2.13-2"), ("1.0rc1", "1.0.1")])
def test_versions_are_compared_number_by_number(older: str, newer: str) -> None:
    assert before(older, newer)
    assert not before(newer, older)
