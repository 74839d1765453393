"""What a gateway says itself, instead of its backend."""

from __future__ import annotations

from aiohttp import web


class Answer(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message

    def response(self) -> web.Response:
        return web.json_response({"code": self.status, "message": self.message}, status=self.status)
