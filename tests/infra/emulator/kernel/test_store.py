"""The store that every emulated service keeps its state in."""

from __future__ import annotations

from pathlib import Path

from google.iam.v1 import policy_pb2
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.kernel.store import Store

NAMES = st.text("ab/\U0010fffe", min_size=1, max_size=4)


def test_a_value_is_a_copy_until_it_is_put_back() -> None:
    table = Store(None).messages("policies", policy_pb2.Policy)
    table.put("p", policy_pb2.Policy(version=1))
    taken = table.get("p")
    assert taken is not None
    taken.version = 2
    assert table.get("p") == policy_pb2.Policy(version=1)
    table.put("p", taken)
    taken.version = 3
    assert table.get("p") == policy_pb2.Policy(version=2)


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    before = Store(tmp_path / "state.db")
    before.values("things").put("a", {"n": 1})
    before.values("things").put("gone", {})
    before.values("things").delete("gone")
    after = Store(tmp_path / "state.db").values("things")
    assert (after.names(), after.get("a"), "gone" in after, len(after)) == (["a"], {"n": 1}, False, 1)


def test_only_its_owner_reads_the_state(tmp_path: Path) -> None:
    path = tmp_path / "cloud/state.db"
    Store(path).values("secrets").put("a", {"n": 1})
    path.chmod(0o644)  # as an earlier version left it
    store = Store(path)
    store.values("secrets").put("b", {"n": 2})
    modes = {file.name: file.stat().st_mode & 0o777 for file in (path.parent, *path.parent.iterdir())}
    assert modes == {"cloud": 0o700, "state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_transaction_reaches_the_file_whole(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    other = Store(tmp_path / "state.db")
    with store.transaction():
        store.values("things").put("a", 1)
        with store.transaction():
            store.values("things").put("b", 2)
        assert other.values("things").names() == []
    assert Store(tmp_path / "state.db").values("things").names() == ["a", "b"]


def test_a_reset_empties_every_table() -> None:
    store = Store(None)
    store.values("one").put("a", 1)
    store.values("two").put("b", 2)
    store.reset()
    assert (store.values("one").names(), store.values("two").names()) == ([], [])


@given(names=st.sets(NAMES), prefix=st.text("ab/", max_size=2))
def test_a_prefix_selects_and_clears_exactly_the_names_that_begin_with_it(names: set[str], prefix: str) -> None:
    store = Store(None)
    table = store.values("things")
    for name in names:
        table.put(name, name)
    chosen = sorted(name for name in names if name.startswith(prefix))
    assert (table.names(prefix), list(table.list(prefix))) == (chosen, chosen)
    table.clear(prefix)
    assert table.names() == sorted(names - set(chosen))
    table.load()
    assert table.names() == sorted(names - set(chosen))


@given(names=st.sets(NAMES, min_size=1), size=st.integers(1, 4), doomed=st.sets(NAMES), late=st.sets(NAMES))
def test_pages_show_what_stays_exactly_once(names: set[str], size: int, doomed: set[str], late: set[str]) -> None:
    """Whatever comes and goes between two pages, a value that is there throughout is neither missed nor repeated."""
    table = Store(None).values("things")
    for name in names:
        table.put(name, name)
    seen: list[str] = []
    token, first = "", True
    while first or token:
        page, token = table.page("", size, token)
        assert len(page) <= size
        seen += page
        if first:
            for name in doomed:
                table.delete(name)
            for name in late - names:
                table.put(name, name)
        first = False
    assert len(seen) == len(set(seen))
    assert set(seen) >= names - doomed
