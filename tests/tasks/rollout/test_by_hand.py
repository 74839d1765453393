"""What somebody sets by hand while a release is under way, and the release gives back: only what it has set itself."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from infra.gcp.calls.errors import GoogleError
from infra.gcp.run import access, services
from infra.gcp.run.members import EVERYONE
from tasks.failures.errors import ProofFailed, SlipwayError
from tasks.history.ledger import Ledger
from tasks.manifest.settings import Health
from tasks.model import Candidate, Place, Snapshot
from tasks.release.left_behind import callers_before, candidate_of
from tasks.rollout.access import changing, set_access
from tasks.rollout.restore import taken_back_on_failure
from tasks.rollout.sent import Sent
from tasks.rollout.whole import set_whole, to_change
from tests.conftest import LocalCloud
from tests.tasks.rollout.two import RUN, Two, bucket, neither_faults_nor_logs

__all__ = ["bucket", "neither_faults_nor_logs"]  # fixtures
pytestmark = pytest.mark.usefixtures("cloud_env")

ALL, LB, INTERNAL = (f"INGRESS_TRAFFIC_{name}" for name in ("ALL", "INTERNAL_LOAD_BALANCER", "INTERNAL_ONLY"))
BOB = "user:bob@example.com"


async def opening(**before: Any) -> tuple[Two, Candidate]:
    """A release that opens a service which is closed to everybody and on every way."""
    two = await Two(public=True).made()
    whole = {**await by_hand(two, INTERNAL), "ingress": INTERNAL}
    candidate = replace(two.coming_from(whole=whole, **before), whole={**whole, "ingress": ALL})
    await two.move(two=100)
    return two, candidate


async def by_hand(two: Two, ingress: str) -> dict[str, Any]:
    body = {"name": two.name, "etag": (await two.live()).service.etag, "ingress": ingress}
    return (await services.update_service(body, ["ingress"], 60)).whole


def a_candidate(whole: dict[str, Any]) -> Candidate:
    snapshot = Snapshot(Place("api", "europe-west1"), (), "", "api-1", whole=whole)
    return Candidate("api-2", "", "", "", snapshot, (), Health())


async def opens(two: Two, candidate: Candidate, sent: Sent) -> None:
    """As a shift does when the candidate has all traffic."""
    await set_access.fn(two.request, candidate, sent)  # type: ignore[attr-defined]  # the task without Prefect
    await set_whole.fn(two.request, candidate, sent)  # type: ignore[attr-defined]


async def fails(two: Two, candidate: Candidate, sent: Sent) -> tuple[str, Ledger]:
    """What is said of it when it is taken back."""
    ledger, written = two.ledger(), {two.place: (two.split(two=100),)}
    await ledger.deployed([candidate])
    with suppress(ProofFailed):
        async with taken_back_on_failure(two.request, [], [candidate], written, ledger, sent):
            raise ProofFailed("it does not work", "mend it")
    [target] = ledger.release.targets
    return target.said, ledger


async def doors(two: Two) -> tuple[bool, str]:
    return await access.is_public(two.name), (await two.live()).service.whole["ingress"]


async def test_what_google_writes_out_of_a_setting_is_nobody_elses() -> None:
    """Defaults that nobody has sent, an empty value for none: what that means is compared."""
    two = await Two().made()
    before = (await two.live()).service.whole
    wanted = {"scaling": {"minInstanceCount": 1}, "customAudiences": ["https://shop.example.com"]}
    candidate = replace(two.coming_from(whole={**before, "scaling": {}}), whole={**before, **wanted})
    await two.move(two=100)
    await set_whole.fn(two.request, candidate, sent := Sent())  # type: ignore[attr-defined]
    written = {"scaling": {"minInstanceCount": 1, "maxInstanceCount": 0, "scalingMode": "AUTOMATIC"}}
    await services.update_service({"name": two.name, **written}, ["scaling"], 60)
    assert (await two.live()).service.whole["scaling"] != wanted["scaling"]
    said, _ = await fails(two, candidate, sent)
    assert "customAudiences, scaling as before" in said
    after = (await two.live()).service.whole
    assert (after.get("scaling", {}), after.get("customAudiences")) == ({}, None)


def test_a_setting_that_is_empty_and_one_that_is_not_there_are_one() -> None:
    before = {"scaling": {"scalingMode": "AUTOMATIC"}, "description": ""}
    candidate = replace(a_candidate(before), whole={"ingress": ALL})
    assert to_change(candidate) == ()


async def test_what_the_release_has_opened_is_closed_again() -> None:
    two, candidate = await opening()
    await opens(two, candidate, sent := Sent())
    assert await doors(two) == (True, ALL)
    said, _ = await fails(two, candidate, sent)
    assert await doors(two) == (False, INTERNAL)
    assert "open to its callers as before, ingress as before" in said


async def test_what_somebody_opens_during_a_canary_that_has_opened_nothing_stays_open_and_that_is_said() -> None:
    two, candidate = await opening()
    await access.set_public(two.name, public=True)
    await by_hand(two, ALL)
    said, _ = await fails(two, candidate, Sent())
    assert await doors(two) == (True, ALL)
    assert "open to everyone by somebody else, which stays, ingress as somebody else has set it" in said


async def test_what_was_open_when_the_release_came_to_open_it_stays_open() -> None:
    two, candidate = await opening()
    await access.set_public(two.name, public=True)
    await by_hand(two, ALL)
    await opens(two, candidate, sent := Sent())
    said, _ = await fails(two, candidate, sent)
    assert await doors(two) == (True, ALL)
    assert "which stays" in said


async def test_what_the_release_and_then_somebody_else_has_opened_is_closed() -> None:
    """The two cannot be told apart: the safe side."""
    two, candidate = await opening()
    await opens(two, candidate, sent := Sent())
    for public in (False, True):
        await access.set_public(two.name, public=public)
    await fails(two, candidate, sent)
    assert await doors(two) == (False, INTERNAL)


async def test_what_somebody_has_set_to_something_else_since_stays_and_that_is_said() -> None:
    two, candidate = await opening()
    await opens(two, candidate, sent := Sent())
    await by_hand(two, LB)
    await access.let_in(two.name, [BOB])
    said, _ = await fails(two, candidate, sent)
    assert await access.invokers(two.name) == {BOB}
    assert (await two.live()).service.whole["ingress"] == LB
    assert "ingress as somebody else has set it" in said


async def test_whom_somebody_has_taken_off_before_the_release_could_is_not_let_in_again() -> None:
    two, candidate = await opening(callers={BOB: True})
    candidate = replace(candidate, public=False, invokers=frozenset())
    await opens(two, candidate, sent := Sent())
    await fails(two, candidate, sent)
    assert await access.invokers(two.name) == frozenset()


async def test_what_was_sent_with_an_answer_that_was_lost_is_the_releases_own(cloud: LocalCloud) -> None:
    two, candidate = await opening()
    cloud.put("/faults", [{"method": f"{RUN}/SetIamPolicy", "drop": "after", "times": 1}])
    sent = Sent()
    with suppress(SlipwayError, GoogleError):
        await opens(two, candidate, sent)
    cloud.put("/faults", [])
    assert await access.is_public(two.name)
    await opens(two, candidate, sent)  # as Prefect tries it once more
    await fails(two, candidate, sent)
    assert await doors(two) == (False, INTERNAL)


@pytest.mark.parametrize("sent", [set(), {EVERYONE, "ingress"}], ids=["nothing", "all of it"])
async def test_the_record_tells_reconcile_what_the_release_had_set(sent: Collection[str]) -> None:
    two, candidate = await opening()
    told = Sent()
    told.add(two.place, sent)
    _, ledger = await fails(two, candidate, told)
    [target] = ledger.release.targets
    again = candidate_of(two.request, (await two.live()).service, target)
    assert {*changing(again), *to_change(again)} == {*sent}
    assert callers_before(target) == ({} if sent else {EVERYONE: False})
