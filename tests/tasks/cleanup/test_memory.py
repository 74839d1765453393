"""What earlier clean-ups saw decides which empty answers are believed, and how old is what has no age."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.cleanup.engine.model import DELETE, Action, CleanupOutcome, Entry, Item, Listing
from tasks.cleanup.journal import is_of_a_plan
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.cleanup.memory import MEMORY, Memory, skew
from tests.tasks.builders import NOW, a_request
from tests.tasks.cleanup.looks import a_look

LISTED = Listing("Cloud Run services in acme-prod, europe-west1", NOW, 1)


def test_what_had_something_and_suddenly_has_nothing_is_believed_a_day_later() -> None:
    source = LISTED.source
    memory = Memory().counting([replace(LISTED, count=3)], NOW)
    for hours in (0, 1, 19):
        at = NOW + timedelta(hours=hours)
        memory = memory.trusting(at).counting([replace(LISTED, count=0)], at)
        assert memory.floor(source) == 1
    assert memory.trusting(NOW + timedelta(hours=23)).floor(source) == 0
    again = memory.counting([replace(LISTED, count=1)], NOW + timedelta(hours=20))
    assert again.trusting(NOW + timedelta(hours=48)).floor(source) == 1


def test_an_answer_that_failed_does_not_make_the_next_empty_one_believed() -> None:
    memory = Memory().counting([LISTED], NOW).counting([replace(LISTED, count=0, error="503")], NOW)
    assert memory.trusting(datetime.max.replace(tzinfo=UTC)).floor(LISTED.source) == 1


def test_what_is_gone_is_forgotten() -> None:
    """Somebody may make an account of the same name anew."""
    account = Item(SERVICE_ACCOUNT, "accounts/mail", "", None, uploaded=NOW, prepared=NOW)
    memory = Memory().seeing([account], NOW)
    assert (memory.seen, memory.disabled) == ({account.name: NOW}, {account.name: NOW})
    assert memory.seeing([], NOW) == Memory()


def test_a_first_step_is_remembered_as_long_as_it_holds() -> None:
    account = Item(SERVICE_ACCOUNT, "accounts/mail", "", None, uploaded=NOW, prepared=NOW)
    done = Entry(SERVICE_ACCOUNT, account.name, Action("disable"), CleanupOutcome.DONE, "", NOW)
    memory = Memory().taking([done]).seeing([account], NOW)
    assert memory.taken == {account.name: NOW}
    enabled = replace(account, prepared=None)
    after = memory.seeing([enabled], NOW)
    assert after.taken == {}
    assert "somebody has undone, by " in after.heeding(enabled).locked
    assert after.heeding(account) == account  # disabled once more, whoever did that
    assert after.seeing([enabled], NOW + timedelta(days=364)).heeding(enabled).locked
    assert not after.seeing([enabled], NOW + timedelta(days=366)).heeding(enabled).locked
    assert Memory().seeing([enabled], NOW).heeding(enabled) == enabled
    others = (replace(done, action=DELETE), replace(done, outcome=CleanupOutcome.SKIPPED))
    assert Memory().taking(others).taken == {}


def test_the_memory_of_an_earlier_version_knows_no_first_step() -> None:
    saved = {"disabled": {"a": "2026-03-01T12:00:00Z"}}
    assert MEMORY.validate_python(saved, strict=False).taken == {}


async def test_every_listing_of_a_look_must_have_something_where_there_was_something() -> None:
    """Whoever writes a kind need not think of it."""

    async def nothing() -> list[str]:
        return []

    look = replace(a_look((a_request(),)), memory=Memory(counts={"buckets of acme-prod": 3}))
    _, suddenly = await look.listed("buckets of acme-prod", nothing)
    _, never = await look.listed("buckets of acme-staging", nothing)
    assert "at least 1 are known to exist" in suddenly.doubt
    assert not never.doubt


def test_a_clock_that_is_wrong_by_more_than_minutes_is_noticed() -> None:
    """A worker a year ahead finds everything old enough to go."""
    assert not skew(NOW, NOW + timedelta(minutes=4))
    assert "ages cannot be told" in skew(NOW, NOW + timedelta(days=365))
    assert "ages cannot be told" in skew(NOW, NOW - timedelta(hours=1))


def test_of_the_files_of_clean_up_only_plans_and_journals_are_pruned() -> None:
    names = ["20260301T120000.000000Z.json", "20260301T120000.000000Z.journal.json", "memory.json", "environments.json"]
    assert [name for name in names if is_of_a_plan(name)] == names[:2]
