"""Freeze windows: the times in which an environment takes no release. Pure.

Windows are written in the local time of a time zone. Where a local time exists twice or not at all, because clocks
change, a window reaches as far as either reading: a freeze is never an hour short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from tasks.manifest.shipping import FreezeCron, FreezeDates
from tasks.manifest.values import format_duration

# The furthest that a zone in tzdata has put its clocks back since 1990, and a minute: else a search that starts at the
# second of two equal times misses the first.
_CLOCK_CHANGE = timedelta(hours=3, minutes=1)


@dataclass(frozen=True, slots=True)
class FreezeInForce:
    """The window that is in force, and when it ends (UTC)."""

    window: FreezeDates | FreezeCron
    until: datetime

    def __str__(self) -> str:
        local = self.until.astimezone(ZoneInfo(self.window.timezone))
        why = f" ({self.window.reason})" if self.window.reason else ""
        return f"frozen until {local:%Y-%m-%d %H:%M %Z}{why}: {_said(self.window)}"


def frozen_at(moment: datetime, windows: Iterable[FreezeDates | FreezeCron]) -> FreezeInForce | None:
    """The freeze in force at `moment`, an aware datetime, or None. Of several, the one that ends last."""
    moment = moment.astimezone(UTC)
    freezes = [FreezeInForce(window, until) for window in windows if (until := _frozen_until(window, moment))]
    return max(freezes, key=lambda freeze: freeze.until, default=None)


def _frozen_until(window: FreezeDates | FreezeCron, moment: datetime) -> datetime | None:
    if isinstance(window, FreezeDates):
        end = max(_readings(window.end))
        return end if min(_readings(window.start)) <= moment < end else None
    after = (moment + _CLOCK_CHANGE).astimezone(ZoneInfo(window.timezone))
    begins = CronSim(window.cron, after, reverse=True)
    begin = next(begin for begin in begins if begin <= moment)  # a day that no year has is no valid expression
    ended = begin.astimezone(UTC) + timedelta(seconds=window.duration_s)
    return ended if ended > moment else None


def _readings(local: datetime) -> tuple[datetime, datetime]:
    """Both moments a local time can mean, in UTC; they differ only where clocks change."""
    first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _said(window: FreezeDates | FreezeCron) -> str:
    if isinstance(window, FreezeCron):
        return f"{window.cron} for {format_duration(window.duration_s)} {window.timezone}"
    start, end = (each.astimezone(ZoneInfo(window.timezone)) for each in (window.start, window.end))
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} {window.timezone}"
