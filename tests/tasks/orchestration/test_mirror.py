"""Lines go to other places while they are written, and no place takes anything from a run or from another place."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from prefect import flow, get_run_logger

from tasks.orchestration import mirror
from tasks.orchestration.channel import BATCH, MOST, MOST_TEXT, TRIES, Entry, Sink, Standing
from tasks.orchestration.mirror import LONGEST, Mirror, said, show_standing
from tasks.orchestration.plain_errors import ENGINE_LOGGERS

MANY = 200


@dataclass
class Keeping:
    """Keeps what arrives."""

    name: str = "a list"
    at_once: int = 1
    arrived: list[Entry] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    async def send(self, batch: Sequence[Entry]) -> None:
        self.arrived += batch
        self.sizes.append(len(batch))


@dataclass
class Refusing:
    """As many times as it is told, and then no more."""

    times: int = 1_000_000
    name: str = "a wall"
    at_once: int = 1
    arrived: list[Entry] = field(default_factory=list)
    asked: int = 0

    async def send(self, batch: Sequence[Entry]) -> None:
        self.asked += 1
        if self.asked <= self.times:
            raise ConnectionError("password=hunter2hunter2 refused")
        self.arrived += batch


@dataclass
class Hanging:
    """Until the test lets it go, whatever asks it to stop."""

    name: str = "a hole"
    at_once: int = 1
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    async def send(self, batch: Sequence[Entry]) -> None:
        self.entered.set()
        self.gate.wait()


def lines(count: int, **more: object) -> list[logging.LogRecord]:
    records = [logging.LogRecord("prefect.flow_runs", logging.INFO, "", 0, "line %d", (n,), None) for n in range(count)]
    for record in records:
        record.__dict__.update(more)
    return records


def ended(records: Sequence[logging.LogRecord], *sinks: Sink, within_s: float = 30) -> list[str]:
    """What was lost when all of them had been handed on."""
    mirrored = Mirror(sinks, rest_s=0.01)
    for record in records:
        mirrored.emit(record)
    return mirrored.end(within_s)


def test_every_line_arrives_in_order_in_batches_without_a_secret() -> None:
    sink = Keeping()
    secret = lines(1, msg="token=ghp_" + "a" * 36, args=())
    assert ended([*lines(1000, flow_run_id="run-7"), *secret], sink) == []
    assert [each.message for each in sink.arrived] == [*(f"line {n}" for n in range(1000)), "token=***"]
    assert [each.number for each in sink.arrived] == sorted({each.number for each in sink.arrived})
    assert sink.arrived[0].run == "run-7"
    assert max(sink.sizes) <= BATCH


def test_a_place_that_fails_for_a_while_loses_nothing_and_a_batch_is_tried_again() -> None:
    sink = Refusing(times=TRIES - 1)
    assert ended(lines(10), sink) == []
    assert len(sink.arrived) == 10


def test_a_place_that_refuses_all_is_counted_with_its_reason_and_the_others_lose_nothing() -> None:
    keeping, refusing = Keeping(), Refusing()
    [lost] = ended(lines(50), refusing, keeping)
    assert lost == "50 lines of the log did not reach a wall: ConnectionError: password=*** refused"
    assert len(keeping.arrived) == 50


def test_a_place_that_hangs_keeps_nobody_waiting_longer_than_agreed() -> None:
    keeping, hanging = Keeping(), Hanging()
    mirrored = Mirror([hanging, keeping])
    for record in lines(10):
        mirrored.emit(record)
    assert hanging.entered.wait(30)
    began = time.monotonic()
    try:
        [lost] = mirrored.end(0.3)
        assert time.monotonic() - began < 10
    finally:
        hanging.gate.set()
    assert lost == "10 lines of the log did not reach a hole: it was too slow"
    assert len(keeping.arrived) == 10


def test_a_queue_has_an_end_and_what_does_not_fit_is_counted() -> None:
    hanging = Hanging()
    mirrored = Mirror([hanging])
    mirrored.emit(lines(1)[0])
    assert hanging.entered.wait(30)  # the one is in flight, and the queue is empty
    for record in lines(MOST + 7):
        mirrored.emit(record)
    assert mirrored.channels[0].lost == 7
    try:
        [lost] = mirrored.end(0.0)
    finally:
        hanging.gate.set()
    assert lost.startswith(f"{MOST + 8} lines")


@dataclass
class Wide:
    """Lets no batch of lines through before three are there at the same time."""

    name: str = "a page"
    at_once: int = 3
    arrived: list[Entry] = field(default_factory=list)
    here: int = 0
    beside_a_standing: int = 0
    full: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, batch: Sequence[Entry]) -> None:
        self.here += 1
        if self.here == self.at_once:
            self.full.set()
        if batch[0].standing:
            self.beside_a_standing += self.here - 1 + sum(each.standing is None for each in batch)
        else:
            await self.full.wait()
        self.arrived += batch
        self.here -= 1


def test_batches_go_side_by_side_where_order_allows_it_and_how_a_run_stands_comes_after_what_was_before_it() -> None:
    wide = Wide()
    mirrored = Mirror([wide])
    for record in lines(3 * BATCH):
        mirrored.emit(record)
    mirrored.show("run-7", "shop", Standing("completed"))
    mirrored.emit(lines(1)[0])
    assert mirrored.end(120) == []
    assert sorted(each.number for each in wide.arrived) == list(range(1, 3 * BATCH + 3))
    assert [each.number for each in wide.arrived[-2:]] == [3 * BATCH + 1, 3 * BATCH + 2]
    assert wide.beside_a_standing == 0


@dataclass
class Half:
    """Refuses the first batch for good, while the second is on its way until the mirror has been closed."""

    name: str = "a page"
    at_once: int = 2
    gate: threading.Event = field(default_factory=threading.Event)

    async def send(self, batch: Sequence[Entry]) -> None:
        if batch[0].number == 1:
            raise ConnectionError
        await asyncio.to_thread(self.gate.wait)
        raise ConnectionError


def test_each_line_that_is_lost_is_counted_once_whatever_else_was_on_its_way() -> None:
    half = Half()
    mirrored = Mirror([half])
    for record in lines(2 * BATCH):
        mirrored.emit(record)
    while not mirrored.channels[0].lost:
        time.sleep(0.01)
    for record in lines(5):
        mirrored.emit(record)
    threading.Timer(0.1, half.gate.set).start()
    [lost] = mirrored.end(120)
    assert lost.startswith(f"{2 * BATCH + 5} lines")


def test_a_line_whose_arguments_do_not_fit_is_sent_as_it_is() -> None:
    assert said(lines(1, msg="%d of %d", args=("x",))[0]) == "%d of %d"


async def test_loggers_are_left_as_they_were_and_a_run_within_a_run_changes_nothing() -> None:
    before = {name: list(logging.getLogger(name).handlers) for name in ENGINE_LOGGERS}
    outer, inner = Keeping(), Keeping()
    with pytest.raises(KeyError):
        async with mirror.mirrored([outer]):
            async with mirror.mirrored([inner]):
                [added] = set(logging.getLogger("prefect.flow_runs").handlers) - set(before["prefect.flow_runs"])
                added.handle(lines(1)[0])
            raise KeyError
    assert {name: list(logging.getLogger(name).handlers) for name in ENGINE_LOGGERS} == before
    assert ([each.message for each in outer.arrived], inner.arrived) == (["line 0"], [])


def test_no_two_lines_have_the_same_time_and_an_error_has_its_traceback() -> None:
    sink = Keeping()
    records = lines(100)
    for record in records:
        record.created = 1_800_000_000.0
    try:
        raise KeyError("token=ghp_" + "a" * 36)
    except KeyError as error:
        records += lines(1, exc_info=(KeyError, error, error.__traceback__))
    assert ended(records, sink) == []
    times = [f"{each.at:.6f}" for each in sink.arrived[:100]]
    assert times == [f"{1_800_000_000 + number / 1e6:.6f}" for number in range(100)]
    traceback = sink.arrived[100].message
    assert traceback.startswith("line 0\nTraceback (most recent call last):\n")
    assert traceback.endswith("KeyError: 'token=***'")


def test_a_line_that_is_too_long_is_cut_and_says_so() -> None:
    sink = Keeping()
    assert ended(lines(1, msg="x" * (LONGEST + 7), args=()), sink) == []
    assert sink.arrived[0].message == f"{'x' * LONGEST}… and 7 characters more, which are in the log that is kept"


async def test_how_a_run_stands_goes_the_way_of_its_lines_and_what_it_is_about_stays_with_them() -> None:
    sink = Keeping()
    show_standing("run-7", "shop", Standing("running"))  # nobody watches
    async with mirror.mirrored([sink]):
        [added] = [each for each in logging.getLogger("prefect.flow_runs").handlers if isinstance(each, Mirror)]
        show_standing("run-7", "shop", Standing("running", progress=0.0, app="shop", environment="staging"))
        added.handle(lines(1, flow_run_id="run-7")[0])
        added.handle(lines(1, flow_run_id="run-8")[0])
    assert [each.message for each in sink.arrived] == ["the run is running, 0 %", "line 0", "line 0"]
    assert [each.standing is not None for each in sink.arrived] == [True, False, False]
    assert [each.app for each in sink.arrived] == ["shop", "shop", ""]


@pytest.mark.parametrize("many", [4_000, pytest.param(20_000, marks=pytest.mark.faults)])
def test_thousands_of_lines_reach_a_place_that_is_well_whatever_the_others_do(many: int) -> None:
    """And cost the run that writes them next to nothing, measured as time of its own thread."""
    keeping, refusing, hanging = Keeping(), Refusing(), Hanging()
    records = lines(many)
    mirrored = Mirror([refusing, hanging, keeping], rest_s=0.01)
    began = time.thread_time()
    for record in records:
        mirrored.emit(record)
    took_s = time.thread_time() - began
    while len(keeping.arrived) < many:
        time.sleep(0.01)
    try:
        lost = mirrored.end(0.2)
    finally:
        hanging.gate.set()
    assert [each.message for each in keeping.arrived] == [f"line {number}" for number in range(many)]
    assert [each.split(" did not reach ")[0] for each in lost] == [f"{many} lines of the log"] * 2
    assert took_s / many < 50e-6  # 14 is usual; Prefect itself takes 500 microseconds for a line


@pytest.mark.usefixtures("prefect")
def test_a_place_that_hangs_makes_a_run_that_only_logs_no_twentieth_slower() -> None:
    """Both are times of the run's own thread, which a busy machine stretches alike; the best of several counts."""

    @flow
    def logging_run() -> float:
        logger = get_run_logger()
        return least_s(lambda number: logger.info("line %d", number))

    hanging = Hanging()
    mirrored = Mirror([hanging])
    try:
        without_s = logging_run()
        records = lines(MANY)
        mirror_s = least_s(lambda number: mirrored.emit(records[number]))
    finally:
        mirrored.end(0.0)
        hanging.gate.set()
    assert mirror_s < 0.05 * without_s


def least_s(write: Callable[[int], None]) -> float:
    """What `MANY` lines take at best."""
    took = []
    for _ in range(5):
        began = time.thread_time()
        for number in range(MANY):
            write(number)
        took.append(time.thread_time() - began)
    return min(took)


def test_what_waits_for_a_place_that_hangs_takes_no_more_memory_than_agreed() -> None:
    hanging = Hanging()
    mirrored = Mirror([hanging])
    mirrored.emit(lines(1)[0])
    assert hanging.entered.wait(30)
    tracemalloc.start()
    try:
        for number in range(4_000):
            mirrored.emit(lines(1, msg=f"{number} " + "x" * 10_000, args=())[0])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        hanging.gate.set()
    [lost] = mirrored.end(0.0)
    assert most < 1.2 * MOST_TEXT
    assert mirrored.channels[0].lost >= 4_000 - MOST_TEXT // 10_000
    assert "did not reach a hole" in lost


def test_a_place_that_is_left_alone_is_not_waited_for_when_the_run_ends() -> None:
    class Gone:
        name, at_once = "nowhere", 1

        def __init__(self) -> None:
            self.asked = 0

        async def send(self, batch: Sequence[Entry]) -> None:
            self.asked += 1
            raise ConnectionRefusedError

    gone = Gone()
    mirrored = Mirror([gone])
    mirrored.emit(lines(1)[0])
    while not mirrored.channels[0].lost:
        time.sleep(0.01)
    for record in lines(MOST):
        mirrored.emit(record)
    began = time.monotonic()
    [lost] = mirrored.end(600)
    assert time.monotonic() - began < 60
    assert lost == f"{MOST + 1} lines of the log did not reach nowhere: ConnectionRefusedError: "
