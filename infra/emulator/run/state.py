"""What Cloud Run remembers: services, revisions and the little that neither message has a field for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.cloud import run_v2

from infra.emulator.kernel.errors import not_found
from infra.emulator.kernel.store import Store
from infra.emulator.run.names import ServiceName, short

ServicePb: Any = run_v2.Service.pb()
RevisionPb: Any = run_v2.Revision.pb()


class State:
    def __init__(self, store: Store) -> None:
        self.services = store.messages("run.services", ServicePb)
        self.revisions = store.messages("run.revisions", RevisionPb)
        self._images = store.values("run.images")  # revision -> the digest reference its image had when it was made
        self._history = store.values("run.history")  # service -> {"made": how many revisions ever, "wanted": newest}
        self._ports = store.values("run.ports")  # service or service#tag -> the port of its front door

    def service(self, name: str) -> Any:
        """A private copy; raises NOT_FOUND in Run's words."""
        found = self.services.get(name)
        if found is None:
            raise missing(name, "SERVICE")
        return found

    def revision(self, name: str) -> Any:
        found = self.revisions.get(name)
        if found is None:
            raise missing(name, "REVISION")
        return found

    def revisions_of(self, service: str) -> Iterator[Any]:
        return self.revisions.list(f"{service}/revisions/")

    def add_revision(self, revision: Any) -> None:
        """Stores a new revision and makes it the one its service wants to run."""
        service = str(ServiceName.parse(revision.name))
        self.revisions.put(revision.name, revision)
        self._history.put(service, {"made": self.made(service) + 1, "wanted": revision.name})

    def made(self, service: str) -> int:
        """How many revisions the service ever had; deleted ones count, so that no generated name comes twice."""
        return int((self._history.get(service) or {}).get("made", 0))

    def wanted(self, service: str) -> str:
        """The revision that the service's present template stands for."""
        return str((self._history.get(service) or {}).get("wanted", ""))

    def want(self, revision: str) -> None:
        service = str(ServiceName.parse(revision))
        self._history.put(service, {"made": self.made(service), "wanted": revision})

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

    def delete_service(self, name: str) -> None:
        for revision in self.revisions.names(f"{name}/revisions/"):
            self.delete_revision(revision)
        for door in [name, *self._ports.names(f"{name}#")]:
            self._ports.delete(door)
        self._history.delete(name)
        self.services.delete(name)


def missing(name: str, kind: str) -> Exception:
    _, project, _, region, *_ = name.split("/")
    return not_found(
        f"Resource '{short(name)}' of kind '{kind}' in region '{region}' in project '{project}' does not exist."
    )
