"""A failure at a glance."""

from __future__ import annotations

from tasks.failures.errors import SourceError
from tasks.names.tags import REGISTERED, tags_of, told_by
from tasks.orchestration.shown import page


def test_a_failure_is_a_page_with_what_is_wrong_and_what_to_do() -> None:
    error = SourceError("There is no repository.\nfatal: not found", "clone it first.", link="https://example.com/why")
    assert page("shop v1.4.0 -> production", error) == (
        "# shop v1.4.0 -> production: failed\n\nThere is no repository.\n\n```text\nfatal: not found\n```\n\n"
        "## To fix\n\nclone it first.\n\n[More about it](https://example.com/why)\n\n*Nothing was changed.*"
    )


def test_tags_tell_app_and_environment() -> None:
    assert told_by(["slipway", *tags_of("shop", "production"), REGISTERED]) == ["shop", "production"]
    assert told_by(tags_of("shop")) == ["shop"]
    assert told_by(["slipway", "deploy"]) == []
