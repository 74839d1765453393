"""What Cloud Run remembers: services, worker pools, revisions, and the little that no message has a field for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.errors import not_found
from infra.emulator.kernel.store import Store, Table
from infra.emulator.run.names import PoolName, ServiceName, owner_of, short

ServicePb: Any = run_v2.Service.pb()
RevisionPb: Any = run_v2.Revision.pb()
PoolPb: Any = run_v2.WorkerPool.pb()
KINDS = {ServiceName.kind: "SERVICE", PoolName.kind: "WORKERPOOL"}


class State:
    def __init__(self, store: Store) -> None:
        self.services = store.messages("run.services", ServicePb)
        self.pools = store.messages("run.pools", PoolPb)
        self.revisions = store.messages("run.revisions", RevisionPb)
        self._images = store.values("run.images")  # revision -> the digest reference its image had when it was made
        self._history = store.values("run.history")  # owner -> {"made": how many revisions ever, "wanted": newest}
        self._ports = store.values("run.ports")  # service or service#tag -> the port of its front door

    def table_of(self, name: str) -> Table[Any]:
        """Where the service or pool is that is called so, or that has the revision which is."""
        return self.pools if owner_of(name).kind == PoolName.kind else self.services

    def owner(self, name: str) -> Any:
        """The service or pool, also by the name of a revision of it: a private copy. Raises NOT_FOUND as Run does."""
        owner = owner_of(name)
        found = self.table_of(name).get(str(owner))
        if found is None:
            raise missing(str(owner), KINDS[owner.kind])
        return found

    def service(self, name: str) -> Any:
        """A private copy; raises NOT_FOUND in Run's words."""
        return self.owner(name)

    def revision(self, name: str) -> Any:
        found = self.revisions.get(name)
        if found is None:
            raise missing(name, "REVISION")
        return found

    def revisions_of(self, owner: str) -> Iterator[Any]:
        return self.revisions.list(f"{owner}/revisions/")

    def add_revision(self, revision: Any) -> None:
        """Stores a new revision and makes it the one that its owner wants to run."""
        owner = str(owner_of(revision.name))
        self.revisions.put(revision.name, revision)
        self._history.put(owner, {"made": self.made(owner) + 1, "wanted": revision.name})

    def made(self, owner: str) -> int:
        """How many revisions it ever had; deleted ones count, so that no generated name comes twice."""
        return int((self._history.get(owner) or {}).get("made", 0))

    def wanted(self, owner: str) -> str:
        """The revision that the owner's present template stands for."""
        return str((self._history.get(owner) or {}).get("wanted", ""))

    def want(self, revision: str) -> None:
        owner = str(owner_of(revision))
        self._history.put(owner, {"made": self.made(owner), "wanted": revision})

    def image(self, revision: str) -> str:
        """The image by digest, once it has been resolved; '' before."""
        return str((self._images.get(revision) or {}).get("image", ""))

    def pin_image(self, revision: str, image: str) -> None:
        self._images.put(revision, {"image": image})

    def port(self, door: str) -> int:
        return int((self._ports.get(door) or {}).get("port", 0))

    def remember_port(self, door: str, port: int) -> None:
        self._ports.put(door, {"port": port})

    def delete_revision(self, name: str) -> None:
        self.revisions.delete(name)
        self._images.delete(name)

    def delete_owner(self, name: str) -> None:
        """With all that it has."""
        for revision in self.revisions.names(f"{name}/revisions/"):
            self.delete_revision(revision)
        for door in [name, *self._ports.names(f"{name}#")]:
            self._ports.delete(door)
        self._history.delete(name)
        self.table_of(name).delete(name)


def missing(name: str, kind: str) -> Exception:
    _, project, _, region, *_ = name.split("/")
    return not_found(
        f"Resource '{short(name)}' of kind '{kind}' in region '{region}' in project '{project}' does not exist."
    )
