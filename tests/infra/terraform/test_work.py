"""Real terraform, its state in the local cloud: its caller dies, it is asked to end, its state is refused."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.cloud.storage import Client

from infra.gcp.calls import polling
from infra.terraform import guard, supervisor
from infra.terraform.bundle import Bundle
from infra.terraform.events import Event, Kind, parse
from infra.terraform.work import TerraformFailed, Work
from tests.conftest import PROJECT, LocalCloud
from tests.infra.terraform.conftest import BUCKET, Make, slow

CALLER = """
import asyncio, sys
from pathlib import Path
from infra.terraform.bundle import Bundle
from infra.terraform.work import Limits, Work
work = Work(Path(sys.argv[1]), Bundle(Path()), Limits(apply_s=60, grace_s=20))
asyncio.run(work.apply(lambda line: print(line, flush=True)))
"""


def nothing(_line: str) -> None:
    """Hears it."""


def lock_of(prefix: str) -> bool:
    return Client(project=PROJECT).bucket(BUCKET).get_blob(f"{prefix}/default.tflock") is not None


async def planned(work: Work, prefix: str) -> Work:
    await work.init(BUCKET, prefix, nothing)
    assert not (await work.plan(nothing)).is_empty
    return work


async def is_whole(work: Work, prefix: str) -> bool:
    """One more plan finds nothing to do, and no lock is left."""
    return (await work.plan(nothing)).is_empty and not lock_of(prefix)


async def goes_on(work: Work, prefix: str) -> bool:
    """One more run makes what is missing. What a provisioner was at, unlike what a provider was, is made again."""
    plan = await work.plan(nothing)
    assert [change.address for change in plan.changes] == ["terraform_data.b"]
    return (await work.apply(nothing)).ok and await is_whole(work, prefix)


async def until(said: str, log: list[str]) -> None:
    async def look() -> bool:
        return any(said in line for line in log)

    await polling.until(look, limit_s=60.0, pause_s=0.05)


async def test_a_run_is_told_line_by_line_and_a_second_plan_is_empty(make: Make, prefix: str) -> None:
    work = await planned(make(slow("a", 0.1)), prefix)
    events: list[Event] = []
    ended = await work.apply(lambda line: events.append(parse(line)))
    assert ended.ok
    assert [each.kind for each in events if each.address == "terraform_data.a" and each.kind is not Kind.TEXT] == [
        Kind.PLANNED,
        Kind.STARTED,
        Kind.DONE,
    ]
    assert list(await work.state()) == ["terraform_data.a"]
    assert await is_whole(work, prefix)


async def test_a_caller_that_is_killed_leaves_terraform_to_finish_and_the_next_one_takes_its_result(
    make: Make, prefix: str
) -> None:
    work = await planned(make(slow("a", 0.1) + slow("b", 3)), prefix)
    caller = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CALLER, str(work.folder), stdout=asyncio.subprocess.PIPE
    )
    assert caller.stdout is not None
    async for line in caller.stdout:
        if b"terraform_data.a: Creation complete" in line:
            break
    caller.kill()
    await caller.wait()
    with pytest.raises(supervisor.StillRunning):  # never two at once
        await work.apply(nothing)
    order = supervisor.last_order(work.folder)
    assert order is not None
    told: list[str] = []
    assert (await supervisor.follow(work.folder, order.log, told.append)).ok
    assert "Apply complete" in told[-2]
    assert await is_whole(work, prefix)


async def test_who_is_cancelled_has_terraform_save_what_it_has(make: Make, prefix: str) -> None:
    work = await planned(make(slow("a", 0.1) + slow("b", 2)), prefix)
    told: list[str] = []
    task = asyncio.create_task(work.apply(told.append))
    await until("terraform_data.a: Creation complete", told)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert supervisor.ended(work.folder).reason == "asked"
    assert not supervisor.is_alive(work.folder)
    assert await goes_on(work, prefix)


async def test_a_deadline_ends_what_does_not_end_and_nothing_of_it_lives_on(make: Make, prefix: str) -> None:
    work = await planned(make(slow("a", 0.1) + slow("b", 60), grace_s=0.5, apply_s=3), prefix)
    began = time.monotonic()
    ended = await work.apply(nothing)
    assert ended.reason == "deadline"
    assert time.monotonic() - began < 30
    assert "terraform_data.a" in await work.state()
    assert not lock_of(prefix)


async def test_without_its_guard_terraform_goes_on_and_can_still_be_ended(make: Make, prefix: str) -> None:
    work = await planned(make(slow("a", 0.1) + slow("b", 2)), prefix)
    told: list[str] = []
    task = asyncio.create_task(work.apply(told.append))
    await until("terraform_data.a: Creation complete", told)
    os.kill(supervisor._started(work.folder)["guard"], signal.SIGKILL)
    await asyncio.sleep(0.3)
    assert supervisor.is_alive(work.folder)
    supervisor.ask_to_end(work.folder)
    assert await task == supervisor.Ended(None, "lost")
    assert await goes_on(work, prefix)


async def test_what_a_killed_terraform_leaves_does_not_live_on(make: Make, prefix: str, tmp_path: Path) -> None:
    """As a provider does that waits for ever: it holds no lock and makes nothing, but would keep others out."""
    mark = tmp_path / "still-here"
    work = await planned(make(slow("a", 0.1) + slow("b", 3, f"touch {mark}")), prefix)
    told: list[str] = []
    task = asyncio.create_task(work.apply(told.append))
    await until("terraform_data.a: Creation complete", told)
    started = supervisor._started(work.folder)
    os.kill(started["guard"], signal.SIGKILL)
    os.kill(started["pid"], signal.SIGKILL)
    assert await task == supervisor.Ended(None, "lost")
    assert not supervisor.is_alive(work.folder)
    await asyncio.sleep(3)
    assert not mark.exists()


async def test_a_state_that_could_not_be_saved_is_saved_later(make: Make, prefix: str, cloud: LocalCloud) -> None:
    work = await planned(make(slow("a", 1)), prefix)
    told: list[str] = []
    task = asyncio.create_task(work.apply(told.append))
    await until("terraform_data.a: Creating", told)
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED"}])
    try:
        ended = await task
    finally:
        cloud.put("/faults", [])
    assert not ended.ok
    assert work.errored.stat().st_mode & 0o77 == 0
    cloud.put("/faults", [{"method": "storage.objects.insert", "code": "PERMISSION_DENIED"}])
    try:
        with pytest.raises(TerraformFailed, match="Error acquiring the state lock"):
            await work.push_errored(nothing)
    finally:
        cloud.put("/faults", [])
    assert work.errored.exists()  # it is all that is known of what was made
    kept = work.errored.read_bytes()
    assert await work.push_errored(nothing)
    assert not work.errored.exists()
    work.errored.write_bytes(kept.replace(b'"lineage": "', b'"lineage": "not-'))
    assert not await work.push_errored(nothing)
    assert not list(work.module.glob("errored*"))  # it holds keys in clear


async def test_who_is_cancelled_twice_still_waits_for_the_end(make: Make, prefix: str) -> None:
    """Until then nobody may say what was made, or begin another run."""
    work = await planned(make(slow("a", 0.1) + slow("b", 2)), prefix)
    told: list[str] = []
    task = asyncio.create_task(work.apply(told.append))
    await until("terraform_data.a: Creation complete", told)
    for _ in range(2):
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not supervisor.is_alive(work.folder)
    assert not list(work.module.glob("plan*"))  # it holds keys in clear


def process(folder: Path, command: str, spent: tuple[str, ...] = ()) -> supervisor.Order:
    return supervisor.Order("apply", ["sh", "-c", command], folder / "log", deadline_s=60, grace_s=1, spent=spent)


async def test_who_is_cancelled_at_once_leaves_nothing_at_work(tmp_path: Path) -> None:
    order = process(tmp_path, "sleep 60")
    task = asyncio.create_task(supervisor.run(tmp_path, order, {"PATH": os.environ["PATH"]}, nothing))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not supervisor.is_alive(tmp_path)


async def test_what_does_not_end_by_itself_is_killed_without_its_guard_too(tmp_path: Path) -> None:
    """As a provider that hangs keeps Terraform from ending."""
    order = process(tmp_path, "trap '' INT; sleep 60; true")
    await supervisor._start(tmp_path, order, {"PATH": os.environ["PATH"]})

    async def has_begun() -> bool:
        return (tmp_path / guard.STARTED).exists()

    await polling.until(has_begun, limit_s=60.0, pause_s=0.05)
    os.kill(supervisor._started(tmp_path)["guard"], signal.SIGKILL)
    await supervisor.end(tmp_path, 0.3, 0.3)
    assert not supervisor.is_alive(tmp_path)


async def test_what_a_run_leaves_is_for_nobody_else_to_read_and_what_is_spent_goes_though_nobody_waits_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "plan").touch()
    order = process(tmp_path, f"touch {tmp_path}/state", spent=(str(tmp_path / "plan"),))
    assert (await supervisor.run(tmp_path, order, {"PATH": os.environ["PATH"]}, nothing)).ok
    assert (tmp_path / "state").stat().st_mode & 0o77 == 0
    assert not (tmp_path / "plan").exists()


def test_what_a_provider_says_that_is_secret_does_not_stay_in_the_logs(tmp_path: Path) -> None:
    work, log = Work(tmp_path, Bundle(tmp_path)), tmp_path / "logs" / "1-apply.jsonl"
    work.mask_logs(str, datetime.now(UTC))  # there are none yet
    log.parent.mkdir()
    log.write_text("the key is AIza")
    work.mask_logs(lambda said: said.replace("AIza", "***"), datetime.now(UTC) + timedelta(hours=1))
    assert log.read_text() == "the key is AIza"  # another run's, which may be at work
    work.mask_logs(lambda said: said.replace("AIza", "***"), datetime.now(UTC) - timedelta(hours=1))
    assert log.read_text() == "the key is ***"


async def test_a_wish_to_end_is_heard_by_a_guard_that_is_only_starting(tmp_path: Path) -> None:
    order = supervisor.Order("apply", ["sleep", "10"], tmp_path / "log", deadline_s=5, grace_s=1)
    await supervisor._start(tmp_path, order, {"PATH": os.environ["PATH"]})
    assert not (tmp_path / guard.STARTED).exists()
    supervisor.ask_to_end(tmp_path)
    assert (await supervisor.follow(tmp_path, order.log, nothing)).reason == "asked"


def test_what_is_written_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    guard.write(tmp_path / "x.json", {"a": 1})
    assert (tmp_path / "x.json").stat().st_mode & 0o77 == 0
