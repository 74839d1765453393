"""Sending an object's contents, all of it or a range, straight from its file."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from email.utils import format_datetime
from pathlib import Path

from aiohttp import web

from infra.emulator.storage.errors import range_not_satisfiable
from infra.emulator.storage.resources import Resource

CHUNK = 256 << 10
HEADERS = {
    "cacheControl": "Cache-Control",
    "contentDisposition": "Content-Disposition",
    "contentEncoding": "Content-Encoding",
    "contentLanguage": "Content-Language",
}


def headers(resource: Resource) -> dict[str, str]:
    """What describes an object in the headers of a download."""
    updated = datetime.datetime.fromisoformat(resource["updated"])
    hashes = [f"crc32c={resource['crc32c']}"] + ([f"md5={resource['md5Hash']}"] if "md5Hash" in resource else [])
    return {
        "Content-Type": resource["contentType"],
        "ETag": resource["etag"],
        "Last-Modified": format_datetime(updated, usegmt=True),
        "Accept-Ranges": "bytes",
        "X-Goog-Generation": resource["generation"],
        "X-Goog-Metageneration": resource["metageneration"],
        "X-Goog-Storage-Class": resource["storageClass"],
        "X-Goog-Hash": ",".join(hashes),
        "X-Goog-Stored-Content-Encoding": resource.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": resource["size"],
        **{header: resource[name] for name, header in HEADERS.items() if resource.get(name)},
        **{f"X-Goog-Meta-{key}": value for key, value in resource.get("metadata", {}).items()},
    }


async def send(
    request: web.Request, resource: Resource, path: Path, instead: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """200 or 206 with the bytes as stored (gzip stays gzip); 416 for a range that starts past the end.

    instead: headers that take the place of the object's own.
    """
    size = int(resource["size"])
    wanted = span(request, size)
    start, end = wanted or (0, size)
    response = web.StreamResponse(status=206 if wanted else 200, headers=headers(resource) | dict(instead or {}))
    if wanted:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    response.content_length = end - start
    with path.open("rb") as file:
        file.seek(start)
        await response.prepare(request)
        left = 0 if request.method == "HEAD" else end - start
        while left and (chunk := file.read(min(left, CHUNK))):
            await response.write(chunk)
            left -= len(chunk)
    await response.write_eof()
    return response


def span(request: web.Request, size: int) -> tuple[int, int] | None:
    """First byte and the byte after the last of the Range header; None without one, or with one that makes no sense."""
    try:
        wanted = request.http_range
    except ValueError:
        return None
    if wanted.start is None:
        return None
    start, end, _ = wanted.indices(size)
    if start >= end:
        raise range_not_satisfiable()
    return start, end
