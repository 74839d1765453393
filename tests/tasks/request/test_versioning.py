"""Which version goes where."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.failures.errors import VersionError
from tasks.model import Version, VersionKind
from tasks.request.versioning import environment_for, refuse_unaccepted, version_for
from tests.tasks.builders import MANIFEST, a_request, a_version

DEVELOPMENT = replace(a_version("v1.4.0-dev.gabcdef0", VersionKind.DEVELOPMENT), base="v1.4.0")
PRERELEASE = replace(a_version("v1.5.0-rc.1", VersionKind.PRERELEASE), base="v1.5.0-rc.1")
AFTER_PRERELEASE = replace(DEVELOPMENT, base="v1.5.0-rc.1")
UNTAGGED = replace(a_version("v0.0.0-dev.gabcdef0", VersionKind.DEVELOPMENT), base=None)


@pytest.mark.parametrize(
    ("environment", "version", "wanted"),
    [
        ("production", a_version("v1.4.0"), "v1.4.0"),
        ("production", DEVELOPMENT, "v1.4.0"),
        ("production", PRERELEASE, None),
        ("production", AFTER_PRERELEASE, None),
        ("production", UNTAGGED, None),
        ("staging", DEVELOPMENT, "v1.4.0-dev.gabcdef0"),
        ("staging", PRERELEASE, "v1.5.0-rc.1"),
        ("staging", UNTAGGED, "v0.0.0-dev.gabcdef0"),
    ],
    ids=lambda value: value.version if isinstance(value, Version) else str(value),
)
def test_an_environment_is_to_have_the_newest_version_that_it_accepts(
    environment: str, version: Version, wanted: str | None
) -> None:
    assert version_for(a_request(environment), version) == wanted


@pytest.mark.parametrize("version", [DEVELOPMENT, PRERELEASE, a_version(dirty=True)], ids=lambda each: each.version)
def test_production_refuses_what_is_no_release(version: Version) -> None:
    with pytest.raises(VersionError) as refused:
        refuse_unaccepted(a_request("production"), version)
    assert refused.value.remedy


@pytest.mark.parametrize("version", [DEVELOPMENT, PRERELEASE, a_version(dirty=True)], ids=lambda each: each.version)
def test_staging_takes_everything(version: Version) -> None:
    refuse_unaccepted(a_request("staging"), version)


@pytest.mark.parametrize(
    ("version", "environment"),
    [(a_version("v1.4.0"), "production"), (PRERELEASE, "staging"), (DEVELOPMENT, "staging"), (UNTAGGED, "staging")],
    ids=lambda value: value.version if isinstance(value, Version) else str(value),
)
def test_a_release_is_for_production_and_anything_else_for_staging(version: Version, environment: str) -> None:
    assert environment_for(a_request().manifest, version) == environment


def test_a_version_that_no_environment_is_for_is_refused() -> None:
    only_production = a_request(
        text=MANIFEST.replace("  staging: {project: acme-staging, regions: [europe-west1]}\n", "")
    )
    with pytest.raises(VersionError, match=r"is for v1\.5\.0-rc\.1, a prerelease version"):
        environment_for(only_production.manifest, PRERELEASE)
