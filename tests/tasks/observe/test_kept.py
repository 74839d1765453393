"""A log as it is kept."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.observe.kept import KeptLog, Line, Made, RunSaid, merged, packed, unpacked

RUN = RunSaid(id=UUID(int=7), name="shop v1.0.0 -> production", flow="deploy", state="Completed")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
lines = st.builds(
    Line,
    id=st.uuids(),
    at=st.integers(0, 5).map(lambda s: NOON + timedelta(seconds=s)),
    level=st.sampled_from([20, 40]),
    logger=st.just("prefect.flow_runs"),
    task_run=st.none() | st.uuids(),
    message=st.text(),
)


@given(st.lists(lines, unique_by=lambda line: line.id))
def test_what_is_packed_is_unpacked_whatever_the_messages_hold(some: list[Line]) -> None:
    log = merged(RUN, some)
    assert unpacked(packed(log)) == log
    assert packed(log) == packed(merged(RUN, some[::-1]))


@given(st.lists(lines, unique_by=lambda line: line.id), st.data())
def test_each_line_is_kept_once_in_the_order_of_time_whoever_adds_which(some: list[Line], data: st.DataObject) -> None:
    before = [line for line in some if data.draw(st.booleans())]
    after = [line for line in some if line not in before or data.draw(st.booleans())]
    kept = merged(RUN, before, after).lines
    assert {line.id for line in kept} == {line.id for line in some}
    assert len(kept) == len(some)
    assert [line.at for line in kept] == sorted(line.at for line in some)


def test_what_was_made_before_stays_and_what_is_newer_replaces_it() -> None:
    before = RUN.model_copy(update={"artifacts": (Made(key="a", data="old"), Made(key="b", data="kept"))})
    after = RUN.model_copy(update={"artifacts": (Made(key="a", data="new"), Made(key="c", data="added"))})
    assert [(each.key, each.data) for each in after.keeping(before).artifacts] == [
        ("a", "new"),
        ("b", "kept"),
        ("c", "added"),
    ]


def test_one_line_is_one_line_of_the_file_as_other_tools_read_it() -> None:
    line = Line(id=uuid4(), at=NOON, level=20, message="one\ntwo\u2028three")
    assert gzip.decompress(packed(KeptLog(run=RUN, lines=(line,)))).count(b"\n") == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", gzip.compress(b"[]\n"), gzip.compress(b"{}")[:-4]],
    ids=["empty", "not packed", "no log", "cut off"],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        unpacked(content)
