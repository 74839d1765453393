"""Buckets and objects as values: metadata in the store, contents as one file per generation."""

from __future__ import annotations

import base64
import datetime
import hashlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from infra.emulator.projects import Projects
from infra.emulator.storage.errors import (
    StorageError,
    bad_request,
    bucket_exists,
    no_bucket,
    no_object,
    precondition_failed,
)
from infra.emulator.store import Store

Resource = dict[str, Any]  # a bucket or an object as the JSON API shows it, without links
MULTI_REGIONS = {"US", "EU", "ASIA"}
CHUNK = 1 << 20
SOFT_DELETE_S = 7 * 24 * 3600  # https://cloud.google.com/storage/docs/soft-delete


@dataclass(frozen=True, slots=True)
class Preconditions:
    """https://cloud.google.com/storage/docs/request-preconditions; 0 as generation means: no live object."""

    generation: int | None = None
    generation_not: int | None = None
    metageneration: int | None = None
    metageneration_not: int | None = None

    def check(self, current: Resource | None) -> None:
        """Raises 412 unless they hold for the live object (or bucket), None if there is none."""
        generation = int(current.get("generation", 0)) if current else 0
        metageneration = int(current["metageneration"]) if current else None
        if self.generation is not None and generation != self.generation:
            raise precondition_failed("If-Match")
        if self.generation_not is not None and generation == self.generation_not:
            raise precondition_failed("If-None-Match")
        if self.metageneration is not None and metageneration != self.metageneration:
            raise precondition_failed("If-Match")
        if self.metageneration_not is not None and metageneration == self.metageneration_not:
            raise precondition_failed("If-None-Match")


NONE = Preconditions()


class Staged:
    """Contents on their way in: a temporary file whose size and hashes grow with each chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._file = path.open("wb")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self._crc32c.update(data)
        self.size += len(data)

    def fill(self, source: Path) -> None:
        """Adds all of a file; run it in a thread when the file may be large."""
        with source.open("rb") as file:
            while chunk := file.read(CHUNK):
                self.write(chunk)

    def flush(self) -> None:
        self._file.flush()

    def hashes(self) -> dict[str, str]:
        return {
            "size": str(self.size),
            "md5Hash": base64.b64encode(self._md5.digest()).decode(),
            "crc32c": base64.b64encode(self._crc32c.digest()).decode(),
        }

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def move_to(self, path: Path) -> None:
        self._file.close()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(path)


class Objects:
    def __init__(self, store: Store, projects: Projects, data: Path) -> None:
        self._buckets = store.values("buckets")  # name -> {project, resource}
        self._live = store.values("objects")  # bucket/name -> resource
        self._archived = store.values("archived-objects")  # bucket/name#generation -> resource
        self._growing = store.values("growing-objects")  # bucket/name -> size for which the hashes are right
        self._projects = projects
        self._folder = data / "objects"
        self._last = 0

    # Buckets

    def create_bucket(
        self,
        name: str,
        project_id: str,
        location: str = "US",
        labels: dict[str, str] | None = None,
        properties: Resource | None = None,
    ) -> Resource:
        """Raises 409, with the text for an own or for somebody else's bucket."""
        row = self._buckets.get(name)
        if row is not None:
            raise bucket_exists(own=row["project"] == project_id)
        resource = new_bucket(name, self._projects.find(project_id).number, location or "US")
        resource |= properties or {}
        if labels:
            resource["labels"] = labels
        self._buckets.put(name, {"project": project_id, "resource": resource})
        return resource

    def bucket(self, name: str) -> Resource:
        """Raises 404."""
        return dict(self._row(name)["resource"])

    def _row(self, name: str) -> Resource:
        row = self._buckets.get(name)
        if row is None:
            raise no_bucket()
        return dict(row)

    def exists(self, bucket: str) -> bool:
        return bucket in self._buckets

    def project_of(self, bucket: str) -> str:
        """The id of the project that owns the bucket; raises 404."""
        return str(self._row(bucket)["project"])

    def buckets(self, project_id: str) -> list[Resource]:
        return [row["resource"] for row in self._buckets.list() if row["project"] == project_id]

    def put_bucket(self, resource: Resource) -> Resource:
        """Replaces a bucket's metadata and counts its metageneration up."""
        resource = touched(resource)
        self._buckets.put(resource["name"], {**self._row(resource["name"]), "resource": resource})
        return resource

    def delete_bucket(self, name: str) -> None:
        self._row(name)
        if self._live.names(f"{name}/") or self._archived.names(f"{name}/"):
            raise StorageError(409, "conflict", "The bucket you tried to delete is not empty.", "BucketNotEmpty")
        self._buckets.delete(name)

    # Objects

    def stat(self, bucket: str, name: str, generation: int | None = None) -> Resource:
        """The object's resource with size and hashes as of now; raises 404."""
        self._row(bucket)
        resource = self._live.get(f"{bucket}/{name}")
        if generation is not None and (resource is None or int(resource["generation"]) != generation):
            resource = self._archived.get(f"{bucket}/{name}#{generation}")
        if resource is None:
            raise no_object(bucket, name)
        return self._measured(resource)

    def find(self, bucket: str, name: str) -> Resource | None:
        """The live object, or None."""
        self._row(bucket)
        resource = self._live.get(f"{bucket}/{name}")
        return None if resource is None else self._measured(resource)

    def path(self, resource: Resource) -> Path:
        """The file that holds the contents of this generation."""
        return self._folder / str(resource["bucket"]) / str(resource["generation"])

    def size(self, bucket: str, name: str) -> int:
        """Bytes at this moment, without hashing what an append has added."""
        resource = self._live.get(f"{bucket}/{name}")
        if resource is None:
            raise no_object(bucket, name)
        return self.path(resource).stat().st_size

    def read(self, bucket: str, name: str, generation: int | None = None) -> bytes:
        return self.path(self.stat(bucket, name, generation)).read_bytes()

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """Names of the live objects, in order."""
        self._row(bucket)
        return [key[len(bucket) + 1 :] for key in self._live.names(f"{bucket}/{prefix}")]

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
            preconditions.check(self.find(bucket, name))
            for field in ("md5Hash", "crc32c"):
                if properties.get(field, (actual := staged.hashes()[field])) != actual:
                    raise bad_request(f"Provided {field} hash doesn't match calculated value {actual}.")
            resource = self._new_object(bucket, name, properties | staged.hashes())
            staged.move_to(self.path(resource))
        finally:
            staged.discard()
        self._retire(bucket, name)
        self._live.put(f"{bucket}/{name}", resource)
        return resource

    def append(self, bucket: str, name: str, data: bytes) -> None:
        """Grows an object in place, creating it as text if need be: one generation, no new metadata, like a log."""
        resource = self._live.get(f"{bucket}/{name}")
        if resource is None:
            resource = self.write(bucket, name, b"", "text/plain; charset=utf-8")
        if f"{bucket}/{name}" not in self._growing:
            self._growing.put(f"{bucket}/{name}", int(resource["size"]))
        with self.path(resource).open("ab") as file:
            file.write(data)

    def put_object(self, resource: Resource) -> Resource:
        """Replaces an object's metadata and counts its metageneration up."""
        resource = touched(resource)
        key = f"{resource['bucket']}/{resource['name']}"
        live = self._live.get(key)
        if live and live["generation"] == resource["generation"]:
            self._live.put(key, resource)
        else:
            self._archived.put(f"{key}#{resource['generation']}", resource)
        return resource

    def delete(
        self, bucket: str, name: str, generation: int | None = None, preconditions: Preconditions = NONE
    ) -> None:
        """Deletes the live object (archives it in a versioned bucket) or exactly `generation`, for good."""
        resource = self.stat(bucket, name, generation)
        preconditions.check(resource)
        if generation is None:
            self._retire(bucket, name)
            return
        key = f"{bucket}/{name}"
        live = self._live.get(key)
        if live and int(live["generation"]) == generation:
            self._forget_live(key)
        self._archived.delete(f"{key}#{generation}")
        self.path(resource).unlink(missing_ok=True)

    def copy(self, source: Resource, bucket: str, name: str, properties: Resource, preconditions: Preconditions) -> Any:
        """A new object with the contents of `source`; instant, since generations never change."""
        check_name(name)
        preconditions.check(self.find(bucket, name))
        hashes = {key: source[key] for key in ("size", "md5Hash", "crc32c") if key in source}
        resource = self._new_object(bucket, name, properties | hashes)
        self.path(resource).parent.mkdir(parents=True, exist_ok=True)
        if f"{source['bucket']}/{source['name']}" in self._growing:
            shutil.copyfile(self.path(source), self.path(resource))
        else:
            os.link(self.path(source), self.path(resource))
        self._retire(bucket, name)
        self._live.put(f"{bucket}/{name}", resource)
        return resource

    def reset(self) -> None:
        """Removes every file; the store forgets the rest."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new_object(self, bucket: str, name: str, properties: Resource) -> Resource:
        self._row(bucket)
        self._last = max(time.time_ns() // 1000, self._last + 1)
        now = timestamp()
        return {
            "contentType": "application/octet-stream",
            "storageClass": "STANDARD",
            **properties,
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{self._last}",
            "name": name,
            "bucket": bucket,
            "generation": str(self._last),
            "metageneration": "1",
            "etag": etag(self._last, 1),
            "timeCreated": now,
            "updated": now,
            "timeStorageClassUpdated": now,
            "timeFinalized": now,
        }

    def _retire(self, bucket: str, name: str) -> None:
        """Takes the live generation away: into the archive of a versioned bucket, else for good."""
        key = f"{bucket}/{name}"
        old = self._live.get(key)
        if old is None:
            return
        if self.bucket(bucket).get("versioning", {}).get("enabled"):
            self._archived.put(f"{key}#{old['generation']}", {**self._measured(old), "timeDeleted": timestamp()})
        else:
            self.path(old).unlink(missing_ok=True)
        self._forget_live(key)

    def _forget_live(self, key: str) -> None:
        self._live.delete(key)
        self._growing.delete(key)

    def _measured(self, resource: Resource) -> Resource:
        """With size and hashes of a growing object brought up to date."""
        key = f"{resource['bucket']}/{resource['name']}"
        if key not in self._growing or resource.get("timeDeleted"):
            return resource
        size = self.path(resource).stat().st_size
        if self._growing.get(key) != size:
            staged = self.stage()
            staged.fill(self.path(resource))
            resource |= staged.hashes()
            staged.discard()
            self._live.put(key, resource)
            self._growing.put(key, staged.size)
        return resource


def new_bucket(name: str, project_number: int, location: str) -> Resource:
    """A bucket as it is right after its creation with nothing but a name and a location."""
    now = timestamp()
    multi = location.upper() in MULTI_REGIONS
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": str(project_number),
        "generation": str(time.time_ns() // 1000),
        "metageneration": "1",
        "location": location.upper(),
        "locationType": "multi-region" if multi else "region",
        "storageClass": "STANDARD",
        "etag": etag(1),
        "timeCreated": now,
        "updated": now,
        "softDeletePolicy": {"retentionDurationSeconds": str(SOFT_DELETE_S), "effectiveTime": now},
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": False},
            "uniformBucketLevelAccess": {"enabled": False},
            "publicAccessPrevention": "inherited",
        },
    } | ({"rpo": "DEFAULT"} if multi else {})


def check_name(name: str) -> None:
    """https://cloud.google.com/storage/docs/objects#naming"""
    if not name or len(name.encode()) > 1024 or "\r" in name or "\n" in name or name in (".", ".."):
        raise bad_request(f"Invalid object name: {name!r}")


def touched(resource: Resource) -> Resource:
    """With its metageneration counted up and everything that follows from that."""
    count = int(resource["metageneration"]) + 1
    numbers = (int(resource["generation"]), count) if resource["kind"] == "storage#object" else (count,)
    return {**resource, "metageneration": str(count), "etag": etag(*numbers), "updated": timestamp()}


def etag(*numbers: int) -> str:
    return base64.b64encode(b"".join(number.to_bytes(8, "little") for number in numbers)).decode()


def timestamp() -> str:
    """Now, as the JSON API writes it: 2026-01-02T03:04:05.678Z"""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
