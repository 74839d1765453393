"""Several JSON API calls in one request. https://cloud.google.com/storage/docs/batch"""

from __future__ import annotations

import uuid
from email.parser import BytesParser
from typing import Any

import aiohttp
from aiohttp import web

from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.handlers import Call
from infra.emulator.storage.errors import bad_request
from infra.emulator.storage.web import api

MAX_CALLS = 100


class Batch:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @api("POST", "/batch/storage/v1", method="storage.batch")
    async def batch(self, request: web.Request, _: Call) -> web.Response:
        """Each part goes through the plain door as a request of its own, with the outer one's credentials."""
        parts = _parts(request.headers.get("Content-Type", ""), await request.read())
        if len(parts) > MAX_CALLS:
            raise bad_request(f"The batch request exceeds the limit of {MAX_CALLS} calls.", "batchSizeTooLarge")
        boundary = f"batch_{uuid.uuid4().hex}"
        async with aiohttp.ClientSession() as session:
            answers = [await self._answer(session, request, part, boundary) for part in parts]
        text = b"".join(answers) + f"--{boundary}--\r\n".encode()
        return web.Response(body=text, headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})

    async def _answer(self, session: aiohttp.ClientSession, request: web.Request, part: Any, boundary: str) -> bytes:
        line, _, rest = part.get_payload(decode=True).partition(b"\n")
        verb, target, *_ = line.decode().split()
        head, _, content = rest.replace(b"\r\n", b"\n").partition(b"\n\n")
        inner = BytesParser().parsebytes(head + b"\n\n")
        headers = {"Host": request.host, "X-Forwarded-Proto": request.scheme}
        headers["Content-Type"] = inner.get("Content-Type", "application/json")
        for name in ("Authorization", "X-Goog-User-Project"):
            if value := inner.get(name) or request.headers.get(name):
                headers[name] = value
        path = target.removeprefix(f"https://{request.host}").removeprefix(f"http://{request.host}")
        url = f"http://127.0.0.1:{self._cloud.http_port}{path}"
        async with session.request(verb, url, data=content.strip(), headers=headers) as response:
            payload = await response.read()
            reason = response.reason
        return (
            (
                f"--{boundary}\r\nContent-Type: application/http\r\n"
                f"Content-ID: <response-{part.get('Content-ID', '').strip('<>')}>\r\n\r\n"
                f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.content_type}\r\n"
                f"Content-Length: {len(payload)}\r\n\r\n"
            ).encode()
            + payload
            + b"\r\n"
        )


def _parts(content_type: str, text: bytes) -> list[Any]:
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + text)
    if not message.is_multipart():
        raise bad_request("Failed to parse batch request, error: no parts found.", "badRequest")
    return list(message.get_payload())
