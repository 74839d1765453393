"""Time series of counted requests: points by sampling period, and their alignment to a caller's own periods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from infra.emulator.run.metrics import BOUNDS_MS, Cell


@dataclass(slots=True)
class Point:
    """What was counted in [start, end), seconds since the epoch."""

    start: float
    end: float
    cell: Cell = field(default_factory=Cell)


@dataclass(frozen=True, slots=True)
class Span:
    """The time a caller asks about; points that end in (start, end] belong to it."""

    start: float
    end: float

    def __contains__(self, moment: float) -> bool:
        return self.start < moment <= self.end


def sampled(cells: Mapping[int, Cell], span: Span, period_s: float, visible_until: float) -> list[Point]:
    """One point per sampling period that has requests, is over, and may be seen already; the newest first."""
    points: dict[int, Point] = {}
    for second, cell in cells.items():
        index = math.floor(second / period_s)
        end = (index + 1) * period_s
        if end in span and end <= visible_until:
            point = points.setdefault(index, Point(index * period_s, end))
            point.cell.merge(cell)
    return [points[index] for index in sorted(points, reverse=True)]


def aligned(points: Iterable[Point], span: Span, period_s: float) -> list[Point]:
    """The points gathered into periods that are counted back from the end of the span; the newest first."""
    gathered: dict[int, Point] = {}
    for point in points:
        index = math.floor((span.end - point.end) / period_s)
        end = span.end - index * period_s
        gathered.setdefault(index, Point(end - period_s, end)).cell.merge(point.cell)
    return [gathered[index] for index in sorted(gathered)]


def percentile_ms(cell: Cell, percent: float) -> float:
    """The percentile of the latencies, interpolated within its bucket as Cloud Monitoring does."""
    wanted, seen = cell.count * percent / 100, 0
    for index in sorted(cell.buckets):
        count = cell.buckets[index]
        if seen + count >= wanted:
            low = BOUNDS_MS[index - 1] if index else 0.0
            high = BOUNDS_MS[min(index, len(BOUNDS_MS) - 1)]
            return low + (high - low) * (wanted - seen) / count
        seen += count
    return 0.0
