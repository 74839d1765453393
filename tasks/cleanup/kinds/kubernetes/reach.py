"""How what a look has found is reached for a step: the cluster, and the bucket that copies go to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes.access import Access
from infra.gcp.kubernetes.api import Api
from tasks.cleanup.engine.model import Item


@dataclass(frozen=True, slots=True)
class Reach:
    access: Access
    bucket: str
    app: str


_reaches: dict[str, Reach] = {}  # by the cluster's id; every run looks before it takes a step


def remember(access: Access, bucket: str, app: str) -> None:
    _reaches[access.id] = Reach(access, bucket, app)


def of(item: Item) -> tuple[Reach, str]:
    """And the item's path in its cluster. Raises GoogleError for a cluster that nobody has looked at."""
    found = next((each for id_, each in _reaches.items() if item.name.startswith(f"{id_}/ap")), None)
    if found is None:
        raise GoogleError("kubernetes.config", "NOT_FOUND", f"{item.name} is in no cluster of slipway.yaml.")
    return found, item.name.removeprefix(found.access.id)


@asynccontextmanager
async def opened(item: Item) -> AsyncIterator[tuple[Api, Reach, str]]:
    reached, path = of(item)
    async with Api(reached.access) as api:
        yield api, reached, path
