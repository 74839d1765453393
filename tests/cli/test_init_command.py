"""`slipway init` as a process: what it writes, and that it never writes over anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import refusal, slipway


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop" / "web").mkdir(parents=True)
    (tmp_path / "shop" / "web" / "Dockerfile").write_text("FROM scratch\nEXPOSE 3000\n")
    return tmp_path / "shop"


def test_what_it_writes_is_right_at_once(shop: Path) -> None:
    done = slipway("init", "--project=acme-staging", "--region=europe-west6", cwd=shop)
    assert (done.returncode, done.stderr) == (0, "")
    assert "slipway.yaml describes web." in done.stdout
    text = (shop / "slipway.yaml").read_text()
    assert "app: shop\n" in text
    assert "  web:\n    source: web\n    port: 3000\n" in text
    assert "project: acme-staging\n" in text
    assert slipway("check", cwd=shop).returncode == 0


def test_what_is_there_is_never_written_over(shop: Path) -> None:
    (shop / "slipway.yaml").write_text("mine")
    said = refusal(slipway("init", cwd=shop))
    assert "is there already" in said
    assert "--output -" in said
    assert (shop / "slipway.yaml").read_text() == "mine"
    printed = slipway("init", "--output", "-", cwd=shop)
    assert printed.returncode == 0
    assert slipway("check", "--file", "-", cwd=shop, text=printed.stdout).returncode == 0
    assert (shop / "slipway.yaml").read_text() == "mine"


def test_a_folder_with_nothing_to_ship_is_refused(tmp_path: Path) -> None:
    assert "no Dockerfile" in refusal(slipway("init", cwd=tmp_path))
    assert "is not a folder" in refusal(slipway("init", "--folder=nowhere", cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(shop: Path) -> None:
    assert "cannot be written" in refusal(slipway("init", "--output=nowhere/slipway.yaml", cwd=shop))
