"""Freeze windows at their edges, and where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.manifest.shipping import FreezeCron, FreezeDates
from tasks.release.freeze import frozen_at

BERLIN = "Europe/Berlin"  # 2026: 02:00 becomes 03:00 on 29 March, 03:00 becomes 02:00 on 25 October
NEW_YORK = "America/New_York"


def dates(start: str, end: str, reason: str = "") -> FreezeDates:
    return FreezeDates.model_validate({"from": start, "to": end, "timezone": BERLIN, "reason": reason})


def cron(expression: str, duration: str, timezone: str = BERLIN) -> FreezeCron:
    return FreezeCron.model_validate({"cron": expression, "duration": duration, "timezone": timezone})


YEAR_END = dates("2026-12-18", "2027-01-04T08:00", "year end")
WEEKEND = cron("0 16 * * FRI", "62h")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(text: str, timezone: str = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold)


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        pytest.param("2026-12-17T23:59:59", False, id="a-second-before"),
        pytest.param("2026-12-18T00:00:00", True, id="at-the-start"),
        pytest.param("2027-01-04T07:59:59", True, id="a-second-before-the-end"),
        pytest.param("2027-01-04T08:00:00", False, id="at-the-end"),
    ],
)
def test_a_date_window_holds_from_its_start_until_before_its_end(moment: str, frozen: bool) -> None:
    assert (frozen_at(local(moment), [YEAR_END]) is not None) is frozen


def test_a_window_is_read_in_its_own_time_zone_whatever_that_of_the_moment() -> None:
    same_moment = local("2026-12-17T18:30", NEW_YORK)  # 00:30 in Berlin
    freeze = frozen_at(same_moment, [YEAR_END])
    assert freeze is not None
    assert freeze.until == utc("2027-01-04T07:00")
    assert str(freeze) == (
        "frozen until 2027-01-04 08:00 CET (year end): 2026-12-18 00:00 to 2027-01-04 08:00 Europe/Berlin"
    )


@pytest.mark.parametrize(
    ("start", "end", "moment", "frozen"),
    [
        pytest.param("2026-03-29T01:00", "2026-03-29T04:00", "2026-03-29T01:30", True, id="spring-within"),
        pytest.param(
            "2026-03-29T01:00", "2026-03-29T04:00", "2026-03-29T02:00", False, id="spring-ends-an-hour-sooner"
        ),
        pytest.param("2026-03-29T02:30", "2026-03-29T05:00", "2026-03-29T00:30", True, id="start-that-does-not-exist"),
        pytest.param("2026-03-29T01:00", "2026-03-29T02:30", "2026-03-29T01:29", True, id="end-that-does-not-exist"),
        pytest.param(
            "2026-03-29T01:00", "2026-03-29T02:30", "2026-03-29T01:30", False, id="past-an-end-that-does-not-exist"
        ),
        pytest.param(
            "2026-10-25T01:00", "2026-10-25T04:00", "2026-10-25T02:59", True, id="autumn-lasts-an-hour-longer"
        ),
        pytest.param("2026-10-25T02:30", "2026-10-25T04:00", "2026-10-25T00:30", True, id="start-that-exists-twice"),
        pytest.param("2026-10-25T01:00", "2026-10-25T02:30", "2026-10-25T01:29", True, id="end-that-exists-twice"),
        pytest.param(
            "2026-10-25T01:00", "2026-10-25T02:30", "2026-10-25T01:30", False, id="past-an-end-that-exists-twice"
        ),
    ],
)
def test_a_date_window_across_a_clock_change_is_never_short(start: str, end: str, moment: str, frozen: bool) -> None:
    assert (frozen_at(utc(moment), [dates(start, end)]) is not None) is frozen


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        pytest.param("2026-06-05T15:59:59", False, id="friday-a-second-before"),
        pytest.param("2026-06-05T16:00:00", True, id="friday-at-the-minute"),
        pytest.param("2026-06-07T12:00:00", True, id="sunday"),
        pytest.param("2026-06-08T05:59:59", True, id="monday-a-second-before-the-end"),
        pytest.param("2026-06-08T06:00:00", False, id="monday-at-the-end"),
        pytest.param("2026-03-30T06:59:59", True, id="a-weekend-of-spring-ends-an-hour-later-by-the-clock"),
        pytest.param("2026-10-26T05:00:00", False, id="a-weekend-of-autumn-ends-an-hour-sooner-by-the-clock"),
    ],
)
def test_a_cron_window_holds_for_its_duration_in_real_hours(moment: str, frozen: bool) -> None:
    assert (frozen_at(local(moment), [WEEKEND]) is not None) is frozen


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        pytest.param("2026-03-29T00:59", None, id="before-the-gap"),
        pytest.param("2026-03-29T01:00", "2026-03-29T02:00", id="a-start-in-the-gap-begins-at-its-end"),
        pytest.param("2026-10-25T00:29", None, id="before-the-first-of-two"),
        pytest.param("2026-10-25T00:30", "2026-10-25T01:30", id="the-first-of-two-starts-it"),
        pytest.param("2026-10-25T01:15", "2026-10-25T01:30", id="the-repeated-hour-belongs-to-it"),
        pytest.param("2026-10-25T01:30", None, id="the-second-of-two-does-not-start-it-again"),
    ],
)
def test_a_nightly_window_starts_once_where_clocks_change(moment: str, until: str | None) -> None:
    freeze = frozen_at(utc(moment), [cron("30 2 * * *", "1h")])
    assert (freeze and freeze.until) == (until and utc(until))


@pytest.mark.parametrize(
    ("moment", "frozen"),
    [
        pytest.param("2018-03-10T15:29:59", False, id="a-second-before"),
        pytest.param("2018-03-10T15:30:00", True, id="at-the-first-of-two-starts"),
        pytest.param("2018-03-10T16:29:59", True, id="a-second-before-the-end"),
        pytest.param("2018-03-10T18:30:00", False, id="at-the-second-of-two-starts"),
    ],
)
def test_a_window_starts_on_time_where_clocks_are_put_back_by_three_hours(moment: str, frozen: bool) -> None:
    casey = cron("30 2 * * *", "1h", "Antarctica/Casey")  # on 11 March 2018, 04:00 became 01:00
    assert (frozen_at(utc(moment), [casey]) is not None) is frozen


def test_overlapping_starts_of_one_window_freeze_until_the_last_of_them_ends() -> None:
    freeze = frozen_at(utc("2026-06-01T12:30"), [cron("0 * * * *", "3h", "UTC")])
    assert freeze is not None
    assert freeze.until == utc("2026-06-01T15:00")


def test_of_several_windows_the_one_that_ends_last_is_told() -> None:
    freeze = frozen_at(local("2026-12-19T12:00"), [WEEKEND, YEAR_END])
    assert freeze is not None
    assert freeze.window is YEAR_END


def test_without_windows_nothing_is_frozen() -> None:
    assert frozen_at(utc("2026-06-01T12:00"), []) is None


@settings(max_examples=200)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["0 16 * * FRI", "30 2 * * *", "*/15 1-3 * * *", "0 0 1 * *", "5 2 25 10 *"]),
    st.integers(1, 4000),
    st.sampled_from([BERLIN, NEW_YORK, "UTC", "Antarctica/Troll", "Australia/Lord_Howe"]),
)
def test_a_cron_window_agrees_with_a_walk_over_all_its_starts(
    moment: datetime, expression: str, minutes: int, timezone: str
) -> None:
    window = cron(expression, f"{minutes}m", timezone)
    walk = CronSim(expression, (moment - timedelta(minutes=minutes, days=2)).astimezone(ZoneInfo(timezone)))
    frozen = False
    for begin in walk:
        if begin.astimezone(UTC) > moment + timedelta(days=1):
            break
        frozen |= begin.astimezone(UTC) <= moment < begin.astimezone(UTC) + timedelta(seconds=window.duration_s)
    assert (frozen_at(moment, [window]) is not None) is frozen


def test_a_moment_that_names_its_offset_means_that_moment_alone() -> None:
    window = dates("2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00")  # the hour that Berlin has twice, once
    assert frozen_at(utc("2026-10-25T00:30"), [window]) is not None
    assert frozen_at(utc("2026-10-25T01:30"), [window]) is None


def test_a_window_says_itself_as_it_is_written() -> None:
    freeze = frozen_at(local("2026-06-06T12:00"), [WEEKEND])
    assert str(freeze) == "frozen until 2026-06-08 06:00 CEST: 0 16 * * FRI for 62h Europe/Berlin"
