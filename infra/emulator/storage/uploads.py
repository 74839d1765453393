"""Uploads: media, multipart and resumable. https://cloud.google.com/storage/docs/uploads-downloads"""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict

from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.storage.errors import bad_request
from infra.emulator.storage.json_objects import OBJECTS, settings
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.related import Related
from infra.emulator.storage.resources import Preconditions, Resource
from infra.emulator.storage.sessions import Sessions
from infra.emulator.storage.staging import CHUNK, Staged, receive
from infra.emulator.storage.web import Access, api, body, object_view, origin, parsed, preconditions

UPLOAD = f"/upload{OBJECTS}"
RESUMABLE = f"/resumable{UPLOAD}"  # as apitools clients, gcloud among them, spell it
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
INSERTABLE = ("crc32c", "md5Hash", "storageClass")


class Uploads:
    def __init__(self, cloud: Cloud) -> None:
        self._objects, self._access = cloud.get(Objects), Access(cloud)
        self._sessions = Sessions(cloud.store, cloud.data / "objects" / ".sessions")

    @api("POST", UPLOAD, method="storage.objects.insert")
    @api("POST", RESUMABLE, method="storage.objects.insert")
    @api("POST", OBJECTS, method="storage.objects.insert")
    async def insert(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        kind = request.query.get("uploadType", "media")
        if kind == "resumable":
            return await self._open(request, call, bucket)
        if kind == "multipart":
            return await self._multipart(request, call, bucket)
        properties = {"contentType": request.content_type}
        staged = self._begin(request, call, bucket, properties)
        await receive(request.content.iter_chunked(CHUNK), staged)
        return self._commit(request, bucket, properties, staged)

    async def _multipart(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        related = Related(request.headers.get("Content-Type", ""), request.content)
        properties = parsed(await related.metadata())
        media_type = await related.media_type()
        properties.setdefault("contentType", media_type or "application/octet-stream")
        staged = self._begin(request, call, bucket, properties)
        await receive(related.media(), staged)
        return self._commit(request, bucket, properties, staged)

    def _begin(self, request: web.Request, call: Call, bucket: str, properties: Resource) -> Staged:
        """Refuses early what would be refused at the end."""
        name = _name(request, properties)
        self._access.writing(call, bucket, name)
        preconditions(request.query).check(self._objects.find(bucket, name))
        return self._objects.stage()

    def _commit(self, request: web.Request, bucket: str, properties: Resource, staged: Staged) -> web.Response:
        name = _name(request, properties)
        resource = self._objects.commit(bucket, name, staged, _insertable(properties), preconditions(request.query))
        return web.json_response(object_view(request, resource))

    async def _open(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        properties = await body(request)
        properties.setdefault("contentType", request.headers.get("X-Upload-Content-Type", "application/octet-stream"))
        name = _name(request, properties)
        self._access.writing(call, bucket, name)
        wanted = preconditions(request.query)
        wanted.check(self._objects.find(bucket, name))
        upload_id = self._sessions.open(
            {"bucket": bucket, "name": name, "properties": properties, "preconditions": asdict(wanted)}
        )
        query = {**request.query, "uploadType": "resumable", "upload_id": upload_id}
        location = f"{origin(request)}{request.rel_url.with_query(query)}"
        return web.Response(status=200, headers={"Location": location, "X-GUploader-UploadID": upload_id})

    @api("PUT", UPLOAD, method="storage.objects.insert")
    @api("PUT", RESUMABLE, method="storage.objects.insert")
    async def resume(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        """Takes a chunk, or tells how far the upload is; whoever knows its id may go on with it."""
        upload_id = request.query.get("upload_id", "")
        session = self._sessions.get(upload_id)
        if "done" in session:
            return web.json_response(object_view(request, session["done"]))
        start, total = _content_range(request)
        if start is not None:
            await self._append(request, upload_id, start)
        received = self._sessions.received(upload_id)
        if received != total:
            headers = {"Range": f"bytes=0-{received - 1}"} if received else {}
            return web.Response(status=308, headers=headers | {"X-GUploader-UploadID": upload_id})
        return web.json_response(object_view(request, await self._complete(request, session, upload_id)))

    async def _append(self, request: web.Request, upload_id: str, start: int) -> None:
        """Adds what is new in a chunk that starts at `start`; bytes sent again are skipped."""
        skip = self._sessions.received(upload_id) - start
        if skip < 0:
            raise bad_request(f"Invalid request. The chunk starts at {start}, {-skip} bytes past what has arrived.")
        with self._sessions.path(upload_id).open("ab") as file:
            async for chunk in request.content.iter_chunked(CHUNK):
                file.write(chunk[skip:])
                skip = max(0, skip - len(chunk))

    async def _complete(self, request: web.Request, session: Resource, upload_id: str) -> Resource:
        staged = self._objects.stage()
        await asyncio.to_thread(staged.fill, self._sessions.path(upload_id))
        wanted = Preconditions(**session["preconditions"])
        properties = _insertable(session["properties"] | _sent_hashes(request))
        resource = self._objects.commit(session["bucket"], session["name"], staged, properties, wanted)
        self._sessions.finish(upload_id, resource)
        return resource

    @api("DELETE", UPLOAD, method="storage.objects.cancelUpload")
    @api("DELETE", RESUMABLE, method="storage.objects.cancelUpload")
    async def cancel(self, request: web.Request, call: Call, bucket: str) -> web.Response:
        upload_id = request.query.get("upload_id", "")
        self._sessions.get(upload_id)
        self._sessions.cancel(upload_id)
        return web.Response(status=499)


def _content_range(request: web.Request) -> tuple[int | None, int | None]:
    """Where the body starts (None for a mere status query) and the total size (None while unknown)."""
    header = request.headers.get("Content-Range")
    if header is None:
        return 0, request.content_length
    match = CONTENT_RANGE.fullmatch(header)
    if match is None:
        raise bad_request(f"Failed to parse Content-Range header: {header}", "badContent")
    start, _, total = match.groups()
    return None if start is None else int(start), None if total == "*" else int(total)


def _sent_hashes(request: web.Request) -> Resource:
    """X-Goog-Hash: crc32c=…,md5=… as a client sends it with its last chunk."""
    names = {"crc32c": "crc32c", "md5": "md5Hash"}
    pairs = (part.strip().partition("=") for part in request.headers.get("X-Goog-Hash", "").split(","))
    return {names[key]: value for key, _, value in pairs if key in names}


def _insertable(properties: Resource) -> Resource:
    return settings(properties) | {key: properties[key] for key in INSERTABLE if properties.get(key)}


def _name(request: web.Request, properties: Resource) -> str:
    name = request.query.get("name") or properties.get("name")
    if not name:
        raise bad_request("Required object name missing", "required")
    return str(name)
