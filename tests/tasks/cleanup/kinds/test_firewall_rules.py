"""Firewall rules on the local cloud: what is for no machine is disabled, and goes a week later."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.gcp import compute
from infra.gcp.run.templates import Template
from tasks.cleanup.carry_out import said
from tasks.cleanup.engine.model import Why
from tasks.cleanup.kinds.firewall_rules import FirewallRules, lets
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.discovery import Checked
from tests.infra.emulator.emulated_registry import rest
from tests.tasks.cleanup.estate import LATER, Estate, a_manifest, faulty
from tests.tasks.cleanup.looks import a_look, a_revision

API = f"https://compute.googleapis.com/compute/v1/projects/{PROJECT}"
ALLOWED = [{"IPProtocol": "tcp", "ports": ["22"]}]
_numbers = itertools.count(1)


class Network:
    """Of its own, in which there is nothing at first."""

    def __init__(self, web: Checked) -> None:
        self.web, self.name = web, f"net{next(_numbers)}"
        self.post("global/networks", {"name": self.name})

    def post(self, path: str, body: dict[str, Any]) -> None:
        self.web.post(f"{API}/{path}", json=body).raise_for_status()

    def rule(self, name: str, **more: Any) -> str:
        full = f"{self.name}-{name}"
        body = {"name": full, "network": f"projects/{PROJECT}/global/networks/{self.name}", "allowed": ALLOWED}
        self.post("global/firewalls", {**body, **more})
        return full

    def machine(self, *tags: str) -> None:
        interface = {"network": f"projects/{PROJECT}/global/networks/{self.name}"}
        body = {"name": f"{self.name}-machine", "networkInterfaces": [interface], "tags": {"items": list(tags)}}
        self.post("zones/europe-west1-b/instances", body)

    def estate(self, *foreign: str, prefix: str = "", **there: Any) -> Estate:
        now = datetime.now(UTC) + timedelta(days=2)
        look = a_look((a_manifest(PROJECT, foreign or ("firewall_rules",)),), **there)
        return Estate((FirewallRules(),), prefix or f"{self.name}-", look, now)


@pytest.fixture
def network(cloud: LocalCloud, cloud_env: dict[str, str]) -> Iterator[Network]:
    with rest(cloud) as session:
        yield Network(session)


async def test_a_rule_for_no_machine_is_disabled_and_goes_a_week_later(network: Network) -> None:
    name = network.rule("ssh")
    estate = network.estate()
    (step,) = (await estate.plan()).steps
    assert f"undone by: gcloud compute firewall-rules update {name} --no-disabled --project={PROJECT}" in said(step)
    assert await estate.carry_out() == [f"disable global/firewalls/{name}"]
    found = await compute.get(f"projects/{PROJECT}/global/firewalls/{name}")
    assert found is not None
    assert found.body["disabled"]
    assert await estate.carry_out() == []
    estate.now += LATER
    assert await estate.carry_out() == [f"delete global/firewalls/{name}"]
    assert await compute.get(f"projects/{PROJECT}/global/firewalls/{name}") is None


async def test_a_rule_that_a_person_has_disabled_is_not_half_way_to_its_end(network: Network) -> None:
    name = network.rule("off", disabled=True)
    estate = network.estate()
    await estate.world()
    for done in (f"disable global/firewalls/{name}", f"delete global/firewalls/{name}"):
        estate.now += LATER
        assert await estate.carry_out() == [done]


async def test_a_rule_is_in_use_while_there_is_a_machine_that_it_is_for(network: Network) -> None:
    network.machine("web")
    used = {network.rule("all"), network.rule("web", targetTags=["web", "old"])}
    left = network.rule("old", targetTags=["old"])
    plan = await network.estate().plan()
    assert [step.item.name.rpartition("/")[2] for step in plan.steps] == [left]
    assert {each.name.rpartition("/")[2] for each in plan.kept} == used
    assert {each.detail for each in plan.kept} == {f"machine {network.name}-machine"}


async def test_a_rule_may_be_for_what_cloud_run_has_in_the_network(network: Network) -> None:
    plain, tagged, other = (
        network.rule("plain"),
        network.rule("tagged", targetTags=["api"]),
        network.rule("other", targetTags=["x"]),
    )
    connector = network.rule("connector", targetTags=["vpc-connector-europe-west1-main"])
    revision = a_revision(
        f"projects/{PROJECT}/locations/europe-west1/services/api/revisions/api-1",
        template=Template(network=True, tags=("api",)),
    )
    plan = await network.estate(revisions=[revision]).plan()
    assert {each.name.rpartition("/")[2] for each in plan.kept} == {plain, tagged, connector}
    assert [step.item.name.rpartition("/")[2] for step in plan.steps] == [other]


@pytest.mark.parametrize("tag", ["vpc-connector-europe-west1-main", "dataflow"])
def test_a_rule_for_what_google_starts_by_itself_is_in_use_while_there_is_none(tag: str) -> None:
    rule = compute.Resource("projects/p/global/firewalls/a", datetime.now(UTC), {"targetTags": [tag]})
    assert lets(rule, ())


@pytest.mark.parametrize(
    ("account", "used"), [("api@p.iam.gserviceaccount.com", True), ("", True), ("web@p.iam.gserviceaccount.com", False)]
)
def test_a_rule_for_an_account_may_be_for_what_runs_as_it(account: str, used: bool) -> None:
    rule = compute.Resource("projects/p/global/firewalls/a", datetime.now(UTC),
                            {"targetServiceAccounts": ["api@p.iam.gserviceaccount.com"]})  # fmt: skip
    ways = [("projects/p/locations/europe-west1/services/api", Template(network=True, account=account))]
    assert bool(lets(rule, ways)) == used


@pytest.mark.parametrize(
    "more",
    [
        {"allowed": [], "denied": ALLOWED},
        {"description": '{"kubernetes.io/service-name":"shop/web"}'},
    ],
    ids=["it denies", "a cluster made it"],
)
async def test_some_rules_are_nobodys_to_take_away(network: Network, more: dict[str, Any]) -> None:
    network.rule("kept", **more)
    (kept,) = (await network.estate().plan()).kept
    assert kept.why is Why.LOCKED


async def test_a_rule_that_was_changed_in_between_is_not_touched(network: Network) -> None:
    name = network.rule("busy")
    (step,) = (await network.estate().plan()).steps
    network.web.patch(f"{API}/global/firewalls/{name}", json={"targetTags": ["db"]}).raise_for_status()
    assert await FirewallRules().again(step.item) != step.item


async def test_a_list_that_lacks_what_the_inventory_knows_stops_the_kind(network: Network, cloud: LocalCloud) -> None:
    network.rule("seen")
    estate = network.estate()
    with faulty(cloud, {"method": "compute.list", "first": 0}):
        assert (await estate.world()).items == ()
    assert any("is there, and is not listed" in note for note in estate.notes)
    network.rule("also")
    with faulty(cloud, {"method": "compute.list", "first": 1}):
        plan = await network.estate(prefix="").plan()
    assert not plan.steps
    assert {each.why for each in plan.kept} <= {Why.LOCKED}
