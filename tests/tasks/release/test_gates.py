"""Freezes and people in front of a release."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prefect.logging import disable_run_logger

from tasks.failures.errors import NOT_MOVED, Frozen, NotApproved
from tasks.manifest.settings import Health
from tasks.manifest.shipping import FreezeDates
from tasks.model import Candidate, Override, Place, Proof, Request, Snapshot, Verdict
from tasks.orchestration.approval import Decision
from tasks.release.gates import NAMES_ARE_SAID, approval, refuse_frozen, same_person
from tests.tasks.builders import a_record, a_request

HOLIDAYS = FreezeDates.model_validate({"from": "2026-12-20", "to": "2027-01-04", "reason": "holidays"})
PRODUCTION = a_request().settings.model_copy(update={"freeze": (HOLIDAYS,)})


def test_a_freeze_holds_a_release_that_nobody_answers_for() -> None:
    with pytest.raises(Frozen, match=r"production is .*holidays") as frozen:
        refuse_frozen(PRODUCTION, None, datetime(2026, 12, 24, tzinfo=UTC))
    assert frozen.value.state == NOT_MOVED


def test_somebody_who_answers_for_it_may_release_in_a_freeze() -> None:
    with disable_run_logger():
        refuse_frozen(PRODUCTION, Override(who="Ada", why="the shop is down"), datetime(2026, 12, 24, tzinfo=UTC))


def test_before_and_after_it_nothing_is_held() -> None:
    refuse_frozen(PRODUCTION, None, datetime(2026, 12, 19, 23, 59, tzinfo=UTC))
    refuse_frozen(PRODUCTION, None, datetime(2027, 1, 4, tzinfo=UTC))


PROOFS = (
    Proof(Place("api", "europe-west1"), Verdict.HEALTHY, "it answers", 1, 12.5, 31.0),
    Proof(Place("web", "us-central1"), Verdict.HEALTHY, "it answers"),
)


API = Snapshot(Place("api", "europe-west1"), (), "", "")
CANDIDATES = (Candidate("api-1-4-0", "tag", "https://tag---api", "https://api", API, (), Health()),)
RECORD = a_record("v1.4.0", 0).model_copy(update={"commit": "0613260" + "a" * 33, "trigger": "ada@example.com"})


async def test_where_no_approval_is_required_nobody_is_asked() -> None:
    async def ask(*_question: object) -> Decision:
        pytest.fail("somebody is asked")

    assert await approval(a_request(), CANDIDATES, PROOFS, RECORD, ask) is None


async def test_the_answer_to_the_evidence_is_what_the_record_is_to_keep() -> None:
    asked: list[tuple[str, str, float, str]] = []

    async def ask(question: str, key: str, timeout_s: float, state: str) -> Decision:
        asked.append((question, key, timeout_s, state))
        return Decision(decision="go", who="Ada", why="all green")

    request = a_request()
    settings = request.settings.model_copy(update={"approval": "required", "approval_timeout_s": 90.0})
    before = datetime.now(UTC)
    answer = await approval(replace(request, settings=settings), CANDIDATES, PROOFS, RECORD, ask)
    assert answer is not None
    assert (answer.who, answer.decision, answer.reason) == ("Ada", "go", "all green")
    assert answer.when is not None
    assert before <= answer.when <= datetime.now(UTC)
    [(question, key, timeout_s, state)] = asked
    assert (key, timeout_s, state) == ("approval", 90.0, NOT_MOVED)
    assert question.startswith("**shop v1.4.0 -> production** has no traffic yet")
    assert "| api | europe-west1 | https://tag---api | HEALTHY | 12.5 | 31.0 |\n" in question
    assert "| web | us-central1 | - | HEALTHY | - | - |\n" in question
    assert "Commit `0613260aaaaa`, started by ada@example.com." in question
    assert question.endswith(NAMES_ARE_SAID)


async def test_who_is_asked_sees_what_changes_in_the_settings() -> None:
    asked: list[str] = []

    async def ask(question: str, *_more: object) -> Decision:
        asked.append(question)
        return Decision(decision="go", who="Ada")

    def template(memory: str) -> dict[str, object]:
        return {"containers": [{"image": "web", "resources": {"limits": {"memory": memory}}}], "timeout": "5s"}

    changed = replace(CANDIDATES[0], before=replace(API, config=template("1Gi")), template=template("2Gi"))
    same = replace(changed, template=template("1Gi"))
    request = a_request()
    settings = request.settings.model_copy(update={"approval": "required"})
    for candidate in (changed, same):
        await approval(replace(request, settings=settings), [candidate], PROOFS, RECORD, ask)
    assert "- api in europe-west1: containers[0].resources.limits.memory: 1Gi -> 2Gi\n" in asked[0]
    assert "timeout" not in asked[0]
    assert "No setting changes." in asked[1]


def by_another() -> Request:
    request = a_request()
    settings = request.settings.model_copy(update={"approval": "another", "approval_timeout_s": 90.0})
    return replace(request, settings=settings)


async def test_where_another_must_agree_whoever_started_it_is_told_so_and_asked_again() -> None:
    answers = ["Ada <ada@example.com>", " ADA@example.com", "Grace"]
    asked: list[tuple[str, str, float]] = []

    async def ask(question: str, key: str, timeout_s: float, _state: str) -> Decision:
        asked.append((question, key, timeout_s))
        return Decision(decision="go", who=answers[len(asked) - 1])

    answer = await approval(by_another(), CANDIDATES, PROOFS, RECORD, ask)
    assert answer is not None
    assert answer.who == "Grace"
    assert [key for _, key, _ in asked] == ["approval", "approval-2", "approval-3"]
    assert asked[1][0].startswith("Ada <ada@example.com> has started this release: **somebody else must agree to it**.")
    assert asked[1][0].endswith(asked[0][0])
    assert 80 < asked[2][2] <= asked[1][2] <= 90


async def test_whoever_started_it_may_say_no() -> None:
    async def ask(*_question: object) -> Decision:
        raise NotApproved("Ada said no-go.")

    with pytest.raises(NotApproved, match="Ada said no-go"):
        await approval(by_another(), CANDIDATES, PROOFS, RECORD, ask)


async def test_where_another_must_agree_somebody_must_say_who_started_it() -> None:
    async def ask(*_question: object) -> Decision:
        pytest.fail("somebody is asked")

    with pytest.raises(NotApproved, match="nobody knows who has started this one") as refused:
        await approval(by_another(), CANDIDATES, PROOFS, RECORD.model_copy(update={"trigger": "UI or API"}), ask)
    assert "slipway.started-by" in refused.value.remedy


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@example.com", "ada@example.com", True),
        ("Ada  Lovelace", "ada lovelace", True),
        ("ada", "ada@example.com", True),
        ("Ada Lovelace <ada@example.com>", "ada@example.com", True),
        ("Ada Lovelace (ada@example.com)", "Ada Lovelace", True),
        ("user ada@example.com", "ada@example.com", True),
        ("grace@example.com", "ada@example.com", False),
        ("Grace", "Ada", False),
        ("schedule", "Ada", False),
        ("automation ship on push", "Ada", False),
    ],
)
def test_two_names_may_be_one_persons(one: str, other: str, *, same: bool) -> None:
    assert (same_person(one, other), same_person(other, one)) == (same, same)
