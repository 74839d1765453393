"""An environment that was released to does not vanish with its lines in slipway.yaml."""

from __future__ import annotations

import pytest

from tasks.cleanup.known import Known, known_of, refusal, vanished
from tasks.manifest.loading import parse_manifest
from tests.tasks.builders import MANIFEST

BOTH = parse_manifest(MANIFEST)
STAGING = MANIFEST.partition("  production:")[0]


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        (MANIFEST, []),
        (STAGING, ["production"]),
        (f"{STAGING}retention: {{forget: [production]}}", []),
        (f"{STAGING}retention: {{forget: [acme-prod]}}", []),
        (f"{STAGING}retention: {{forget: [canada]}}", ["production"]),
        (MANIFEST.replace("acme-staging", "acme-new"), ["staging"]),
    ],
    ids=["all there", "left out", "forgotten", "project forgotten", "another forgotten", "moved to another project"],
)
def test_what_slipway_yaml_lacks_has_vanished_unless_it_may_be_forgotten(text: str, lacking: list[str]) -> None:
    found = vanished(known_of(BOTH), parse_manifest(text))
    assert [each.environment for each in found] == lacking


def test_the_refusal_says_how_to_let_it_go() -> None:
    said = refusal(Known("production", "acme-prod", "acme-prod-slipway"))
    assert "production in project acme-prod" in said
    assert "retention: {forget: [production]}" in said
