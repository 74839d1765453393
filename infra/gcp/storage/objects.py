"""Cloud Storage: objects, and JSON in them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from google.cloud import storage
from google.cloud.exceptions import NotFound, PreconditionFailed

from infra.gcp.calls.attempts import Attempts
from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage.client import OPTIONS, call

UPLOAD = Attempts(5, 300.0, 600.0)
RANGE_NOT_SATISFIABLE = 416


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    generation: int
    size_bytes: int
    created: datetime


async def upload_once(bucket: str, name: str, path: Path) -> tuple[int, bool]:
    """Uploads a file under a name that tells its content; answers its generation and whether it was sent now."""

    def upload(client: storage.Client) -> tuple[int, bool]:
        blob = client.bucket(bucket).blob(name)
        try:
            blob.upload_from_filename(path, if_generation_match=0, timeout=UPLOAD.timeout_s, retry=None, checksum="md5")
        except PreconditionFailed:
            blob.reload(**OPTIONS)
            return int(blob.generation), False
        return int(blob.generation), True

    return await call("storage.objects.create", upload, UPLOAD)


async def find_object(bucket: str, name: str) -> StoredObject | None:
    def find(client: storage.Client) -> StoredObject | None:
        blob = client.bucket(bucket).get_blob(name, **OPTIONS)
        return None if blob is None else _stored(blob)

    return await call("storage.objects.get", find)


async def read_from(bucket: str, name: str, start: int) -> bytes:
    """The bytes from offset `start` on; b'' while there are none, or while the object does not exist yet."""

    def download(client: storage.Client) -> bytes:
        return bytes(
            client.bucket(bucket).blob(name).download_as_bytes(start=start, raw_download=True, checksum=None, **OPTIONS)
        )

    try:
        return await call("storage.objects.get", download)
    except GoogleError as error:
        if error.status == "NOT_FOUND" or error.http_status == RANGE_NOT_SATISFIABLE:
            return b""
        raise


async def read_json(bucket: str, name: str) -> tuple[Any, int] | None:
    """The value and its generation, None if there is no such object."""
    found = await read_bytes(bucket, name)
    return None if found is None else (json.loads(found[0]), found[1])


async def read_bytes(bucket: str, name: str) -> tuple[bytes, int] | None:
    """All of the object and its generation, None if there is no such object."""

    def download(client: storage.Client) -> tuple[bytes, int] | None:
        blob = client.bucket(bucket).blob(name)
        try:
            content = bytes(blob.download_as_bytes(**OPTIONS))
        except NotFound:
            return None
        return content, int(blob.generation)  # the answer's header: content and generation are of one moment

    return await call("storage.objects.get", download)


async def write_json(bucket: str, name: str, value: Any, generation: int | None) -> int:
    """Writes if the object still has `generation` (0: if there is none; None: in any case); answers the new one.

    Raises GoogleError FAILED_PRECONDITION (HTTP 412) if somebody else wrote meanwhile. An object that holds just this
    was written by an attempt whose answer was lost.
    """
    return await write_text(bucket, name, as_json(value), generation)


def as_json(value: Any) -> bytes:
    """As `write_json` writes it."""
    return json.dumps(value, indent=2, sort_keys=True).encode()


async def write_text(bucket: str, name: str, text: bytes, generation: int | None) -> int:
    """`write_json` for what is JSON already."""
    return await write_bytes(bucket, name, text, "application/json", generation)


async def write_bytes(bucket: str, name: str, content: bytes, kind: str, generation: int | None) -> int:
    """The same for any content; `kind` is its media type."""

    def upload(client: storage.Client) -> int:
        blob = client.bucket(bucket).blob(name)
        try:
            blob.upload_from_string(content, kind, if_generation_match=generation, **OPTIONS)
        except PreconditionFailed:
            blob.reload(**OPTIONS)
            if blob.md5_hash != _md5(content):
                raise
        return int(blob.generation)

    return await call("storage.objects.create", upload)


def _md5(data: bytes) -> str:
    """As Cloud Storage reports it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


async def touch(bucket: str, name: str, generation: int, mark: str) -> None:
    """Notes a mark beside the object, whose content and generation stay; only its metageneration grows.

    Raises GoogleError FAILED_PRECONDITION (HTTP 412) if it has another generation by now, NOT_FOUND if it is gone.
    https://cloud.google.com/storage/docs/metadata#generation-number
    """

    def patch(client: storage.Client) -> None:
        blob = client.bucket(bucket).blob(name)
        blob.metadata = {"mark": mark}
        blob.patch(if_generation_match=generation, **OPTIONS)

    await call("storage.objects.update", patch)


async def age_of(bucket: str, name: str) -> tuple[int, int] | None:
    """Its generation, and its metageneration within that; None if there is no such object."""

    def find(client: storage.Client) -> tuple[int, int] | None:
        blob = client.bucket(bucket).get_blob(name, **OPTIONS)
        return None if blob is None else (int(blob.generation), int(blob.metageneration))

    return await call("storage.objects.get", find)


async def list_objects(bucket: str, prefix: str, start: str | None = None) -> list[StoredObject]:
    """In the order of their names; `start`: only this one and those after it."""

    def listing(client: storage.Client) -> list[StoredObject]:
        return [_stored(b) for b in client.list_blobs(bucket, prefix=prefix, start_offset=start, **OPTIONS)]

    return await call("storage.objects.list", listing)


async def delete_object(bucket: str, name: str, generation: int | None) -> bool:
    """False if it was gone already."""

    def delete(client: storage.Client) -> bool:
        try:
            client.bucket(bucket).blob(name).delete(if_generation_match=generation, **OPTIONS)
        except NotFound:
            return False
        return True

    return await call("storage.objects.delete", delete)


def _stored(blob: Any) -> StoredObject:
    return StoredObject(blob.name, int(blob.generation), int(blob.size), blob.time_created)
