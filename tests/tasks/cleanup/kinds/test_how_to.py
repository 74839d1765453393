"""The page that shows how to add a kind is code that works."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasks.cleanup.engine.model import DELETE, Foreign, Policy, RetentionRule, World
from tasks.cleanup.engine.plan import plan
from tasks.cleanup.inventory import Names
from tests.tasks.builders import NOW, a_request
from tests.tasks.cleanup.looks import a_look

PAGE = Path(__file__).parents[4] / "docs/how-to/add-a-cleanup-kind.md"
LONG_AGO = NOW - timedelta(days=300)
PLACE = "projects/acme-prod/locations/europe-west1/clusters/main/namespaces/shop"


@dataclass
class Cluster:
    """A Kubernetes cluster of ConfigMaps, and one deployment that names one of them."""

    copied: dict[str, datetime] = field(default_factory=dict)
    names: list[str] = field(default_factory=lambda: [f"{PLACE}/configMaps/{name}" for name in ("used", "left-over")])

    def config_map(self, name: str) -> Any:
        return SimpleNamespace(name=name, labels={}, created=LONG_AGO, etag="1", copied=self.copied.get(name))

    async def list_in(self, place: str) -> list[Any]:
        return [self.config_map(name) for name in self.names]

    async def get(self, name: str) -> Any:
        return self.config_map(name) if name in self.names else None

    async def keep_copy(self, name: str) -> bool:
        self.copied[name] = NOW
        return True

    async def delete(self, name: str, etag: str) -> bool:
        self.names.remove(name)
        return True

    async def deployments(self, place: str) -> list[Any]:
        return [SimpleNamespace(name="api", config_maps=[self.names[0]])]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def shown(cluster: Cluster) -> dict[str, Any]:
    """What the page defines, with the cluster in the place of the adapters that it imports."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2])
    code = re.sub(r"from infra\.gcp import \w+\n", "", code)
    deployments = SimpleNamespace(list_in=cluster.deployments)
    defined: dict[str, Any] = {"config_maps": cluster, "deployments": deployments, "__name__": "shown"}
    exec(compile(code, str(PAGE), "exec", dont_inherit=True), defined)
    return defined


async def test_the_kind_of_the_page_is_listed_copied_and_deleted_unless_it_is_used(
    cluster: Cluster, shown: dict[str, Any]
) -> None:
    kind, consumer = shown["ConfigMaps"](), shown["Deployments"]()
    policy = Policy("shop", NOW, {kind.kind: RetentionRule(foreign=Foreign.DELETE, max_percent=100.0)}, min_live=0)
    look = a_look((a_request(),))

    async def world() -> World:
        found, consumed = await kind.list(look), await consumer.list(look)
        names = Names({kind.kind: kind.keys(look, found.items)})
        required = (*kind.required(look.requests), *consumer.required(look.requests))
        listings = (*found.listings, *consumed.listings)
        return World(found.items, names.uses(consumed), listings, required, kinds={kind.kind: kind.traits})

    left_over = cluster.names[1]
    (step,) = plan(await world(), policy).steps
    assert (step.action, step.item.name) == (kind.traits.first, left_over)
    assert await kind.again(step.item) == step.item
    assert await kind.first(step.item)
    assert plan(await world(), policy).steps == ()  # the copy is not old enough
    cluster.copied[left_over] = NOW - timedelta(days=8)
    (step,) = plan(await world(), policy).steps
    assert step.action == DELETE
    assert await kind.delete(step.item)
    assert await kind.again(step.item) is None
