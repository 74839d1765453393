"""One entry of a Cloud Run service's traffic, as a plain value: it needs no client of Google's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrafficTarget:
    """`percent` of the requests to `revision`, or a tag of its own for it, or both."""

    revision: str | None  # short name; None is LATEST: whichever revision became ready last
    percent: int = 0
    tag: str = ""
    uri: str = ""  # of the tag; only in what Cloud Run reports as routed
