"""Firewall rules that let something reach no machine: disabled first, for a week, as enabling one undoes that.

Names tell nothing about what a rule is for. A rule is in use while there is anything that it is for: a machine in its
network with one of its tags or accounts, a workload of Cloud Run with a way into the network. A rule that denies stays
always: without it more would be let in. https://cloud.google.com/firewall/docs/firewalls
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from infra.gcp import compute
from infra.gcp.compute import Resource
from infra.gcp.run.templates import Template
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Look, Reference, refuse_another
from tasks.cleanup.kinds.cloud_run import in_words
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.cleanup.kinds.template_uses import templates
from tasks.failures.roles import Need
from tasks.names import resources

FIREWALL_RULE = Kind("firewall rule")
DISABLE = Action("disable")
# What Kubernetes makes for its clusters, which may be another project's:
# https://cloud.google.com/kubernetes-engine/docs/concepts/firewall-rules
OF_CLUSTERS = ("k8s-", "k8s1-", "k8s2-", "gke-", "gkegw", "gkemcg")
OF_NETWORKS = "default-allow-"  # https://cloud.google.com/firewall/docs/firewalls#more_rules_default_vpc
CONNECTOR = "vpc-connector"  # https://cloud.google.com/vpc/docs/serverless-vpc-access#firewall
# Of workers that are there while a job runs: https://cloud.google.com/dataflow/docs/guides/routes-firewall
DATAFLOW = "dataflow"
_ADMIN = "roles/compute.securityAdmin"


class FirewallRules(EstateKind):
    kind = FIREWALL_RULE
    assets = ("compute.googleapis.com/Firewall",)
    traits = Traits(standing=True, first=DISABLE, settle_s=7 * DAY_S)
    dated_by_us = True
    needs = (
        Need("compute.firewalls.list", "roles/compute.viewer", "find firewall rules that are for nothing"),
        Need("compute.instances.list", "roles/compute.viewer", "see which machines a firewall rule is for"),
        Need("compute.instanceTemplates.list", "roles/compute.viewer", "see which machines a firewall rule is for"),
        Need("compute.firewalls.update", _ADMIN, "retention.foreign.firewall_rules is delete"),
        Need("compute.firewalls.delete", _ADMIN, "retention.foreign.firewall_rules is delete"),
    )

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        return [rule_item(each, look) for each in await look.once(all_rules(project))]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        ways = [(name, each) async for name, each in templates(look) if each.network]
        machines, shared = await look.once(all_machines(project))
        common = "other projects, which its network is shared with" if shared else ""
        rules = await look.once(all_rules(project))
        users = ((each, common or is_for(each, machines, project) or lets(each, ways)) for each in rules)
        return [Claim(by, (Reference(FIREWALL_RULE, each.name),)) for each, by in users if by]

    async def again(self, before: Item) -> Item | None:
        found = await compute.get(before.name)
        if found is None:
            return None
        prepared = before.prepared if found.body.get("disabled") else None
        return replace(before, uploaded=found.created, etag=state(found), prepared=prepared, locked=own(found))

    async def first(self, item: Item) -> bool:
        return await self._as_planned(item) and await compute.patch(item.name, {"disabled": True}, TIMEOUT_S)

    async def delete(self, item: Item) -> bool:
        return await self._as_planned(item) and await compute.delete(item.name, TIMEOUT_S)

    async def _as_planned(self, item: Item) -> bool:
        """Whether it is there. Raises GoogleError ABORTED if it was changed: rules have no etag."""
        found = await compute.get(item.name)
        if found is not None:
            refuse_another(item, found.created, state(found))
        return found is not None

    def undo_first(self, item: Item) -> str:
        project, name = item.name.split("/")[1], resources.last(item.name)
        return f"gcloud compute firewall-rules update {name} --no-disabled --project={project}"


@functools.cache
def all_rules(project: str) -> Callable[[Look], Awaitable[Sequence[Resource]]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(compute.list_global, project, "firewalls")


@functools.cache
def all_machines(project: str) -> Callable[[Look], Awaitable[tuple[Sequence[Resource], bool]]]:
    """For `Look.once`: machines and what they are made after, and whether there may be others'. Raises GoogleError."""
    return asked(_machines, project)


async def _machines(project: str) -> tuple[Sequence[Resource], bool]:
    there, made, shared = await asyncio.gather(
        compute.list_everywhere(project, "instances"),
        compute.list_everywhere(project, "instanceTemplates"),
        compute.is_shared(project),
    )
    return (*there, *made), shared


def rule_item(found: Resource, look: Look) -> Item:
    """Rules carry no labels, so each is foreign. No API tells who has disabled one, or when."""
    off = bool(found.body.get("disabled"))
    return Item(
        FIREWALL_RULE,
        found.name,
        "",
        owner=None,
        uploaded=found.created,
        etag=state(found),
        locked=own(found),
        prepared=look.memory.taken.get(found.name) if off else None,
    )


def own(rule: Resource) -> str:
    """Why it is nobody's to take away, whatever it is for."""
    name, description = resources.last(rule.name), str(rule.body.get("description", ""))
    if name.startswith(OF_CLUSTERS) or '{"kubernetes.io/' in description.replace(" ", ""):
        return "a cluster's own"
    if name.startswith(OF_NETWORKS):
        return "its network's own"
    return "it denies: without it more is let in" if rule.body.get("denied") else ""


def state(rule: Resource) -> str:
    """All of it but whether it is disabled, which `prepared` tells."""
    return compute.state(rule.body, ("disabled",))


def is_for(rule: Resource, machines: Iterable[Resource], project: str) -> str:
    """The first machine, or template of machines, that the rule concerns: '' if there is none."""
    network = compute.links(rule.body.get("network", ""), project)
    tags, accounts = set(rule.body.get("targetTags", ())), set(rule.body.get("targetServiceAccounts", ()))
    for machine in machines:
        body: Mapping[str, Any] = machine.body.get("properties", machine.body)
        there = compute.links(body.get("networkInterfaces", []), project)
        has_tag = not tags or tags & set(body.get("tags", {}).get("items", ()))
        emails = {each.get("email") for each in body.get("serviceAccounts", ())}
        if network & there and has_tag and (not accounts or accounts & emails):
            return f"machine {resources.last(machine.name)}"
    return ""


def lets(rule: Resource, ways: Iterable[tuple[str, Template]]) -> str:
    """What of Cloud Run has a way into a network and may be meant, whichever network it is."""
    tags = set(rule.body.get("targetTags", ()))
    if any(tag.startswith(CONNECTOR) for tag in tags):
        return "connectors of Serverless VPC Access"
    if DATAFLOW in tags:
        return "workers of Dataflow"
    accounts = set(rule.body.get("targetServiceAccounts", ()))
    tagged = ((name, each) for name, each in ways if not tags or tags & set(each.tags))
    # whoever runs as no account of its own may run as any
    meant = (name for name, each in tagged if not accounts or not each.account or each.account in accounts)
    return next(map(in_words, meant), "")
