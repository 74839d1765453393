"""Objects as values: metadata in the store, contents as one file per generation."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import Projects
from infra.emulator.storage.buckets import Buckets
from infra.emulator.storage.errors import bad_request, bucket_not_empty, no_object
from infra.emulator.storage.resources import NONE, Preconditions, Resource, check_name, new_object, timestamp, touched
from infra.emulator.storage.softdelete import FLEETING, SoftDeleted, check_retained
from infra.emulator.storage.staging import Staged

HASHES = ("size", "md5Hash", "crc32c", "componentCount")


class Objects:
    def __init__(self, store: Store, projects: Projects, policies: Policies, data: Path) -> None:
        self.buckets = Buckets(store, projects, policies)
        self.live = store.values("objects")  # bucket/name -> resource
        self._archived = store.values("archived-objects")  # bucket/name#generation -> resource
        self.soft_deleted = SoftDeleted(store)
        self._growing = store.values("growing-objects")  # bucket/name -> size for which the hashes are right
        self._folder = data / "objects"
        self._last = 0

    def create_bucket(
        self, name: str, project_id: str, location: str = "US", labels: dict[str, str] | None = None
    ) -> Resource:
        """Raises 409, with the text for an own or for somebody else's bucket."""
        return self.buckets.create(name, project_id, location, {"labels": labels} if labels else {})

    def delete_bucket(self, name: str) -> None:
        self.buckets.get(name)
        if self.live.names(f"{name}/") or self._archived.names(f"{name}/"):
            raise bucket_not_empty()
        self.buckets.delete(name)
        for resource in self.soft_deleted.forget(name):
            self.path(resource).unlink(missing_ok=True)

    def exists(self, bucket: str) -> bool:
        return bucket in self.buckets

    def stat(self, bucket: str, name: str, generation: int | None = None) -> Resource:
        """The object's resource with size and hashes as of now; raises 404."""
        self.buckets.get(bucket)
        resource = self.live.get(f"{bucket}/{name}")
        if generation is not None and (resource is None or int(resource["generation"]) != generation):
            resource = self._archived.get(f"{bucket}/{name}#{generation}")
        if resource is None:
            raise no_object(bucket, name)
        return self._measured(resource)

    def find(self, bucket: str, name: str) -> Resource | None:
        """The live object, or None."""
        self.buckets.get(bucket)
        resource = self.live.get(f"{bucket}/{name}")
        return None if resource is None else self._measured(resource)

    def path(self, resource: Resource) -> Path:
        """The file that holds the contents of this generation."""
        return self._folder / str(resource["bucket"]) / str(resource["generation"])

    def read(self, bucket: str, name: str, generation: int | None = None) -> bytes:
        return self.path(self.stat(bucket, name, generation)).read_bytes()

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """Names of the live objects, in order."""
        self.buckets.get(bucket)
        return [key[len(bucket) + 1 :] for key in self.live.names(f"{bucket}/{prefix}")]

    def archived(self, bucket: str, prefix: str = "") -> list[Resource]:
        """Noncurrent generations, by name and generation."""
        return list(self._archived.list(f"{bucket}/{prefix}"))

    def stage(self) -> Staged:
        folder = self._folder / ".staged"
        folder.mkdir(parents=True, exist_ok=True)
        return Staged(folder / uuid.uuid4().hex)

    def write(
        self,
        bucket: str,
        name: str,
        data: bytes,
        content_type: str = "application/octet-stream",
        if_generation_match: int | None = None,
        metadata: dict[str, str] | None = None,
    ) -> Resource:
        """Creates or replaces an object; raises 404 for the bucket, 412 for the precondition."""
        staged = self.stage()
        staged.write(data)
        properties: Resource = {"contentType": content_type} | ({"metadata": metadata} if metadata else {})
        return self.commit(bucket, name, staged, properties, Preconditions(generation=if_generation_match))

    def commit(
        self, bucket: str, name: str, staged: Staged, properties: Resource, preconditions: Preconditions = NONE
    ) -> Resource:
        """Makes staged contents the live generation; the staged file is gone afterwards, whatever happens."""
        try:
            check_name(name)
            self._check_replaceable(bucket, name, preconditions)
            for field, actual in staged.hashes().items():
                if properties.get(field, actual) != actual:
                    raise bad_request(f"Provided {field} doesn't match calculated value {actual}.")
            resource = self._new(bucket, name, properties | staged.hashes())
            if "componentCount" in resource:  # https://cloud.google.com/storage/docs/composite-objects has no MD5
                del resource["md5Hash"]
            staged.move_to(self.path(resource))
        finally:
            staged.discard()
        self._replace(bucket, name, resource)
        return resource

    def copy(
        self, source: Resource, bucket: str, name: str, properties: Resource, preconditions: Preconditions = NONE
    ) -> Resource:
        """A new object with the contents of `source`; instant, since a generation's contents never change."""
        check_name(name)
        self._check_replaceable(bucket, name, preconditions)
        resource = self._new(bucket, name, properties | {key: source[key] for key in HASHES if key in source})
        self.path(resource).parent.mkdir(parents=True, exist_ok=True)
        if f"{source['bucket']}/{source['name']}" in self._growing:
            shutil.copyfile(self.path(source), self.path(resource))
        else:
            os.link(self.path(source), self.path(resource))
        self._replace(bucket, name, resource)
        return resource

    def append(self, bucket: str, name: str, data: bytes) -> None:
        """Grows an object in place, creating it as text if need be: one generation, no new metadata, like a log."""
        key = f"{bucket}/{name}"
        resource = self.live.get(key)
        if resource is None:
            resource = self.write(bucket, name, b"", "text/plain; charset=utf-8")
        if key not in self._growing:
            self._growing.put(key, int(resource["size"]))
        with self.path(resource).open("ab") as file:
            file.write(data)

    def put(self, resource: Resource) -> Resource:
        """Replaces an object's metadata and counts its metageneration up."""
        resource = touched(resource)
        key = f"{resource['bucket']}/{resource['name']}"
        if "timeDeleted" in resource:
            self._archived.put(f"{key}#{resource['generation']}", resource)
        else:
            self.live.put(key, resource)
        return resource

    def delete(
        self, bucket: str, name: str, generation: int | None = None, preconditions: Preconditions = NONE
    ) -> None:
        """Deletes the live object (a versioned bucket archives it), or exactly `generation` and for good."""
        resource = self.stat(bucket, name, generation)
        preconditions.check(resource)
        if generation is not None or not self._versioned(bucket):
            check_retained(self.buckets.get(bucket), resource)
        if generation is None:
            self._replace(bucket, name, None)
            return
        key = f"{bucket}/{name}"
        if "timeDeleted" in resource:
            self._archived.delete(f"{key}#{generation}")
        else:
            self.live.delete(key)
            self._growing.delete(key)
        self._give_up(resource)

    def restore(self, bucket: str, name: str, generation: int, preconditions: Preconditions = NONE) -> Resource:
        """A new live object made of a soft-deleted one, which stays what it is. Raises 404."""
        source = self.soft_deleted.get(self.buckets.get(bucket)["name"], name, generation)
        kept = {key: value for key, value in source.items() if key not in FLEETING}
        return self.copy(source, bucket, name, kept, preconditions)

    def reset(self) -> None:
        """Removes every file; the store forgets the rest."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new(self, bucket: str, name: str, properties: Resource) -> Resource:
        self._last = max(time.time_ns() // 1000, self._last + 1)
        storage_class = self.buckets.get(bucket)["storageClass"]
        return new_object(bucket, name, self._last, {"storageClass": storage_class} | properties)

    def _replace(self, bucket: str, name: str, new: Resource | None) -> None:
        """Puts `new`, or nothing, in the live generation's place; a kill in between leaves at most a file behind."""
        key = f"{bucket}/{name}"
        old = self.live.get(key)
        versioned = self._versioned(bucket)
        if old:
            old = self._measured(old)
        if old and versioned:
            self._archived.put(f"{key}#{old['generation']}", {**old, "timeDeleted": timestamp()})
        self._growing.delete(key)
        if new:
            self.live.put(key, new)
        else:
            self.live.delete(key)
        if old and not versioned:
            self._give_up(old)

    def _versioned(self, bucket: str) -> bool:
        return bool(self.buckets.get(bucket).get("versioning", {}).get("enabled"))

    def _check_replaceable(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        old = self.find(bucket, name)
        preconditions.check(old)
        if old and not self._versioned(bucket):
            check_retained(self.buckets.get(bucket), old)

    def _give_up(self, resource: Resource) -> None:
        """Soft-deletes a generation if its bucket says so; else, and when its time is over, it is gone."""
        over = self.soft_deleted.expired()
        if not self.soft_deleted.take(resource, self.buckets.get(resource["bucket"])):
            over.append(resource)
        for each in over:
            self.path(each).unlink(missing_ok=True)

    def _measured(self, resource: Resource) -> Resource:
        """With size and hashes of a growing object brought up to date."""
        key = f"{resource['bucket']}/{resource['name']}"
        if "timeDeleted" in resource or key not in self._growing:
            return resource
        if self._growing.get(key) != self.path(resource).stat().st_size:
            staged = self.stage()
            staged.fill(self.path(resource))
            resource |= staged.hashes()
            staged.discard()
            self.live.put(key, resource)
            self._growing.put(key, staged.size)
        return resource
