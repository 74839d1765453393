"""A `gcloud run deploy`, also of a job or a worker pool, while it is read, and how gcloud's flags hold lists. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tasks.describe.adopt.seen import Kind

Json = dict[str, Any]
_OWN = re.compile(r"\^(.+?)\^", re.DOTALL)  # a delimiter of one's own: `gcloud topic escaping`


@dataclass(slots=True)
class Asked:
    """What a command says, while it is read."""

    kind: Kind = Kind.SERVICE
    name: str = ""
    project: str = ""
    region: str = ""
    source: str | None = None
    public: bool | None = None
    main: Json = field(default_factory=dict)
    sidecars: dict[str, Json] = field(default_factory=dict)
    template: Json = field(default_factory=dict)  # of a job's tasks
    execution: Json = field(default_factory=dict)  # of a job's, around its tasks
    service: Json = field(default_factory=dict)
    files: list[str] = field(default_factory=list)  # of variables
    told: list[str] = field(default_factory=list)
    at: str = ""  # the container that flags are about
    named: str = ""  # how the first container was named

    @property
    def container(self) -> Json:
        return self.sidecars.setdefault(self.at, {"name": self.at}) if self.at and self.at != self.named else self.main


def pairs(text: str) -> dict[str, str]:
    """KEY=value,OTHER=value, with another delimiter as ^@^KEY=value@OTHER=value: `gcloud topic escaping`."""
    own = _OWN.match(text)
    delimiter = own[1] if own else ","
    parts = (part for part in (text[own.end() :] if own else text).split(delimiter) if part.strip())
    return {key.strip(): value for key, _, value in (part.partition("=") for part in parts)}


def listed(text: str) -> list[str]:
    own = _OWN.match(text)
    return [each for each in (text[own.end() :] if own else text).split(own[1] if own else ",") if each]
