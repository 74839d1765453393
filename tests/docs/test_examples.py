"""What the pages show can be typed as it stands: commands that slipway takes, and a slipway.yaml without a fault."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import yaml

from cli.main import app
from tasks.manifest.loading import parse_manifest
from tasks.manifest.manifest import Manifest
from tests.docs.test_pages import ALL_PAGES, ROOT

DIGEST = f"sha256:{64 * '0'}"
KEYS = Manifest.model_fields
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?:\$ |>\s+)?(?:eval \$\(|\w+=\S+ )*(?:\.venv/bin/)?slipway (?P<rest>.*)$", re.MULTILINE)
_UNTOLD: dict[str, Any] = {  # what a part of a slipway.yaml leaves out
    "app": "shop",
    "services": {"web": {}},
    "environments": {"production": {"project": "acme-prod", "regions": ["europe-west1"]}},
}


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Where it stands, and the text of each."""
    pages = [page for page in ALL_PAGES if page.name != "command-line.md"]  # which is made of the commands themselves
    return [
        (str(page.relative_to(ROOT)), text)
        for page in pages
        for language, text in _BLOCK.findall(page.read_text())
        if language in languages
    ]


def commands() -> list[str]:
    shown = (
        each for _, text in blocks("console", "sh", "bash") for each in _COMMAND.finditer(text.replace("\\\n", " "))
    )
    return list(dict.fromkeys(re.split(r"[|<>)]", each["rest"])[0].strip() for each in shown))


def manifests() -> list[Any]:
    said = [(page, yaml.safe_load(text.replace("sha256:…", DIGEST))) for page, text in blocks("yaml")]
    return [pytest.param(_UNTOLD | each, id=page) for page, each in said if {*each} & {*_UNTOLD} and {*each} <= {*KEYS}]


@pytest.mark.parametrize("command", commands())
def test_slipway_takes_every_command_that_a_page_shows(command: str) -> None:
    app.parse_args(shlex.split(command, comments=True), exit_on_error=False, print_error=False)


@pytest.mark.parametrize("said", manifests())
def test_every_slipway_yaml_that_a_page_shows_has_no_fault(said: Any) -> None:
    parse_manifest(yaml.safe_dump(said))
