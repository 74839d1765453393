"""The objects of every cluster, each with the next of the cluster's resource versions, and who watches them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from infra.emulator.kernel.store import Store
from infra.emulator.kubernetes.kinds import BUILT_IN, Kind, custom_kind

Object = dict[str, Any]


class Change(NamedTuple):
    what: str  # ADDED, MODIFIED, DELETED
    cluster: str
    kind: Kind
    found: Object


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    def __init__(self, store: Store) -> None:
        self.table = store.values("kubernetes.objects")
        self._managers = store.values("kubernetes.managers")  # by the same names: manager -> paths that it owns
        self._versions = store.values("kubernetes.versions")
        self._watching: set[asyncio.Queue[Change]] = set()

    def kinds(self, cluster: str) -> Mapping[tuple[str, str], Kind]:
        """By group and plural: those that every server has, and those that definitions add."""
        defined = BUILT_IN["apiextensions.k8s.io", "customresourcedefinitions"]
        customs = (custom_kind(each) for each in self.every(cluster, defined))
        return {**BUILT_IN, **{(each.group, each.plural): each for each in customs}}

    def version(self, cluster: str) -> int:
        return int(self._versions.get(cluster) or 1)

    def every(self, cluster: str, kind: Kind, namespace: str = "") -> list[Object]:
        """By namespace and name."""
        start = f"{cluster}|{kind.group}/{kind.plural}|"
        return list(self.table.list(f"{start}{namespace}|" if namespace else start))

    def get(self, cluster: str, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.table.get(_key(cluster, kind, namespace, name))

    def everything(self, cluster: str, namespace: str = "") -> Iterator[tuple[Kind, Object]]:
        for kind in self.kinds(cluster).values():
            if kind.namespaced or not namespace:
                yield from ((kind, each) for each in self.every(cluster, kind, namespace))

    def add(self, cluster: str, kind: Kind, new: Object) -> Object:
        """With what the server itself gives it."""
        meta = {**new["metadata"], "uid": str(uuid.uuid4()), "creationTimestamp": now()}
        return self._write("ADDED", cluster, kind, {**new, "metadata": meta})

    def change(self, cluster: str, kind: Kind, new: Object) -> Object:
        """What is not different is not written."""
        old = self.get(cluster, kind, new["metadata"].get("namespace", ""), new["metadata"]["name"])
        return old if old == new else self._write("MODIFIED", cluster, kind, new)

    def remove(self, cluster: str, kind: Kind, old: Object) -> None:
        key = _key(cluster, kind, old["metadata"].get("namespace", ""), old["metadata"]["name"])
        version = self._next(cluster)
        self.table.delete(key)
        self._managers.delete(key)
        self._tell(
            Change("DELETED", cluster, kind, {**old, "metadata": {**old["metadata"], "resourceVersion": version}})
        )

    def forget(self, cluster: str) -> None:
        """With the cluster."""
        for table in (self.table, self._managers):
            table.clear(f"{cluster}|")

    def managers(self, cluster: str, kind: Kind, found: Object) -> dict[str, list[str]]:
        meta = found["metadata"]
        return self._managers.get(_key(cluster, kind, meta.get("namespace", ""), meta["name"])) or {}

    def set_managers(self, cluster: str, kind: Kind, found: Object, managers: Mapping[str, list[str]]) -> None:
        meta = found["metadata"]
        self._managers.put(_key(cluster, kind, meta.get("namespace", ""), meta["name"]), dict(managers))

    def _write(self, what: str, cluster: str, kind: Kind, new: Object) -> Object:
        meta = {**new["metadata"], "resourceVersion": self._next(cluster)}
        said = {"apiVersion": kind.group_version, "kind": kind.kind, **new, "metadata": meta}
        self.table.put(_key(cluster, kind, meta.get("namespace", ""), meta["name"]), said)
        self._tell(Change(what, cluster, kind, said))
        return said

    def _next(self, cluster: str) -> str:
        version = self.version(cluster) + 1
        self._versions.put(cluster, version)
        return str(version)

    def _tell(self, change: Change) -> None:
        for queue in self._watching:
            queue.put_nowait(change)

    @contextlib.contextmanager
    def watching(self) -> Iterator[asyncio.Queue[Change]]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._watching.add(queue)
        try:
            yield queue
        finally:
            self._watching.discard(queue)


def _key(cluster: str, kind: Kind, namespace: str, name: str) -> str:
    return f"{cluster}|{kind.group}/{kind.plural}|{namespace}|{name}"
