"""How fast a lane may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.pace import Pace

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def test_one_a_second_is_one_a_second() -> None:
    pace = Pace(SECOND)
    assert pace.allowed(NOON) == 1
    pace.spend(1, NOON)
    assert pace.allowed(NOON) == pace.allowed(NOON + 0.999 * SECOND) == 0
    assert pace.free_at == NOON + SECOND
    assert pace.allowed(NOON + SECOND) == 1


def test_nothing_is_saved_up_while_it_is_idle() -> None:
    pace = Pace(SECOND)
    pace.spend(1, NOON)
    assert pace.allowed(NOON + DAY) == 1
    pace.spend(1, NOON + DAY)
    assert pace.allowed(NOON + DAY) == 0


def test_a_fast_rate_may_begin_several_at_once() -> None:
    pace = Pace(SECOND / 100)
    assert pace.allowed(NOON) == 10
    pace.spend(10, NOON)
    assert pace.allowed(NOON + 0.099 * SECOND) == 0
    assert pace.allowed(NOON + 0.1 * SECOND) == 10


@pytest.mark.parametrize("interval", [SECOND / 1000, SECOND, DAY])
def test_nobody_waits_for_a_wall_clock_that_is_set_back(interval: timedelta) -> None:
    pace = Pace(interval)
    pace.spend(pace.allowed(NOON), NOON)
    earlier = NOON - 10 * DAY
    assert pace.allowed(earlier) >= 1
    pace.spend(1, earlier)
    assert pace.free_at == earlier + interval


@pytest.mark.parametrize("apart", [SECOND / 10, 4.9 * SECOND])
def test_a_clock_that_is_a_little_behind_goes_no_faster(apart: timedelta) -> None:
    pace = Pace(SECOND)
    pace.spend(1, NOON)
    assert pace.allowed(NOON - apart) == 0
    assert pace.free_at == NOON + SECOND


INTERVAL = st.timedeltas(timedelta(microseconds=1), timedelta(hours=1))


@given(INTERVAL, st.lists(st.tuples(st.timedeltas(timedelta(0), timedelta(hours=2)), st.integers(1, 20)), max_size=30))
def test_no_span_of_time_sees_more_than_its_share(interval: timedelta, asked: list[tuple[timedelta, int]]) -> None:
    pace, now = Pace(interval), NOON
    begun: list[tuple[datetime, int]] = []
    for pause, wanted in asked:
        now += pause
        count = min(pace.allowed(now), wanted)
        if count:
            pace.spend(count, now)
            begun.append((now, count))
    burst = max(1, SECOND / 10 / interval)
    for at, (start, _) in enumerate(begun):
        for stop_at, (stop, _) in enumerate(begun[at:], at):
            total = sum(count for _, count in begun[at : stop_at + 1])
            assert total <= (stop - start) / interval + burst + 1e-6


@given(INTERVAL)
def test_whoever_comes_when_it_is_free_is_let_through(interval: timedelta) -> None:
    pace, now = Pace(interval), NOON
    for _ in range(20):
        count = pace.allowed(now)
        assert count >= 1
        pace.spend(count, now)
        now = pace.free_at
