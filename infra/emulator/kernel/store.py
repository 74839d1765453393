"""The one state behind every door: named protobuf messages and JSON values, kept in memory, written through to SQLite.

Reads never touch the disk. A write is in the file (write-ahead log) before the caller goes on, so a killed
emulator comes back as it was.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

V = TypeVar("V")
M = TypeVar("M", bound=Message)
LAST = "\U0010ffff"  # sorts after every character of a name


class Table(Generic[V]):
    """Values by full resource name, in name order."""

    def __init__(
        self,
        database: sqlite3.Connection,
        name: str,
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
    ) -> None:
        self._database, self.name, self._encode, self._decode = database, name, encode, decode
        self._values: dict[str, V] = {}
        self._names: list[str] = []
        self.load()

    def load(self) -> None:
        """Reads the table from the file again; called once, and after a reset."""
        rows = self._database.execute("SELECT name, value FROM state WHERE kind = ? ORDER BY name", (self.name,))
        self._values = {name: self._decode(value) for name, value in rows}
        self._names = sorted(self._values)

    def get(self, name: str) -> V | None:
        """A private copy: change it freely, then `put` it."""
        value = self._values.get(name)
        return None if value is None else self._copy(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._names)

    def put(self, name: str, value: V) -> None:
        if name not in self._values:
            bisect.insort(self._names, name)
        self._values[name] = self._copy(value)
        self._database.execute("REPLACE INTO state VALUES (?, ?, ?)", (self.name, name, self._encode(value)))

    def delete(self, name: str) -> None:
        if self._values.pop(name, None) is None:
            return
        self._names.pop(bisect.bisect_left(self._names, name))
        self._database.execute("DELETE FROM state WHERE kind = ? AND name = ?", (self.name, name))

    def clear(self, prefix: str) -> None:
        """Deletes every value whose name starts with `prefix`, however many."""
        span = self._span(prefix)
        for name in self._names[span]:
            del self._values[name]
        del self._names[span]
        self._database.execute(
            "DELETE FROM state WHERE kind = ? AND name >= ? AND name < ?", (self.name, prefix, prefix + LAST)
        )

    def names(self, prefix: str = "") -> list[str]:
        return self._names[self._span(prefix)]

    def _span(self, prefix: str) -> slice:
        return slice(bisect.bisect_left(self._names, prefix), bisect.bisect_left(self._names, prefix + LAST))

    def list(self, prefix: str = "") -> Iterator[V]:
        for name in self.names(prefix):
            yield self._copy(self._values[name])

    def page(
        self, prefix: str, size: int, token: str, keep: Callable[[str], bool] = lambda _name: True
    ) -> tuple[Sequence[V], str]:
        """Up to `size` values whose name starts with `prefix`, and the token of the next page ('' at the end).

        The token is the last name returned, so a page stays right when values come and go in between.
        """
        names = self.names(prefix)
        if token:
            names = names[bisect.bisect_right(names, token) :]
        page: list[str] = []
        for name in names:
            if keep(name):
                page.append(name)
                if len(page) > size:
                    return [self._copy(self._values[n]) for n in page[:size]], page[size - 1]
        return [self._copy(self._values[n]) for n in page], ""

    def _copy(self, value: V) -> V:
        if isinstance(value, Message):
            clone = type(value)()
            clone.CopyFrom(value)
            return clone
        return self._decode(self._encode(value))


class Store:
    """All tables of one emulated cloud; `path` None keeps them in memory only."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # survives a killed process; a power cut is no concern here
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS state (kind TEXT, name TEXT, value BLOB, PRIMARY KEY (kind, name))"
        )
        self._tables: dict[str, Table[Any]] = {}

    def messages(self, kind: str, message: type[M]) -> Table[M]:
        """The table of protobuf messages called `kind`; the same object on every call."""
        return self._table(kind, lambda value: value.SerializeToString(), message.FromString)

    def values(self, kind: str) -> Table[Any]:
        """The table of JSON values called `kind`."""
        return self._table(kind, lambda value: json.dumps(value).encode(), json.loads)

    def _table(self, kind: str, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]) -> Table[Any]:
        if kind not in self._tables:
            self._tables[kind] = Table(self._database, kind, encode, decode)
        return self._tables[kind]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Writes inside (without an `await` between them) are in the file all or not at all."""
        if self._database.in_transaction:
            yield
            return
        self._database.execute("BEGIN")
        try:
            yield
        finally:
            self._database.execute("COMMIT")

    def reset(self) -> None:
        self._database.execute("DELETE FROM state")
        for table in self._tables.values():
            table.load()

    def close(self) -> None:
        self._database.close()
