"""The one state behind every door: named protobuf messages and JSON values, kept in memory, written through to SQLite.

Reads never touch the disk. A write is in the file (write-ahead log) before the caller goes on, so a killed
emulator comes back as it was.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message
from sortedcontainers import SortedDict

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
        self._values = SortedDict()
        self.load()

    def load(self) -> None:
        """Reads the table from the file again; called once, and after a reset."""
        rows = self._database.execute("SELECT name, value FROM state WHERE kind = ?", (self.name,))
        self._values = SortedDict((name, self._decode(value)) for name, value in rows)

    def get(self, name: str) -> V | None:
        """A private copy: change it freely, then `put` it."""
        value = self._values.get(name)
        return None if value is None else self._copy(value)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def put(self, name: str, value: V) -> None:
        self._values[name] = self._copy(value)
        self._database.execute("REPLACE INTO state VALUES (?, ?, ?)", (self.name, name, self._encode(value)))

    def delete(self, name: str) -> None:
        if self._values.pop(name, None) is None:
            return
        self._database.execute("DELETE FROM state WHERE kind = ? AND name = ?", (self.name, name))

    def clear(self, prefix: str) -> None:
        """Deletes every value whose name starts with `prefix`, however many."""
        for name in self.names(prefix):
            del self._values[name]
        self._database.execute(
            "DELETE FROM state WHERE kind = ? AND name >= ? AND name < ?", (self.name, prefix, prefix + LAST)
        )

    def names(self, prefix: str = "") -> list[str]:
        return list(self._values.irange(prefix, prefix + LAST, inclusive=(True, False)))

    def list(self, prefix: str = "") -> Iterator[V]:
        for name in self.names(prefix):
            yield self._copy(self._values[name])

    def page(
        self, prefix: str, size: int, token: str, keep: Callable[[str], bool] = lambda _name: True
    ) -> tuple[Sequence[V], str]:
        """Up to `size` values whose name starts with `prefix`, and the token of the next page ('' at the end).

        The token is the last name returned, so a page stays right when values come and go in between.
        """
        names = self._values.irange(max(prefix, token), prefix + LAST, inclusive=(not token, False))
        page = list(islice(filter(keep, names), size + 1))
        left = page[size - 1] if len(page) > size else ""
        return [self._copy(self._values[name]) for name in page[:size]], left

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
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)  # secrets are in it; SQLite gives its other files the same mode
            for file in path.parent.glob(f"{path.name}*"):
                file.chmod(0o600)
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
