"""What of a Cloud Run template decides what is paid: its size, how it is billed, how many instances. Pure.

https://cloud.google.com/run/docs/configuring/billing-settings
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.rollout.words import GPU

# What Google gives a container that says nothing: https://cloud.google.com/run/docs/configuring/services/memory-limits
DEFAULT_CPU, DEFAULT_GIB = 1.0, 0.5
DEFAULT_MOST, DEFAULT_CONCURRENCY = 100, 80
_BYTES = {
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Size:
    """Of an instance, over all its containers."""

    cpu: float
    gib: float
    gpu: bool = False  # what it costs is on no list that is read


@dataclass(frozen=True, slots=True)
class Shape:
    """One revision."""

    size: Size
    by_request: bool  # paid while it answers requests; else for its whole life
    least: int = 0  # instances that are kept running
    most: int = DEFAULT_MOST
    concurrency: int = DEFAULT_CONCURRENCY


@dataclass(frozen=True, slots=True)
class Scaling:
    """Instances of a service as a whole, over all its revisions."""

    least: int = 0
    most: int | None = None
    manual: int | None = None  # this many, whatever the traffic


def shape_of(template: Mapping[str, Any]) -> Shape:
    """template: a RevisionTemplate or a Revision, v2 as JSON."""
    scaling, size = template.get("scaling", {}), size_of(template)
    return Shape(
        size,
        all(map(_idle, template.get("containers", ()))),
        int(scaling.get("minInstanceCount", 0)),
        int(scaling.get("maxInstanceCount", 0)) or DEFAULT_MOST,
        int(template.get("maxInstanceRequestConcurrency", 0)) or (DEFAULT_CONCURRENCY if size.cpu >= 1 else 1),
    )


def scaling_of(whole: Mapping[str, Any]) -> Scaling:
    """whole: a Service, v2 as JSON. Where it is scaled by hand, no number is none."""
    said = whole.get("scaling") or {}
    by_hand = said.get("scalingMode") == "MANUAL" or "manualInstanceCount" in said
    return Scaling(
        int(said.get("minInstanceCount", 0)),
        int(said["maxInstanceCount"]) if said.get("maxInstanceCount") else None,
        int(said.get("manualInstanceCount", 0)) if by_hand else None,
    )


def size_of(template: Mapping[str, Any]) -> Size:
    """template: whatever has containers."""
    limits = [each.get("resources", {}).get("limits", {}) for each in template.get("containers", ())]
    return Size(
        sum(cpus(each["cpu"]) if "cpu" in each else DEFAULT_CPU for each in limits),
        sum(gibibytes(each["memory"]) if "memory" in each else DEFAULT_GIB for each in limits),
        any(GPU in each for each in limits),
    )


def cpus(text: str) -> float:
    """2 of 2 and of 2000m."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def gibibytes(text: str) -> float:
    """0.5 of 512Mi."""
    unit = next((unit for unit in _BYTES if text.endswith(unit)), "")
    return float(text.removesuffix(unit)) * _BYTES.get(unit, 1.0) / 2**30


def _idle(container: Mapping[str, Any]) -> bool:
    """Whether it has CPU during requests only: unlike gcloud, the API takes a container that states its limits and
    nothing else for one that always has.
    """
    resources = container.get("resources")
    return not resources or bool(resources.get("cpuIdle"))
