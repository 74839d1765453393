"""A service, job or worker pool as a reader has seen it: one value, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What it is, by where slipway.yaml says it."""

    SERVICE = "services"
    JOB = "jobs"
    POOL = "worker_pools"


@dataclass(frozen=True, slots=True)
class Built:
    """What an image is built from; folders are below that of slipway.yaml."""

    image: str  # as a file has it, with what its run fills in; '' where nothing tells
    source: str = "."
    dockerfile: str = ""  # below the source; '' is a Dockerfile at its top
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    unsure: bool = True  # nobody has said so
    why: str = ""  # what else a person should know of it

    @property
    def settings(self) -> dict[str, Any]:
        """In the words of slipway.yaml."""
        build = {key: value for key, value in (("args", dict(self.args)), ("target", self.target)) if value}
        named = {"dockerfile": self.dockerfile} if self.dockerfile else {}
        return {"source": self.source, **named, **({"build": build} if build else {})}

    @property
    def decide(self) -> tuple[str, ...]:
        said = f"; it was {self.image}" if self.image else ""
        why = f" {self.why}" if self.why else ""
        return (f"source: the folder that the image is built from{said}.{why}",) if self.unsure else ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One of them in one region."""

    name: str  # Cloud Run's
    region: str  # '' where nothing tells
    body: Mapping[str, Any] = field(repr=False)  # v2, as JSON; the template is that of the revision that serves
    project: str = ""
    public: bool | None = None  # whether everybody may call it; None where that is not known
    built: Built | None = None  # where the repository has what it is built from
    notes: tuple[str, ...] = ()  # what a person should know of it, a sentence each
    decide: tuple[str, ...] = ()  # what a person must decide, a sentence each
    kind: Kind = Kind.SERVICE
    runs: bool = False  # whether whoever deploys it has it run at once, as a job with a migration is
    invokers: tuple[str, ...] = ()  # who else may call it, as slipway.yaml names them
