"""A real Prefect server for what depends on what Prefect knows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from tests.conftest import LocalCloud, environment
from tests.servers import used_by_prefect


@pytest.fixture(scope="module")
def prefect(prefect_server: dict[str, str], cloud: LocalCloud) -> Iterator[None]:
    """Flows run in this process, against that server, with the local cloud around them."""
    with environment(cloud.env), used_by_prefect(prefect_server):
        yield
        APILogWorker.instance().drain()  # while there is a server to send to
        EventsWorker.drain_all(timeout=30)  # one that cannot end is a thread that ends with the process
