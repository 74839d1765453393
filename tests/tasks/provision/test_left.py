"""Whose lock it is: a dead run's is released, a stranger's never."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra.terraform import guard
from infra.terraform.bundle import Bundle
from infra.terraform.work import Work
from tasks.provision.left import Lock, Span, Whose, _last, judge, over_by, read_lock, waiting
from tasks.provision.record import ProvisionRecord
from tests.tasks.builders import NOW

HERE, ELSEWHERE = "worker-1", "worker-2"
LAST = Span(NOW + timedelta(seconds=20), NOW + timedelta(seconds=60))


def a_lock(host: str = HERE, after_s: float = 30) -> Lock:
    return Lock(7, f"root@{host}", NOW + timedelta(seconds=after_s), "Apply")


def a_run(host: str = HERE, ended_s: float | None = None, applied_s: float | None = None) -> ProvisionRecord:
    finished, applied = (None if each is None else NOW + timedelta(seconds=each) for each in (ended_s, applied_s))
    return ProvisionRecord(
        app="shop", environment="test", run_id="r", started=NOW, finished=finished, host=host, apply_s=600,
        applied=applied,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lock", "runs", "last", "whose"),
    [
        (a_lock(), [a_run()], LAST, Whose.DEAD),
        (a_lock(), [a_run(ended_s=70)], LAST, Whose.DEAD),  # its run has seen that it was killed
        (a_lock(after_s=10), [a_run()], LAST, Whose.STRANGER),  # by hand, on the same machine
        (a_lock(after_s=90), [a_run()], LAST, Whose.STRANGER),
        (a_lock(ELSEWHERE), [a_run()], LAST, Whose.STRANGER),
        (a_lock(ELSEWHERE), [a_run(ELSEWHERE)], LAST, Whose.MAYBE),
        (a_lock(ELSEWHERE), [a_run(ELSEWHERE, 70)], None, Whose.MAYBE),
        (a_lock(ELSEWHERE, 3600), [a_run(ELSEWHERE, 70)], None, Whose.STRANGER),
        (
            a_lock(ELSEWHERE, 900),
            [a_run(ELSEWHERE)],
            None,
            Whose.STRANGER,
        ),  # by hand there, long after that run's death
        (a_lock(ELSEWHERE, 900), [a_run(ELSEWHERE, applied_s=300)], None, Whose.MAYBE),  # it had waited for a person
        (a_lock(), [a_run()], replace(LAST, locks=False), Whose.STRANGER),  # by hand, while ours only planned
        (a_lock(), [a_run()], None, Whose.MAYBE),  # a machine of the same name, with an empty disk
        (a_lock(), [], None, Whose.STRANGER),
    ],
)
def test_whose_lock_it_is(lock: Lock, runs: list[ProvisionRecord], last: Span | None, whose: Whose) -> None:
    assert judge(lock, runs, HERE, last) is whose


def test_a_run_on_another_machine_is_given_the_time_that_its_guard_gives_it() -> None:
    assert over_by(a_lock(ELSEWHERE, 0), [a_run(ELSEWHERE)]) == NOW + timedelta(seconds=660)


def test_who_waits_for_another_machine_says_for_what_until_when_and_how_to_look_and_go_on() -> None:
    lock = a_lock(ELSEWHERE, 0)
    said = waiting("acme-slipway", "provision/shop/test/default.tflock", lock, over_by(lock, [a_run(ELSEWHERE)]))
    until = NOW + timedelta(seconds=660)
    assert f"waiting until {until:%Y-%m-%d %H:%M} UTC at the latest" in said
    assert f"at work on {ELSEWHERE}, for which the state is locked since {NOW:%Y-%m-%d %H:%M} UTC" in said
    assert "gcloud storage cat 'gs://acme-slipway/provision/shop/test/default.tflock'" in said
    assert "gcloud storage rm 'gs://acme-slipway/provision/shop/test/default.tflock#7'" in said


def test_a_lock_is_read_as_terraform_writes_it() -> None:
    written = {
        "ID": "6f",
        "Operation": "OperationTypeApply",
        "Who": "me@box",
        "Created": "2026-11-21T12:00:30.123456789Z",
    }
    lock = read_lock((json.dumps(written).encode(), 1758))
    assert (lock.generation, lock.who, lock.operation) == (1758, "me@box", "Apply")
    assert lock.created > NOW


@pytest.mark.parametrize(
    "text", ["", "mine", "[]", "null", "{}", '{"Who": "ada@laptop"}', '{"Who": "a", "Created": 7}']
)
def test_a_lock_that_terraform_did_not_write_is_a_strangers(text: str) -> None:
    lock = read_lock((text.encode(), 3))
    assert judge(lock, [a_run()], HERE, LAST) is Whose.STRANGER
    assert lock.generation == 3


@pytest.mark.parametrize(("ended_s", "whose"), [(None, Whose.DEAD), (25, Whose.DEAD), (15, Whose.STRANGER)])
def test_a_lock_is_taken_after_the_last_line_that_terraform_wrote_before_it_died(
    tmp_path: Path, ended_s: int | None, whose: Whose
) -> None:
    """It says which version it is, and then no more until it has the lock and knows the state: seconds, or many."""
    began, log = NOW.timestamp(), tmp_path / "log"
    log.touch()
    os.utime(log, (began + 1, began + 1))
    order = {"name": "apply", "command": [], "log": str(log), "deadline_s": 600, "grace_s": 20, "began_s": began}
    (tmp_path / guard.ORDER).write_text(json.dumps(order))
    if ended_s is not None:  # its guard saw that
        guard.write(tmp_path / guard.ENDED, {"code": None, "reason": "deadline"})
        os.utime(tmp_path / guard.ENDED, (began + ended_s, began + ended_s))
    last = _last(Work(tmp_path, Bundle(tmp_path)))
    assert judge(a_lock(after_s=20), [a_run()], HERE, last) is whose


@pytest.mark.parametrize(("name", "whose"), [("init", Whose.DEAD), ("apply", Whose.DEAD), ("plan", Whose.STRANGER)])
def test_a_lock_is_a_dead_runs_only_where_its_terraform_takes_one(tmp_path: Path, name: str, whose: Whose) -> None:
    """init does, in an environment that has no state yet: to be killed there must not look like somebody's work."""
    began, log = NOW.timestamp(), tmp_path / "log"
    log.touch()
    os.utime(log, (began + 20, began + 20))
    order = {"name": name, "command": [], "log": str(log), "deadline_s": 600, "grace_s": 20, "began_s": began}
    (tmp_path / guard.ORDER).write_text(json.dumps(order))
    assert judge(a_lock(after_s=10), [a_run()], HERE, _last(Work(tmp_path, Bundle(tmp_path)))) is whose
