"""Managed services: APIs that people make, and that projects then enable under names of their own.

https://cloud.google.com/service-infrastructure/docs/glossary#managed
"""

from __future__ import annotations

from infra.emulator.kernel.store import Store


class ManagedServices:
    """Rows {project, title} by name; `project` is the id of the one that produces the service."""

    def __init__(self, store: Store) -> None:
        self._table = store.values("managed-services")

    def put(self, name: str, project: str, title: str) -> None:
        self._table.put(name, {"project": project, "title": title})

    def delete(self, name: str) -> None:
        self._table.delete(name)

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def producer(self, name: str) -> str:
        """The project's id; '' for a service that nobody here has made."""
        return str((self._table.get(name) or {}).get("project", ""))

    def title(self, name: str) -> str:
        return str((self._table.get(name) or {}).get("title", name))

    def names(self) -> list[str]:
        return self._table.names()
