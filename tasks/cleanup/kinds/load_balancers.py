"""What load balancers are made of, from the front to the back: forwarding rules, proxies, URL maps, backend services,
health checks, endpoint groups and addresses, global and regional.

A part is in use while a forwarding rule leads to it that leads to something that lives. Of a serverless endpoint group
it can be told whether its service is there; whatever else a rule leads to counts as living, and so does a redirect.
Nothing undoes a delete, so a part goes when it has been seen unused for a week, from the front to the back, and the
journal keeps what it was. https://cloud.google.com/load-balancing/docs/https/setting-up-https-serverless
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.gcp import compute
from infra.gcp.compute import Resource
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Claim, Found, Keys, Look, Reference, refuse_another
from tasks.cleanup.kinds.cloud_run import all_services
from tasks.cleanup.kinds.estate import EstateKind, asked
from tasks.cleanup.kinds.firewall_rules import OF_CLUSTERS
from tasks.failures.roles import Need
from tasks.names import resources
from tasks.names.labels import owner_of

LOAD_BALANCER_PART = Kind("load balancer part")
CERTIFICATE = Kind("certificate")
SEEN_UNUSED = Action("seen unused")
SETTLE_S = 7 * DAY_S
EVERYWHERE = (
    "forwardingRules", "targetHttpProxies", "targetHttpsProxies", "targetTcpProxies", "urlMaps", "backendServices",
    "healthChecks", "networkEndpointGroups", "addresses",
)  # fmt: skip
GLOBAL = ("targetSslProxies",)  # of which there is no list over all places
# Addresses of other purposes are ranges, or Google's: https://cloud.google.com/compute/docs/reference/rest/v1/addresses
PURPOSES = ("", "GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP")
OF_A_CLUSTER = ('{"kubernetes.io/', '{"cluster-uid"')  # how descriptions begin of what one has made
OUTPUT = ("creationTimestamp", "fingerprint", "id", "kind", "selfLink", "status", "users", "labelFingerprint")
ADMIN = "roles/compute.loadBalancerAdmin"


@dataclass(frozen=True, slots=True)
class Chains:
    """All parts of a project's load balancers."""

    parts: Mapping[str, Resource]  # by name
    leads: Mapping[str, frozenset[str]]  # name -> what it names itself, listed or not

    @classmethod
    def of(cls, project: str, found: Iterable[Resource]) -> Chains:
        """A rule names its address in digits."""
        parts = {each.name: each for each in found}
        digits = {str(each.body.get("address")): name for name, each in parts.items() if "/addresses/" in name}
        leads = {}
        for name, each in parts.items():
            by_digits = digits.get(str(each.body.get("IPAddress")))
            leads[name] = compute.links(each.body, project) - {name} | ({by_digits} if by_digits else set())
        return cls(parts, leads)

    def behind(self, name: str) -> frozenset[str]:
        """All that it leads to, over any number of parts."""
        reached: set[str] = set()
        queue = [name]
        while queue:
            new = self.leads.get(queue.pop(), frozenset()) - reached
            reached |= new
            queue += new
        return frozenset(reached)

    def living(self, services: Collection[str]) -> Mapping[str, str]:
        """The forwarding rules that are in use, each with what lives behind it. services: names of Cloud Run's."""
        rules = (name for name in self.parts if "/forwardingRules/" in name)
        return {name: why for name in rules if (why := self._lives(name, services))}

    def _lives(self, rule: str, services: Collection[str]) -> str:
        behind = sorted(name for name in self.behind(rule) if "/addresses/" not in name)
        for name in behind:
            if name not in self.parts:
                if not _is_surroundings(name):
                    return resources.last(name)
            elif why := _alive(self.parts[name], services):
                return why
        has_backends = any("/backendServices/" in name for name in behind)
        return "" if has_backends else "what it leads to, which cannot be told"


class LoadBalancerParts(EstateKind):
    kind = LOAD_BALANCER_PART
    assets = (
        "compute.googleapis.com/ForwardingRule", "compute.googleapis.com/GlobalForwardingRule",
        "compute.googleapis.com/TargetHttpProxy", "compute.googleapis.com/TargetHttpsProxy",
        "compute.googleapis.com/TargetTcpProxy", "compute.googleapis.com/TargetSslProxy",
        "compute.googleapis.com/UrlMap", "compute.googleapis.com/BackendService",
        "compute.googleapis.com/NetworkEndpointGroup", "compute.googleapis.com/Address",
        "compute.googleapis.com/GlobalAddress",
    )  # fmt: skip
    traits = Traits(standing=True, first=SEEN_UNUSED, settle_s=SETTLE_S)
    dated_by_us = True
    needs = (
        *(
            Need(f"compute.{each}.list", "roles/compute.viewer", "find load balancers that lead nowhere")
            for each in (*EVERYWHERE, *GLOBAL)
        ),
        *(
            Need(f"compute.{each}.delete", ADMIN, "retention.foreign.load_balancer_parts is delete")
            for each in ("globalForwardingRules", *EVERYWHERE, *GLOBAL)
        ),
    )

    def __init__(self) -> None:
        self._bodies: dict[str, Mapping[str, Any]] = {}  # of what this run takes away, as it was read last

    async def items(self, project: str, look: Look) -> Sequence[Item]:
        chains = await look.once(all_chains(project))
        living = chains.living(await _services(look))
        used = {*living, *(name for rule in living for name in chains.behind(rule))}
        return [part_item(each, chains, each.name in used, look) for each in chains.parts.values()]

    async def uses(self, project: str, look: Look) -> Iterable[Claim]:
        """A rule that leads to something that lives is in use, and so is what it needs."""
        living = (await look.once(all_chains(project))).living(await _services(look))
        return [Claim(by, (Reference(LOAD_BALANCER_PART, name),)) for name, by in living.items()]

    async def list(self, look: Look) -> Found:
        """Each needs what it leads to, certificates included."""
        found, leads = await super().list(look), dict[str, frozenset[str]]()
        for project in look.projects if found.items else ():
            leads |= (await look.once(all_chains(project))).leads
        parts = {each.name: tuple(map(_reference, sorted(leads[each.name]))) for each in found.items}
        return replace(found, parts=parts)

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        return by_short_name(items)

    async def again(self, before: Item) -> Item | None:
        found = await compute.get(before.name)
        if found is None:
            return None
        self._bodies[before.name] = found.body
        return replace(before, labels=found.labels, uploaded=found.created, etag=compute.state(found.body))

    async def first(self, item: Item) -> bool:
        """Nothing: that it has been seen is what counts."""
        return True

    async def delete(self, item: Item) -> bool:
        """Google refuses what another resource uses."""
        found = await compute.get(item.name)
        if found is None:
            return False
        refuse_another(item, found.created, compute.state(found.body))
        return await compute.delete(item.name, TIMEOUT_S)

    def undo_delete(self, item: Item) -> str:
        """There is only making it again, of what it was."""
        body = self._bodies.get(item.name, {})
        kept = {key: value for key, value in body.items() if key not in OUTPUT}
        return f"making it again, which was {json.dumps(kept, sort_keys=True)}" if kept else ""


def by_short_name(items: Sequence[Item]) -> Keys:
    """By full name, or by the short one: Ingresses of a cluster name addresses and certificates so."""
    called: dict[str, list[str]] = {}
    for item in items:
        for name in (item.name, resources.last(item.name)):
            called.setdefault(name, []).append(item.name)
    return lambda name: tuple(called.get(name, ()))


def part_item(found: Resource, chains: Chains, used: bool, look: Look) -> Item:
    unused_since = look.memory.disabled.get(found.name, look.clock())
    return Item(
        LOAD_BALANCER_PART,
        found.name,
        "",
        owner_of(found.labels, look.app),
        found.created,
        labels=found.labels,
        etag=compute.state(found.body),
        locked=own(found, chains),
        prepared=None if used else unused_since,
    )


def own(found: Resource, chains: Chains) -> str:
    """Why it is nobody's to take away, whatever leads to it."""
    description = str(found.body.get("description", "")).replace(" ", "")
    if resources.last(found.name).startswith(OF_CLUSTERS) or description.startswith(OF_A_CLUSTER):
        return "a cluster's own"
    if found.body.get("purpose", "") not in PURPOSES:
        return f"it is for {found.body['purpose']}"
    project = found.name.split("/")[1]
    named = [*found.body.get("users", ()), *(each.get("reference", "") for each in found.body.get("usedBy", ()))]
    others = sorted(compute.links(named, project) - chains.parts.keys())
    return f"{resources.last(others[0])} uses it" if others else ""


def _alive(part: Resource, services: Collection[str]) -> str:
    """What of a chain's part lives: '' where none does that is known, as of a part that only leads on."""
    _, project, _, place, *_ = part.name.split("/")
    if "/urlMaps/" in part.name and "UrlRedirect" in json.dumps(part.body):
        return "a redirect"
    if "/networkEndpointGroups/" not in part.name:
        return ""
    run = part.body.get("cloudRun")
    if part.body.get("networkEndpointType") != "SERVERLESS" or run is None:
        return resources.last(part.name)
    region = f"projects/{project}/locations/{place}/services/"
    if not run.get("service"):
        return "services by a URL mask" if any(each.startswith(region) for each in services) else ""
    return f"service {run['service']}" if f"{region}{run['service']}" in services else ""


def _is_surroundings(name: str) -> bool:
    """What a chain only names as where it is: networks and subnetworks; certificates are a kind of their own."""
    return name.split("/")[-2] in ("networks", "subnetworks", "sslCertificates", "sslPolicies", "securityPolicies")


def _reference(link: str) -> Reference:
    return Reference(CERTIFICATE if "/sslCertificates/" in link else LOAD_BALANCER_PART, link)


async def _services(look: Look) -> frozenset[str]:
    return frozenset(each.name for each in (await look.once(all_services)).everything)


@functools.cache
def all_chains(project: str) -> Callable[[Look], Awaitable[Chains]]:
    """For `Look.once`. Raises GoogleError."""
    return asked(_chains, project)


async def _chains(project: str) -> Chains:
    answers = await asyncio.gather(
        *(compute.list_everywhere(project, each) for each in EVERYWHERE),
        *(compute.list_global(project, each) for each in GLOBAL),
    )
    return Chains.of(project, (each for some in answers for each in some))
