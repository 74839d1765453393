"""Acting as somebody, as Application Default Credentials let one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from infra.gcp.calls.clients import use_credentials
from tests.conftest import environment

Acting = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def acting(cloud_env: dict[str, str]) -> Acting:
    @contextmanager
    def by(file: Path) -> Iterator[None]:
        use_credentials(None)
        with environment({"GOOGLE_APPLICATION_CREDENTIALS": str(file)}):
            yield
        use_credentials(None)

    return by


@pytest.fixture(autouse=True)
def as_the_owner(request: pytest.FixtureRequest) -> Iterator[None]:
    use_credentials(None)
    yield
    use_credentials(None)
