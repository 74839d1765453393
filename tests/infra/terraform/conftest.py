"""Configurations of real terraform that need no provider but the one built in, with their state in the local cloud."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud.storage import Client

from infra.terraform.bundle import Bundle
from infra.terraform.work import Limits, Work
from tests.conftest import PROJECT

BUCKET = "terraform-states"
HEAD = 'terraform {\n  backend "gcs" {}\n}\n'

Make = Callable[..., Work]


def slow(name: str, seconds: float, then: str = "true") -> str:
    """A resource that takes so long to be made."""
    return (
        f'resource "terraform_data" "{name}" {{\n'
        f'  provisioner "local-exec" {{ command = "sleep {seconds}; {then}" }}\n}}\n'
    )


@pytest.fixture
def make(tmp_path: Path, cloud_env: dict[str, str], request: pytest.FixtureRequest) -> Make:
    """Makes a folder for terraform of what stands in a configuration."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not installed")
    if Client(project=PROJECT).lookup_bucket(BUCKET) is None:
        Client(project=PROJECT).create_bucket(BUCKET)

    def made(text: str, grace_s: float = 20.0, apply_s: float = 120.0) -> Work:
        sources = tmp_path / "sources"
        sources.mkdir(exist_ok=True)
        (sources / "main.tf").write_text(HEAD + text)
        work = Work(tmp_path / "work", Bundle(sources), Limits(apply_s=apply_s, grace_s=grace_s))
        work.prepare()
        return work

    return made


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """Of the state: another for each test."""
    return f"t{zlib.crc32(request.node.nodeid.encode()):08x}"
