"""The OCI registry's blobs: downloads in ranges; uploads at once, in chunks or by mounting. All by way of the disk."""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path

from aiohttp import web

from infra.emulator.artifacts.blobs import digest_of_file
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.oci_access import PULL, PUSH, Access, check_digest, oci
from infra.emulator.artifacts.oci_errors import RegistryError, blob_unknown, digest_invalid, upload_unknown
from infra.emulator.artifacts.oci_manifests import VERSION
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call

CHUNK_BYTES = 1 << 18
UPLOAD_ID = re.compile(r"[0-9a-f-]{36}")


class Uploads:
    def __init__(self, cloud: Cloud) -> None:
        self._blobs, self._access = cloud.get(Images).blobs, Access(cloud)

    @oci("GET", "/{name=**}/blobs/{digest=**}", "blobs.get")
    async def get(self, request: web.Request, call: Call, name: str, digest: str) -> web.FileResponse:
        self._access.enter(request, call, name, PULL)
        if check_digest(digest) not in self._blobs:
            raise blob_unknown(digest)
        if request.method == "HEAD":
            self._blobs.touch(digest)  # whoever asks before a push will not upload it
        headers = VERSION | {"Docker-Content-Digest": digest, "Content-Type": "application/octet-stream"}
        return web.FileResponse(self._blobs.path(digest), chunk_size=CHUNK_BYTES, headers=headers)

    @oci("POST", "/{name=**}/blobs/uploads", "uploads.create")
    async def create(self, request: web.Request, call: Call, name: str) -> web.Response:
        self._access.enter(request, call, name, PUSH)
        mounted = request.query.get("mount", "")
        if mounted and self._mountable(request, call, mounted):
            return _created(name, mounted)
        upload_id = str(uuid.uuid4())
        file = self._blobs.upload(upload_id)
        file.touch()
        if digest := request.query.get("digest", ""):
            await _receive(request, file)
            return await self._finish(file, name, digest)
        return _progress(202, name, upload_id, 0)

    def _mountable(self, request: web.Request, call: Call, digest: str) -> bool:
        """Whether the blob is there and the caller may read the repository that it is to be mounted from."""
        try:
            if source := request.query.get("from", ""):
                self._access.enter(request, call, source, PULL)
        except RpcError:
            return False
        self._blobs.touch(check_digest(digest))
        return digest in self._blobs

    @oci("PATCH", "/{name=**}/blobs/uploads/{upload}", "uploads.append")
    async def append(self, request: web.Request, call: Call, name: str, upload: str) -> web.Response:
        self._access.enter(request, call, name, PUSH)
        file = self._file(upload)
        self._check_range(request, file)
        await _receive(request, file)
        return _progress(202, name, upload, file.stat().st_size)

    @oci("PUT", "/{name=**}/blobs/uploads/{upload}", "uploads.finish")
    async def finish(self, request: web.Request, call: Call, name: str, upload: str) -> web.Response:
        self._access.enter(request, call, name, PUSH)
        file = self._file(upload)
        self._check_range(request, file)
        await _receive(request, file)
        return await self._finish(file, name, request.query.get("digest", ""))

    @oci("GET", "/{name=**}/blobs/uploads/{upload}", "uploads.get")
    async def status(self, request: web.Request, call: Call, name: str, upload: str) -> web.Response:
        self._access.enter(request, call, name, PUSH)
        return _progress(204, name, upload, self._file(upload).stat().st_size)

    @oci("DELETE", "/{name=**}/blobs/uploads/{upload}", "uploads.delete")
    async def cancel(self, request: web.Request, call: Call, name: str, upload: str) -> web.Response:
        self._access.enter(request, call, name, PUSH)
        self._blobs.discard(self._file(upload))
        return web.Response(status=204, headers=VERSION)

    def _file(self, upload: str) -> Path:
        file = self._blobs.upload(upload)
        if not UPLOAD_ID.fullmatch(upload) or not file.exists():
            raise upload_unknown(upload)
        return file

    def _check_range(self, request: web.Request, file: Path) -> None:
        """A chunk that says where it belongs must follow what has been received."""
        said = re.fullmatch(r"(?:bytes )?(\d+)-(\d+)(?:/.*)?", request.headers.get("Content-Range", ""))
        size = file.stat().st_size
        if said and int(said[1]) != size:
            error = RegistryError(416, "BLOB_UPLOAD_INVALID", f"The chunk begins at {said[1]}, not at {size}.")
            error.headers["Range"] = _range(size)
            raise error

    async def _finish(self, file: Path, name: str, digest: str) -> web.Response:
        actual = await asyncio.to_thread(digest_of_file, file)
        if check_digest(digest) != actual:
            self._blobs.discard(file)
            raise digest_invalid(f"Provided digest {digest} did not match the uploaded content's, {actual}.")
        self._blobs.adopt(file, digest)
        return _created(name, digest)


async def _receive(request: web.Request, file: Path) -> None:
    with file.open("ab") as stream:
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            stream.write(chunk)


def _created(name: str, digest: str) -> web.Response:
    headers = VERSION | {"Docker-Content-Digest": digest, "Location": f"/v2/{name}/blobs/{digest}"}
    return web.Response(status=201, headers=headers)


def _progress(status: int, name: str, upload: str, size: int) -> web.Response:
    location = f"/v2/{name}/blobs/uploads/{upload}"
    headers = VERSION | {"Location": location, "Docker-Upload-UUID": upload, "Range": _range(size)}
    return web.Response(status=status, headers=headers)


def _range(size: int) -> str:
    """What has been received, as the specification wants it: 0-0 stands for nothing, too."""
    return f"0-{max(0, size - 1)}"
