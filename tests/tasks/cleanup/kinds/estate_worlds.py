"""Whole estates, at random: secrets, databases, backups, firewall rules, load balancers and certificates, who needs
them, and answers that lie about them. The kinds themselves decide; only Google's answers are made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from infra.gcp.calls.errors import GoogleError
from infra.gcp.compute import Resource
from infra.gcp.run.templates import Template
from infra.gcp.secrets import Secret, SecretVersion
from infra.gcp.sql import BackupRun, Instance
from tasks.cleanup.engine.model import World
from tasks.cleanup.inventory import Names
from tasks.cleanup.kinds.adapter import Consumer, Found, Look, ResourceKind
from tasks.cleanup.kinds.certificates import Certificates, all_certificates
from tasks.cleanup.kinds.estate import inventory
from tasks.cleanup.kinds.firewall_rules import FirewallRules, all_machines, all_rules
from tasks.cleanup.kinds.load_balancers import Chains, LoadBalancerParts, all_chains
from tasks.cleanup.kinds.registry import KINDS
from tasks.cleanup.kinds.secret_versions import SecretVersions
from tasks.cleanup.kinds.secrets import Secrets, all_readers, all_secrets
from tasks.cleanup.kinds.sql_backups import SqlBackups, all_backups
from tasks.cleanup.kinds.sql_instances import SqlInstances, all_instances, connected
from tasks.cleanup.kinds.template_uses import RecordedUses, TemplateUses
from tasks.cleanup.memory import Memory
from tests.tasks.builders import NOW
from tests.tasks.cleanup.estate import a_manifest
from tests.tasks.cleanup.looks import a_look, a_revision, a_service

P = "acme-prod"
LONG_AGO, WEEK = NOW - timedelta(days=300), timedelta(days=7)
JUDGED = (
    SecretVersions(),
    Secrets(),
    SqlInstances(),
    SqlBackups(),
    FirewallRules(),
    LoadBalancerParts(),
    Certificates(),
)
FOREIGN = tuple(f"{each.kind.replace(' ', '_')}s" for each in JUDGED)
LINK = "https://www.googleapis.com/compute/v1/"
AT = f"projects/{P}/locations/europe-west1/services"

SOMETIMES = st.sampled_from([False, False, True])
OFTEN = st.sampled_from([True, True, False])
AGES = st.sampled_from([0.2, 2.0, 40.0, 300.0])
SINCE_D = st.sampled_from([None, 0.0, 3.0, 8.0, 100.0])  # days since clean-up first saw it prepared


@dataclass
class Truth:
    """What there is, as Google knows it, and as whom tests may call it."""

    secrets: list[tuple[Secret, list[SecretVersion]]] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)
    connections: dict[str, str] = field(default_factory=dict)
    backups: list[BackupRun] = field(default_factory=list)
    rules: list[Resource] = field(default_factory=list)
    machines: list[Resource] = field(default_factory=list)
    parts: list[Resource] = field(default_factory=list)
    certificates: list[Resource] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    template: Template = field(default_factory=Template)
    seen: dict[str, datetime] = field(default_factory=dict)  # name -> since when clean-up saw it prepared, or did that


def resource(name: str, body: Mapping[str, Any], created: datetime = LONG_AGO) -> Resource:
    return Resource(f"projects/{P}/{name}", created, {**body, "selfLink": f"{LINK}projects/{P}/{name}"})


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    truth = Truth(services=[name for name in ("api", "web") if draw(OFTEN)])
    words: list[str] = []
    pinned: list[tuple[str, str]] = []
    for number in range(draw(st.integers(0, 3))):
        _secret(draw, truth, f"s{number}", pinned, words)
    databases = _databases(draw, truth, words)
    tags = tuple(tag for tag in ("web", "db") if draw(SOMETIMES))
    truth.template = Template(
        secrets=tuple(pinned), databases=tuple(databases), words=tuple(words), network=bool(tags), tags=tags
    )
    _firewall(draw, truth)
    for number in range(draw(st.integers(0, 2))):
        _balancer(draw, truth, f"lb{number}")
    return truth


def _since(draw: st.DrawFn, truth: Truth, name: str) -> None:
    days = draw(SINCE_D)
    if days is not None:
        truth.seen[name] = NOW - timedelta(days=days)


def _secret(draw: st.DrawFn, truth: Truth, name: str, pinned: list[tuple[str, str]], words: list[str]) -> None:
    full, count = f"projects/{P}/secrets/{name}", draw(st.integers(0, 4))
    versions = []
    for number in range(count, 0, -1):
        state = draw(st.sampled_from(["enabled", "enabled", "disabled", "destroyed"]))
        created = NOW - timedelta(days=draw(AGES) + count - number)
        each = SecretVersion(
            f"{full}/versions/{number}", number, created, state == "enabled", state == "destroyed", f"e{number}"
        )
        versions.append(each)
        _since(draw, truth, each.name)
        if draw(SOMETIMES):
            called = draw(st.sampled_from([name, full, f"projects/123456/secrets/{name}"]))
            pinned.append((called, str(number)))
    if draw(SOMETIMES):
        how = draw(st.sampled_from(["latest", "word", "path"]))
        if how == "latest":
            pinned.append((name, "latest"))
        else:
            words.append(name if how == "word" else f"sm://{full}")
    aliases = frozenset(each.number for each in versions if not each.destroyed and draw(SOMETIMES) and draw(SOMETIMES))
    truth.secrets.append((Secret(full, LONG_AGO, {}, aliases, False, "e"), versions))
    _since(draw, truth, full)


def _databases(draw: st.DrawFn, truth: Truth, words: list[str]) -> list[str]:
    named = []
    for number in range(draw(st.integers(0, 2))):
        name = f"projects/{P}/instances/db{number}"
        connection, address = f"{P}:europe-west1:db{number}", f"10.0.0.{number}"
        runs, guarded = draw(OFTEN), draw(SOMETIMES)
        instance = Instance(name, connection, (address,), LONG_AGO, {}, "RUNNABLE", runs, guarded, (), "", (), "1")
        truth.instances.append(instance)
        _since(draw, truth, name)
        if draw(SOMETIMES):
            truth.connections[name] = "3 connections"
        match draw(st.sampled_from(["", "", "volume", "url", "socket"])):
            case "volume":
                named.append(connection)
            case "url":
                words.append(f"postgres://me@{address}:5432/app")
            case "socket":
                words.append(f"/cloudsql/{connection}")
        for run in range(draw(st.integers(0, 3))):
            at = NOW - timedelta(days=draw(st.sampled_from([1, 89, 91, 300])), minutes=run)
            status = draw(st.sampled_from(["SUCCESSFUL", "SUCCESSFUL", "FAILED", "RUNNING"]))
            truth.backups.append(BackupRun(f"{name}/backupRuns/{number}{run}", True, status, "", at, {}))
    return named


def _firewall(draw: st.DrawFn, truth: Truth) -> None:
    network = {"network": f"{LINK}projects/{P}/global/networks/main"}
    for number in range(draw(st.integers(0, 3))):
        targets = {"targetTags": [draw(st.sampled_from(["web", "db", "vpc-connector"]))]} if draw(OFTEN) else {}
        what = "denied" if draw(SOMETIMES) and draw(SOMETIMES) else "allowed"
        body = {**network, **targets, what: [{"IPProtocol": "tcp"}], "disabled": draw(SOMETIMES)}
        truth.rules.append(resource(f"global/firewalls/r{number}", body))
        _since(draw, truth, truth.rules[-1].name)
    if draw(SOMETIMES):
        body = {"networkInterfaces": [network], "tags": {"items": [draw(st.sampled_from(["web", "db"]))]}}
        truth.machines.append(resource("zones/europe-west1-b/instances/m", body))


def _balancer(draw: st.DrawFn, truth: Truth, name: str) -> None:
    """A chain of which the front, or more, may be gone."""

    def add(where: str, **body: Any) -> str:
        made = resource(f"{where}/{name}", body)
        (truth.certificates if "sslCertificates" in where else truth.parts).append(made)
        _since(draw, truth, made.name)
        return f"{LINK}{made.name}"

    service = draw(st.sampled_from(["api", "web", "gone"]))
    run = {"urlMask": "<service>"} if draw(SOMETIMES) and draw(SOMETIMES) else {"service": service}
    group = add("regions/europe-west1/networkEndpointGroups", networkEndpointType="SERVERLESS", cloudRun=run)
    backend = add("global/backendServices", backends=[{"group": group}])
    if draw(SOMETIMES):
        return
    redirect = {"defaultUrlRedirect": {"httpsRedirect": True}} if draw(SOMETIMES) and draw(SOMETIMES) else {}
    urls = add("global/urlMaps", defaultService=backend, **redirect)
    certificate = add("global/sslCertificates", type="MANAGED")
    proxy = add("global/targetHttpsProxies", urlMap=urls, **({"sslCertificates": [certificate]} if draw(OFTEN) else {}))
    add("global/addresses", address=f"34.0.0.{len(truth.parts)}")
    if draw(OFTEN):
        digits = {"IPAddress": f"34.0.0.{len(truth.parts) - 1}"} if draw(OFTEN) else {}
        add("global/forwardingRules", target=proxy, **digits)


def look_at(truth: Truth, failing: str = "") -> Look:
    """A look that has had all its answers. failing: a kind of which the list fails."""
    revision = a_revision(f"{AT}/api/revisions/api-1", template=truth.template)
    look = a_look(
        (a_manifest(P, FOREIGN),), services=[a_service(f"{AT}/{each}") for each in truth.services], revisions=[revision]
    )
    look = replace(look, memory=Memory(disabled=dict(truth.seen), taken=dict(truth.seen)))

    answers: dict[object, Any] = {
        all_secrets(P): truth.secrets,
        all_readers(P): {},
        all_instances(P): truth.instances,
        connected(P): truth.connections,
        all_backups(P): truth.backups,
        all_rules(P): truth.rules,
        all_machines(P): (truth.machines, False),
        all_chains(P): Chains.of(P, truth.parts),
        all_certificates(P): truth.certificates,
    }
    answers |= {inventory(P, asset): None for kind in JUDGED for asset in kind.assets}
    loop = asyncio.get_running_loop()
    for ask, answer in answers.items():
        look.asked[ask] = loop.create_future()
        if failing and ask in FAILING.get(failing, ()):
            look.asked[ask].set_exception(GoogleError(failing, "UNAVAILABLE", "The service is unavailable."))
            look.asked[ask].exception()  # nobody else may ask
        else:
            look.asked[ask].set_result(answer)
    return look


FAILING = {
    "secret": (all_secrets(P),),
    "sql instance": (all_instances(P),),
    "sql backup": (all_backups(P),),
    "firewall rule": (all_rules(P),),
    "load balancer part": (all_chains(P),),
    "certificate": (all_certificates(P),),
}


async def world_of(look: Look) -> World:
    """As `take_inventory` makes it, of these kinds alone."""
    consumers: tuple[Consumer, ...] = (*JUDGED, TemplateUses(), RecordedUses())
    found = {each: await each.list(look) for each in consumers}
    merged = Found.merged(found.values())
    by_kind: dict[Any, ResourceKind] = {each.kind: each for each in (*KINDS, *JUDGED)}
    keys = {kind: each.keys(look, found[each].items if each in found else ()) for kind, each in by_kind.items()}
    names = Names(keys)
    kinds = {each.kind: each.traits for each in KINDS}
    return World(names.items(merged), names.uses(merged), merged.listings, kinds=kinds)
