"""Buckets as values: who owns each name, and its metadata."""

from __future__ import annotations

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import Projects
from infra.emulator.storage.errors import bucket_exists, no_bucket
from infra.emulator.storage.resources import Resource, merged, new_bucket, settled, touched


class Buckets:
    def __init__(self, store: Store, projects: Projects, policies: Policies) -> None:
        self.table = store.values("buckets")  # name -> {project, resource}
        self._projects, self._policies = projects, policies

    def create(self, name: str, project_id: str, location: str, settings: Resource) -> Resource:
        """Raises 409, with the text for an own or for somebody else's bucket."""
        row = self.table.get(name)
        if row is not None:
            raise bucket_exists(own=row["project"] == project_id)
        number = self._projects.find(project_id).number
        resource = settled(merged(new_bucket(name, number, location), settings))
        self.table.put(name, {"project": project_id, "resource": resource})
        for role, members in default_bindings(project_id).items():
            for member in members:
                self._policies.grant(f"projects/{project_id}/buckets/{name}", role, member)
        return resource

    def get(self, name: str) -> Resource:
        """Raises 404."""
        return dict(self._row(name)["resource"])

    def project_of(self, name: str) -> str:
        """The id of the project that owns the bucket; raises 404."""
        return str(self._row(name)["project"])

    def _row(self, name: str) -> Resource:
        row = self.table.get(name)
        if row is None:
            raise no_bucket()
        return dict(row)

    def __contains__(self, name: str) -> bool:
        return name in self.table

    def of_project(self, project_id: str) -> list[Resource]:
        """In the order of their names; never another project's."""
        return [row["resource"] for row in self.table.list() if row["project"] == project_id]

    def put(self, resource: Resource) -> Resource:
        """Replaces a bucket's metadata and counts its metageneration up."""
        resource = settled(touched(resource))
        self.table.put(resource["name"], {**self._row(resource["name"]), "resource": resource})
        return resource

    def delete(self, name: str) -> None:
        self._policies.delete(f"projects/{self.project_of(name)}/buckets/{name}")
        self.table.delete(name)


def default_bindings(project_id: str) -> dict[str, list[str]]:
    """Who may what in a new bucket: https://cloud.google.com/storage/docs/access-control/iam-roles#basic-roles-modifiable"""
    writers = [f"projectEditor:{project_id}", f"projectOwner:{project_id}"]
    readers = [f"projectViewer:{project_id}"]
    return {
        "roles/storage.legacyBucketOwner": writers,
        "roles/storage.legacyBucketReader": readers,
        "roles/storage.legacyObjectOwner": writers,
        "roles/storage.legacyObjectReader": readers,
    }
