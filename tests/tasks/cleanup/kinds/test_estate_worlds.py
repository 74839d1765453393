"""Over whole estates at random: nothing that anybody names, reaches or may need ever goes, and what nobody does goes.

The oracle is written from the promises, from the things that there are and not from what the kinds make of them.
SLIPWAY_WORLDS sets the number of worlds for each rule.
"""

from __future__ import annotations

import asyncio
import os
import re
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from infra.gcp.compute import Resource
from tasks.cleanup.engine.model import DELETE, Foreign, Plan, Policy, RetentionRule
from tasks.cleanup.engine.plan import plan
from tests.tasks.builders import NOW
from tests.tasks.cleanup.kinds.estate_worlds import FAILING, JUDGED, P, Truth, look_at, truths, world_of

WORLDS = int(os.environ.get("SLIPWAY_WORLDS", "100"))
many_worlds = settings(max_examples=WORLDS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
DAY = timedelta(days=1)


def planned(truth: Truth, failing: str = "") -> Plan:
    async def decide() -> Plan:
        rule = RetentionRule(foreign=Foreign.DELETE, max_percent=100.0)
        policy = Policy("shop", NOW, {each.kind: rule for each in JUDGED}, max_items=10**6, min_live=0)
        return plan(await world_of(look_at(truth, failing)), policy)

    return asyncio.run(decide())


def settled(truth: Truth, name: str) -> bool:
    return NOW - truth.seen.get(name, NOW) >= 7 * DAY


def due(truth: Truth, name: str, first: str, *, off: bool) -> str:
    """What is off is only halfway where clean-up has turned it off, and not a person; "" while that is too young."""
    if not off or name not in truth.seen:
        return first
    return DELETE if settled(truth, name) else ""


def named(truth: Truth, secret: str) -> set[str]:
    """The versions of a secret that templates name, "" for a program that may read any."""
    ways = {secret, f"projects/{P}/secrets/{secret}", f"projects/123456/secrets/{secret}"}
    found = {version for name, version in truth.template.secrets if name in ways}
    told = any(word == secret or word.endswith(f"/{secret}") for word in truth.template.words)
    return found | ({""} if told else set())


def secrets_that_go(truth: Truth) -> dict[str, str]:
    """Name -> step, of secrets and versions."""
    steps: dict[str, str] = {}
    for secret, versions in truth.secrets:
        by, held = named(truth, secret.name.rpartition("/")[2]), False
        enabled = [each.number for each in versions if each.enabled]
        own = {versions[0].number if versions else 0, max(enabled, default=0), *secret.aliases}
        for each in (each for each in versions if not each.destroyed):
            young, used = NOW - each.created < DAY, str(each.number) in by
            if each.number in own:
                continue
            step = "" if used or young else due(truth, each.name, "disable", off=not each.enabled)
            steps |= {each.name: step} if step else {}
            held = held or step != DELETE
        young = bool(versions) and NOW - versions[0].created < DAY
        if by or held or young:
            continue
        if step := due(truth, secret.name, "disable all versions", off=not enabled):
            steps[secret.name] = step
    return steps


def databases_that_go(truth: Truth) -> dict[str, str]:
    steps: dict[str, str] = {}
    for each in truth.instances:
        texts = [*truth.template.databases, *truth.template.words]
        used = any(call in text for text in texts for call in (each.connection, *each.addresses))
        if used or each.protected or each.name in truth.connections:
            continue
        if step := due(truth, each.name, "stop", off=not each.runs):
            steps[each.name] = step
    for run in truth.backups:  # fewer than `keep` of each instance: only what failed goes, and only when it is old
        if run.status == "FAILED" and run.at and NOW - run.at >= 90 * DAY:
            steps[run.name] = DELETE
    return steps


def rules_that_go(truth: Truth) -> dict[str, str]:
    steps: dict[str, str] = {}
    for rule in truth.rules:
        tags = set(rule.body.get("targetTags", ()))
        there = [set(each.body["tags"]["items"]) for each in truth.machines]
        there += [set(truth.template.tags)] if truth.template.network else []
        used = any(not tags or tags & each for each in there) or "vpc-connector" in tags
        if used or "denied" in rule.body:
            continue
        if step := due(truth, rule.name, "disable", off=rule.body["disabled"]):
            steps[rule.name] = step
    return steps


def texts(part: Resource) -> str:
    return repr({key: value for key, value in part.body.items() if key != "selfLink"})


def parts_that_go(truth: Truth) -> dict[str, str]:
    """Whatever a front reaches stays if anything there lives; what is reached by what stays for now stays as well."""
    everything = {each.name: each for each in (*truth.parts, *truth.certificates)}
    digits = {str(each.body["address"]): name for name, each in everything.items() if "address" in each.body}

    def reached(start: str) -> set[str]:
        found, queue = {start}, [start]
        while queue:
            body = texts(everything[queue.pop()])
            new = {name for name in everything if re.search(rf"{name}'", body)} | {
                name for number, name in digits.items() if f"'{number}'" in body
            }
            queue += new - found
            found |= new
        return found

    def lives(part: Resource) -> bool:
        run = part.body.get("cloudRun", {})
        masked = "urlMask" in run and bool(truth.services)
        return run.get("service") in truth.services or masked or "defaultUrlRedirect" in part.body

    fronts = [name for name in everything if "/forwardingRules/" in name]
    living = [name for name in fronts if any(lives(everything[each]) for each in reached(name))]
    used = {name for front in living for name in reached(front)}
    stays = set(used)
    proxied = {name for each in truth.parts for name in reached(each.name) if name != each.name}
    for name in everything:
        counted = name not in proxied if "/sslCertificates/" in name else name not in used
        if name not in used and (not settled(truth, name) if counted else True):
            stays |= reached(name) if counted or "/sslCertificates/" not in name else set()
    steps: dict[str, str] = {name: DELETE for name in everything if name not in stays}
    for name in steps:
        if "/sslCertificates/" in name and name in proxied:
            steps[name] = "seen unused"
    return steps


def expected(truth: Truth) -> dict[str, str]:
    return secrets_that_go(truth) | databases_that_go(truth) | rules_that_go(truth) | parts_that_go(truth)


@given(truths())
@many_worlds
def test_exactly_what_nobody_needs_goes_one_step_at_a_time(truth: Truth) -> None:
    made = planned(truth)
    assert not made.refusals
    assert {step.item.name: str(step.action) for step in made.steps} == expected(truth)


@given(truths(), st.sampled_from(sorted(FAILING)))
@many_worlds
def test_a_list_that_fails_costs_nothing_and_stops_only_its_kind(truth: Truth, failing: str) -> None:
    made = planned(truth, failing)
    assert not made.refusals
    steps = {step.item.name: str(step.action) for step in made.steps}
    wanted = expected(truth)
    assert steps.items() <= wanted.items()
    assert not any(step.item.kind == failing for step in made.steps)
    own = {"secret": "secrets", "firewall rule": "firewalls", "sql backup": "backupRuns"}
    if failing in own:
        assert steps == {name: step for name, step in wanted.items() if f"/{own[failing]}/" not in name}


@pytest.mark.parametrize(
    ("place", "step"),
    [
        ("/versions/", "disable"),
        ("/versions/", DELETE),
        ("/secrets/", "disable all versions"),
        ("/secrets/", DELETE),
        ("/instances/", "stop"),
        ("/backupRuns/", DELETE),
        ("/firewalls/", "disable"),
        ("/firewalls/", DELETE),
        ("/forwardingRules/", DELETE),
        ("/networkEndpointGroups/", DELETE),
        ("/sslCertificates/", DELETE),
        ("/sslCertificates/", "seen unused"),
    ],
)
def test_every_step_is_taken_in_some_world(place: str, step: str) -> None:
    """Else the properties above would hold for want of examples."""
    assert find(truths(), lambda truth: any(place in name and each == step for name, each in expected(truth).items()))
