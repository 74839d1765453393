"""Requests counted: per revision and response code, by second, with their latencies."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

# Distribution.BucketOptions.Exponential, as run.googleapis.com/request_latencies has it (milliseconds).
BUCKETS, GROWTH, SCALE = 66, 1.4, 1.0
BOUNDS_MS = [SCALE * GROWTH**index for index in range(BUCKETS + 1)]
KEPT_S = 24 * 3600


@dataclass(slots=True)
class Cell:
    """The requests of one series in one second, or in several added up."""

    count: int = 0
    sum_ms: float = 0.0
    squares_ms: float = 0.0  # sum of squares
    buckets: dict[int, int] = field(default_factory=dict)  # index in Distribution.bucket_counts -> count

    def add(self, latency_ms: float) -> None:
        self.count += 1
        self.sum_ms += latency_ms
        self.squares_ms += latency_ms**2
        index = bisect_right(BOUNDS_MS, latency_ms)  # bucket i is [bound i-1, bound i); 0 lies below the first bound
        self.buckets[index] = self.buckets.get(index, 0) + 1

    def merge(self, other: Cell) -> None:
        self.count += other.count
        self.sum_ms += other.sum_ms
        self.squares_ms += other.squares_ms
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count

    @property
    def deviation_squares(self) -> float:
        """Sum of squared deviations from the mean, as Distribution wants it."""
        return max(self.squares_ms - self.sum_ms**2 / self.count, 0.0) if self.count else 0.0


@dataclass(frozen=True, slots=True)
class Series:
    revision: str  # full name
    code: int


class Metrics:
    def __init__(self) -> None:
        self._cells: dict[Series, dict[int, Cell]] = defaultdict(dict)  # by second since the epoch
        self._pruned = 0.0

    def record(self, revision: str, code: int, latency_s: float) -> None:
        second = math.floor(time.time())
        cells = self._cells[Series(revision, code)]
        if second not in cells:
            cells[second] = Cell()
            self._prune(second)
        cells[second].add(latency_s * 1000)

    def series(self, project: str) -> Iterator[tuple[Series, dict[int, Cell]]]:
        prefix = f"projects/{project}/"
        for series, cells in list(self._cells.items()):
            if series.revision.startswith(prefix):
                yield series, cells

    def clear(self) -> None:
        self._cells.clear()

    def _prune(self, now: int) -> None:
        if now - self._pruned < KEPT_S / 24:
            return
        self._pruned = now
        for cells in self._cells.values():
            for second in [second for second in cells if second < now - KEPT_S]:
                del cells[second]
