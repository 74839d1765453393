"""A session with the API over which the doors of the local cloud are tested."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import rest


@pytest.fixture
def web(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Checked]:
    """Artifact Registry over REST, as gcloud's user; every answer is held against the discovery document."""
    with rest(cloud) as session:
        yield session
