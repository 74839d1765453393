"""The gateway's OpenAPI file is checked before a cloud is asked, and the services' URLs are filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.failures.errors import ManifestError
from tasks.manifest.openapi import filled, read_openapi, services_in, trouble

GOOD = """\
swagger: '2.0'
info: {title: shop, version: '1'}
paths: {/: {get: {x-google-backend: {address: '${WEB_URL}'}}}}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD, ""),
        ("openapi: 3.0.4\npaths: {/: {}}", ""),
        ("swagger: '1.2'\npaths: {/: {}}", "says swagger: 1.2"),
        ("title: x", "says neither swagger"),
        ("swagger: '2.0'", "has no paths"),
        ("- 1", "is no OpenAPI document"),
        ("a: [", "is neither YAML nor JSON (line 1"),
    ],
)
def test_what_is_wrong_with_a_file(text: str, said: str) -> None:
    assert trouble(text) == said if not said else said in trouble(text)


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"api\.yaml is not there"):
        read_openapi(tmp_path, "api.yaml")


def test_urls_are_filled_in_and_a_misspelt_one_is_told() -> None:
    assert services_in(GOOD, {"web": 1, "price-list": 2}) == {"WEB_URL": "web"}
    assert b"address: 'https://web.run.app'" in filled(GOOD, {"WEB_URL": "https://web.run.app"})
    with pytest.raises(ManifestError, match="WEBB_URL") as refused:
        services_in(GOOD.replace("WEB_URL", "WEBB_URL"), {"web": 1})
    assert "${WEB_URL}" in str(refused.value)
