"""How much of a span of time are working hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.hours import Hours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Hours(BERLIN)
H = timedelta(hours=1)


def local(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    """In March of 2026 the 9th is a Monday."""
    return datetime(2026, month, day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        (local(9, 8), local(9, 18), 10),
        (local(9, 0), local(10, 0), 10),
        (local(9, 12), local(9, 13, 30), 1.5),
        (local(9, 17), local(10, 9), 2),
        (local(13, 17), local(16, 9), 2),  # over a weekend
        (local(14, 0), local(16, 0), 0),
        (local(9, 19), local(9, 23), 0),
        (local(9, 12), local(9, 11), 0),
        (local(2, 8), local(30, 8), 200),  # the clocks are set forward on the 29th
    ],
)
def test_working_hours_between_two_times(start: datetime, end: datetime, hours: float) -> None:
    assert OFFICE.between(start, end) == hours * H


def test_holidays_are_none() -> None:
    hours = Hours(BERLIN, is_holiday=lambda day: day == date(2026, 3, 10))
    assert hours.between(local(9, 12), local(11, 12)) == 10 * H


def test_hours_over_midnight_belong_to_the_day_on_which_they_began() -> None:
    night = Hours(BERLIN, frozenset({4}), time(22), time(6))
    assert night.between(local(9, 0), local(16, 0)) == 8 * H
    assert night.between(local(14, 1), local(14, 12)) == 5 * H


def test_until_midnight_and_the_whole_day() -> None:
    assert Hours(BERLIN, frozenset({0}), time(20), None).between(local(9, 0), local(16, 0)) == 4 * H
    assert Hours(BERLIN, frozenset(range(7)), time.min, None).between(local(9, 0), local(10, 0)) == 24 * H


def test_an_hour_that_is_not_there_is_not_counted() -> None:
    night = Hours(BERLIN, frozenset(range(7)), time.min, time(6))
    assert night.between(local(28, 12), local(29, 12)) == 5 * H
    assert night.between(local(24, 12, month=10), local(25, 12, month=10)) == 7 * H


def test_a_time_long_ago_takes_no_time() -> None:
    assert OFFICE.between(datetime.min.replace(tzinfo=UTC), local(9, 8)) > 2500 * H
