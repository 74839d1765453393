"""Freeze windows: the times in which an environment takes no release. Pure.

Windows are written in the local time of a time zone. Where a local time exists twice or not at all, because clocks
change, a window reaches as far as either reading: a freeze is never an hour short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tasks.failures.errors import ManifestError

_CLOCK_CHANGE = timedelta(hours=3)  # the furthest that a zone in tzdata has put its clocks back since 1990
_CRON_REMEDY = "write minute, hour, day of month, month and day of week: 0 16 * * FRI."


@dataclass(frozen=True, slots=True)
class DateWindow:
    """Frozen from `start` until before `end`, both local times without an offset."""

    start: datetime
    end: datetime
    timezone: str  # an IANA name: Europe/Berlin
    reason: str = ""

    def __post_init__(self) -> None:
        _zone(self.timezone)
        if self.start.tzinfo or self.end.tzinfo:
            raise ManifestError(
                f"the freeze window {self} names an offset and a time zone.",
                "write its times without an offset; they are read in its time zone.",
            )
        if self.end <= self.start:
            raise ManifestError(
                f"the freeze window {self} does not end after it begins.", "put the earlier time first."
            )

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} {self.timezone}"

    def frozen_until(self, moment: datetime) -> datetime | None:
        zone = _zone(self.timezone)
        end = max(_readings(self.end, zone))
        return end if min(_readings(self.start, zone)) <= moment < end else None


@dataclass(frozen=True, slots=True)
class CronWindow:
    """Frozen for `duration` from each time the five-field cron expression names: "0 16 * * FRI" for 62 hours."""

    cron: str
    duration: timedelta
    timezone: str  # an IANA name: Europe/Berlin
    reason: str = ""

    def __post_init__(self) -> None:
        _zone(self.timezone)
        if self.duration <= timedelta():
            raise ManifestError(f"the freeze window {self} has no duration.", "give it one above zero.")
        try:
            CronSim(self.cron, datetime.min)
        except CronSimError as error:
            raise ManifestError(f"the freeze window {self} cannot be read: {error}.", _CRON_REMEDY) from error
        if len(self.cron.split()) != 5:
            raise ManifestError(f"the freeze window {self} does not have five fields.", _CRON_REMEDY)

    def __str__(self) -> str:
        return f"{self.cron} for {self.duration} {self.timezone}"

    def frozen_until(self, moment: datetime) -> datetime | None:
        after = (moment + _CLOCK_CHANGE).astimezone(_zone(self.timezone))
        begins = CronSim(self.cron, after, reverse=True)
        begin = next((begin for begin in begins if begin <= moment), None)
        end = begin and begin.astimezone(UTC) + self.duration
        return end if end and end > moment else None


@dataclass(frozen=True, slots=True)
class Freeze:
    """The window that is in force, and when it ends (UTC)."""

    window: DateWindow | CronWindow
    until: datetime

    def __str__(self) -> str:
        local = self.until.astimezone(_zone(self.window.timezone))
        why = f" ({self.window.reason})" if self.window.reason else ""
        return f"frozen until {local:%Y-%m-%d %H:%M %Z}{why}: {self.window}"


def frozen_at(moment: datetime, windows: Iterable[DateWindow | CronWindow]) -> Freeze | None:
    """The freeze in force at `moment`, an aware datetime, or None. Of several, the one that ends last."""
    moment = moment.astimezone(UTC)
    freezes = [Freeze(window, until) for window in windows if (until := window.frozen_until(moment))]
    return max(freezes, key=lambda freeze: freeze.until, default=None)


def _readings(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both moments a local time can mean, in UTC; they differ only where clocks change."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ManifestError(f"{name!r} is not a time zone.", "use an IANA name, as in Europe/Berlin.") from error
