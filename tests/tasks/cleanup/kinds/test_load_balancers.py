"""Load balancers on the local cloud: what leads to nothing that lives goes from the front to the back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.gcp.compute import Resource
from tasks.cleanup.carry_out import said
from tasks.cleanup.engine.model import Item, Why
from tasks.cleanup.kinds.certificates import Certificates
from tasks.cleanup.kinds.load_balancers import SEEN_UNUSED, Chains, LoadBalancerParts, own
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import rest
from tests.tasks.cleanup.estate import LATER, Estate, a_manifest
from tests.tasks.cleanup.looks import a_look, a_service

API = f"https://compute.googleapis.com/compute/v1/projects/{PROJECT}"
REGION = "regions/europe-west1"
_numbers = itertools.count(1)


class Balancer:
    """An external one in front of a service of Cloud Run, with a prefix that no other test has."""

    def __init__(self, web: Checked) -> None:
        self.web, self.prefix = web, f"lb{next(_numbers)}-"

    def make(self, place: str, collection: str, name: str = "", **body: Any) -> str:
        """A link to it."""
        full = f"{self.prefix}{name or collection.lower()}"
        self.web.post(f"{API}/{place}/{collection}", json={"name": full, **body}).raise_for_status()
        return f"{API}/{place}/{collection}/{full}"

    def backend(self, service: str = "api", name: str = "") -> str:
        group = self.make(
            REGION, "networkEndpointGroups", name, networkEndpointType="SERVERLESS", cloudRun={"service": service}
        )
        return self.make("global", "backendServices", name, backends=[{"group": group}])

    def chain(self, service: str = "api") -> None:
        certificate = self.make("global", "sslCertificates", type="SELF_MANAGED")
        urls = self.make("global", "urlMaps", defaultService=self.backend(service))
        proxy = self.make("global", "targetHttpsProxies", urlMap=urls, sslCertificates=[certificate])
        address = self.make("global", "addresses")
        digits = self.web.get(address).json()["address"]
        self.make("global", "forwardingRules", target=proxy, IPAddress=digits, portRange="443-443")

    def estate(self, *services: str, **more: Any) -> Estate:
        named = [a_service(f"projects/{PROJECT}/locations/europe-west1/services/{each}") for each in services]
        look = a_look((a_manifest(PROJECT, ("load_balancer_parts", "certificates")),), services=named)
        now = datetime.now(UTC) + timedelta(days=2)
        return Estate((LoadBalancerParts(), Certificates()), self.prefix, look, now, **more)


@pytest.fixture
def balancer(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Balancer]:
    with rest(cloud) as session:
        yield Balancer(session)


def collections(names: list[str]) -> list[str]:
    return [f"{each.split(' ')[0]} {each.split('/')[-2]}" for each in names]


async def test_a_chain_to_a_service_that_is_gone_goes_from_the_front_to_the_back(balancer: Balancer) -> None:
    balancer.chain()
    estate = balancer.estate("web")
    assert [each for each in await estate.carry_out() if not each.startswith("seen")] == []  # not for a week yet
    estate.now += LATER
    done = await estate.carry_out()
    gone = [each for each in collections(done) if each.startswith("delete")]
    assert gone[0] == "delete forwardingRules"
    assert sorted(gone[1:]) == [
        "delete addresses",
        "delete backendServices",
        "delete networkEndpointGroups",
        "delete targetHttpsProxies",
        "delete urlMaps",
    ]
    assert gone.index("delete targetHttpsProxies") < gone.index("delete urlMaps") < gone.index("delete backendServices")
    assert gone.index("delete backendServices") < gone.index("delete networkEndpointGroups")
    estate.now += LATER
    assert collections(await estate.carry_out()) == ["delete sslCertificates"]


async def test_a_chain_to_a_service_that_is_there_stays_whole(balancer: Balancer) -> None:
    balancer.chain()
    estate = balancer.estate("api")
    await estate.plan()
    estate.now += LATER
    plan = await estate.plan()
    assert not plan.steps
    assert {each.why for each in plan.kept} == {Why.IN_USE}
    assert {each.detail for each in plan.kept} == {"service api"}


async def test_parts_that_no_front_leads_to_go_though_another_front_lives(balancer: Balancer) -> None:
    balancer.chain()
    balancer.backend("api", "left")
    balancer.make("global", "addresses", "spare")
    estate = balancer.estate("api")
    await estate.plan()
    estate.now += LATER
    plan = await estate.plan()
    assert {step.item.name.rpartition("-")[2] for step in plan.steps} == {"left", "spare"}


async def test_a_front_that_only_redirects_lives(balancer: Balancer) -> None:
    urls = balancer.make("global", "urlMaps", defaultUrlRedirect={"httpsRedirect": True})
    proxy = balancer.make("global", "targetHttpProxies", urlMap=urls)
    balancer.make("global", "forwardingRules", target=proxy, portRange="80-80")
    estate = balancer.estate()
    await estate.plan()
    estate.now += LATER
    assert not (await estate.plan()).steps


@pytest.mark.parametrize(
    "target",
    ["https://www.googleapis.com/compute/v1/projects/other/regions/europe-west1/serviceAttachments/x", "all-apis"],
    ids=["another project's", "Google's APIs"],
)
async def test_what_cannot_be_told_lives(balancer: Balancer, target: str) -> None:
    balancer.make("global", "forwardingRules", target=target)
    estate = balancer.estate()
    await estate.plan()
    estate.now += LATER
    (kept,) = (await estate.plan()).kept
    assert kept.why is Why.IN_USE


@pytest.mark.parametrize(
    "body",
    [{"name": "k8s1-4f2a-shop-web-80-9c1b"}, {"name": "web", "description": '{"cluster-uid":"4f2a"}'}],
    ids=["by its name", "by its description"],
)
def test_an_endpoint_group_of_a_cluster_is_its_own(body: dict[str, Any]) -> None:
    part = Resource(f"projects/p/zones/europe-west1-b/networkEndpointGroups/{body['name']}", datetime.now(UTC), body)
    assert own(part, Chains.of("p", [part])) == "a cluster's own"


async def test_what_an_ingress_names_by_its_short_name_is_found(balancer: Balancer) -> None:
    item = Item(LoadBalancerParts.kind, "projects/p/global/addresses/shop", "", None)
    look = balancer.estate().look
    assert LoadBalancerParts().keys(look, [item])("shop") == (item.name,)
    assert LoadBalancerParts().keys(look, [item])("shop-2") == ()


async def test_what_a_cluster_made_is_nobodys_to_take_away(balancer: Balancer) -> None:
    balancer.make("global", "addresses", description='{"kubernetes.io/ingress-name": "shop"}')
    estate = balancer.estate()
    await estate.plan()
    estate.now += LATER
    (kept,) = (await estate.plan()).kept
    assert (kept.why, kept.detail) == (Why.LOCKED, "a cluster's own")


async def test_the_journal_keeps_what_a_part_was(balancer: Balancer) -> None:
    balancer.make("global", "addresses", "spare", description="of the shop")
    estate = balancer.estate()
    await estate.plan()
    estate.now += LATER
    (step,) = (await estate.plan()).steps
    part = next(each for each in estate.kinds if each.kind == step.item.kind)
    assert await part.again(step.item) == step.item
    assert '"description": "of the shop"' in part.undo(step)
    assert part.undo(replace(step, action=SEEN_UNUSED)) == ""  # it is only looked at
    assert "undone by" not in said(step)  # the registry's own adapter has not read it
