"""A request that is not done, and why, as it is answered."""

from __future__ import annotations


class Refused(Exception):
    """status: of HTTP. said: for a person who looks at the caller's log."""

    def __init__(self, status: int, said: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(said)
        self.status, self.said, self.headers = status, said, headers or {}
