"""Who may call a service: slipway.yaml owns whom it names, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prefect import flow

from infra.gcp.run import access
from infra.gcp.run.members import EVERYONE
from tasks.history.record import State, TargetRecord, with_candidate
from tasks.manifest.settings import Health
from tasks.model import Candidate, Outcome, Place, Snapshot
from tasks.release.left_behind import callers_before
from tasks.rollout.access import changing, coming, leaving, set_access
from tasks.rollout.dark import known
from tasks.rollout.restore import give_back
from tasks.rollout.sent import Sent
from tests.tasks.builders import a_record, a_target
from tests.tasks.rollout.two import Two, bucket

__all__ = ["bucket"]  # fixture
ADA, BOB, EVE = (f"user:{name}@example.com" for name in ("ada", "bob", "eve"))
API = Place("api", "europe-west1")


def candidate(before: dict[str, bool] | None, *, public: bool | None = False, invokers: set[str] | None) -> Candidate:
    snapshot = Snapshot(API, (), "", "api-1", callers=before)
    named = None if invokers is None else frozenset(invokers)
    return Candidate("api-2", "", "", "", snapshot, (), Health(), public=public, invokers=named)


@pytest.mark.parametrize(
    ("before", "public", "invokers", "come", "go", "changed"),
    [
        ({}, False, {ADA}, {ADA}, set(), {ADA}),
        ({ADA: False}, False, {ADA}, {ADA}, set(), set()),
        ({ADA: True, BOB: True, EVE: False}, False, {ADA}, {ADA}, {BOB}, {BOB}),
        ({ADA: True, EVERYONE: True}, False, set(), set(), {ADA, EVERYONE}, {ADA, EVERYONE}),
        ({EVERYONE: False}, False, set(), set(), set(), set()),
        ({BOB: True}, True, {ADA}, {ADA, EVERYONE}, {BOB}, {ADA, BOB, EVERYONE}),
        ({ADA: True, EVERYONE: True}, None, None, set(), set(), set()),
        (None, True, {ADA}, {ADA, EVERYONE}, set(), set()),
    ],
    ids=["new", "in already", "others stay", "all gone", "opened by others", "public too", "as it is", "not known"],
)
def test_whom_slipway_yaml_names_comes_and_whom_it_has_named_goes(
    before: dict[str, bool] | None, public: bool | None, invokers: set[str] | None,
    come: set[str], go: set[str], changed: set[str],
) -> None:  # fmt: skip
    found = candidate(before, public=public, invokers=invokers)
    assert [set(each) for each in (coming(found), leaving(found), changing(found))] == [come, go, changed]


@pytest.mark.parametrize("serving", ["api-v1", "by-somebody-else"], ids=["of ours", "of another tool"])
def test_it_is_known_whom_a_release_has_let_in_whatever_serves_since(serving: str) -> None:
    target = a_target("api", "api-v1").model_copy(update={"invokers": (ADA, BOB), "public": True})
    history = [a_record("v2", 2, state=State.FAILED), a_record("v1", 1, targets=(target,))]
    found = known(Snapshot(API, (), "", serving, callers=dict.fromkeys((ADA, EVE, EVERYONE), False)), history)
    assert found.callers == {ADA: True, EVE: False, EVERYONE: True}
    assert known(replace(found, callers=None), history).callers is None


def test_a_record_tells_what_is_to_be_given_back_and_names_nobody_else() -> None:
    made = candidate({ADA: True, BOB: True, EVE: False, EVERYONE: False}, public=True, invokers={ADA})
    kept = with_candidate(TargetRecord(service="api", region="europe-west1"), made, {})
    read = TargetRecord.model_validate_json(kept.model_dump_json())
    assert callers_before(read) == {ADA: True, BOB: True, EVERYONE: False}
    again = candidate(callers_before(read), public=read.public, invokers=set(read.invokers or ()))
    assert changing(again) == changing(made) == {BOB}


def test_a_record_of_a_slipway_that_knew_only_everybody_changes_nobody_else() -> None:
    old: dict[str, Any] = {"service": "api", "region": "europe-west1", "public": True, "was_public": False}
    read = TargetRecord.model_validate(old)
    assert (read.invokers, callers_before(read)) == (None, {})
    assert callers_before(TargetRecord.model_validate({**old, "was_public": None})) is None


async def sets(two: Two, **which: Any) -> frozenset[str]:
    @flow(name="deploy")
    async def deploy() -> None:
        await set_access(two.request, two.candidate, Sent(), **which)

    await deploy()
    return await access.invokers(two.name)


async def a_service(*, there: dict[str, bool], said: set[str]) -> Two:
    """Which revision 2 is for these callers of. there: whether a release of ours has let each in."""
    two = await Two().made()
    await access.let_in(two.name, there)
    two.candidate = replace(two.coming_from(callers=there), invokers=frozenset(said))
    return two


@pytest.mark.usefixtures("cloud_env")
async def test_until_it_serves_alone_it_lets_nobody_in_and_others_keep_what_they_have(prefect: None) -> None:
    two = await a_service(there={ADA: True, EVE: False}, said={BOB})
    assert await sets(two, serves=False) == {EVE}
    assert await sets(two) == {BOB, EVE}
    assert await sets(two) == {BOB, EVE}


@pytest.mark.usefixtures("cloud_env")
async def test_who_is_named_may_call_as_before_when_a_release_is_taken_back() -> None:
    two = await a_service(there={ADA: True, EVE: False}, said={BOB})
    await two.move(two=100)
    await access.let_in(two.name, [BOB], [ADA])
    ending = await give_back(two.request, two.candidate, (two.split(two=100),), careful=False)
    assert ending.outcome is Outcome.TAKEN_BACK
    assert ending.said.endswith(", open to its callers as before")
    assert await access.invokers(two.name) == {ADA, EVE}
