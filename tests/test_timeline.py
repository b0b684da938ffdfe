"""Time that passed, by a wall clock that is set forward and back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.timeline import Since, Timeline
from support import NOON

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def test_nothing_grows_older_by_a_clock_that_is_set_forward() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON + 2 * DAY)
    later = NOON + 2 * DAY + HOUR
    assert timeline.passed(NOON - HOUR, later) == 2 * HOUR
    assert timeline.passed(NOON + 2 * DAY, later) == HOUR
    assert timeline.ago(2 * HOUR, later) == NOON - HOUR
    assert timeline.ago(HOUR / 2, later) == later - HOUR / 2


def test_a_clock_that_comes_back_from_the_future_is_right_again() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON + 4000 * DAY)
    timeline.jumped(NOON + 4000 * DAY + HOUR, NOON + HOUR)
    assert timeline.passed(NOON - HOUR, NOON + HOUR) == 2 * HOUR
    assert timeline.ago(DAY, NOON + 100 * DAY) == NOON + 99 * DAY


def test_a_machine_that_begins_in_1970_loses_only_the_time_it_was_off() -> None:
    """It has no clock of its own, and asks for the time when it is up."""
    timeline, epoch = Timeline(), NOON.replace(year=1970)
    timeline.jumped(NOON, epoch)
    timeline.jumped(epoch + HOUR, NOON + 2 * HOUR)
    assert timeline.passed(NOON - DAY, NOON + 3 * HOUR) == DAY + HOUR
    assert timeline.passed(epoch, NOON + 3 * HOUR) == 2 * HOUR, "what came in meanwhile is young"
    assert timeline.ago(DAY, NOON + 2 * HOUR) == epoch
    assert timeline.ago(DAY, NOON + 2 * DAY) == NOON + DAY


def test_what_was_written_while_the_clock_was_behind_is_not_old_when_that_is_put_right() -> None:
    """And what is really that old may be kept as long; what is older still is younger by the time meanwhile."""
    timeline, wrong = Timeline(), NOON - 2 * DAY
    timeline.jumped(NOON, wrong)
    timeline.jumped(wrong + HOUR, NOON + HOUR)
    assert timeline.passed(wrong, NOON + 2 * HOUR) == 2 * HOUR
    assert timeline.passed(wrong - HOUR, NOON + HOUR) == 2 * DAY + HOUR, "the hour meanwhile does not count"
    assert timeline.ago(DAY, NOON + 2 * HOUR) == wrong
    assert timeline.ago(DAY, NOON + 40 * DAY) == NOON + 39 * DAY


def test_a_clock_that_is_put_right_step_by_step() -> None:
    timeline, wrong = Timeline(), NOON - 2 * DAY
    timeline.jumped(NOON, wrong)
    timeline.jumped(wrong + HOUR, wrong + DAY)
    timeline.jumped(wrong + DAY + HOUR, NOON + 2 * HOUR)
    assert timeline.behind is None
    assert timeline.passed(wrong, NOON + 2 * HOUR) == 2 * HOUR
    assert timeline.passed(wrong + DAY, NOON + 2 * HOUR) == HOUR


def test_a_clock_that_stays_behind_is_believed_when_it_has_caught_up() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON - HOUR)
    timeline.jumped(NOON + HOUR, NOON + DAY)
    assert timeline.passed(NOON, NOON + DAY) == HOUR
    assert not timeline.doubtful


def test_a_clock_that_is_set_back_within_the_past_makes_nothing_older() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON - 2 * DAY)
    assert timeline.passed(NOON, NOON - 2 * DAY) == -2 * DAY
    timeline.jumped(NOON - 2 * DAY, NOON)
    assert timeline.passed(NOON - 3 * DAY, NOON) == 3 * DAY
    assert timeline.behind is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12), st.integers(0, 100))
def test_of_a_clock_that_only_jumps_forward_all_is_exact(jumps: list[tuple[int, int]], span: int) -> None:
    """Against time that nobody set: `written` has the wall clock at each hour that really passed."""
    timeline, now, written = Timeline(), NOON, [NOON]
    for hours, jump in jumps:
        for _ in range(hours):
            now += HOUR
            written.append(now)
        timeline.jumped(now, now + jump * HOUR)
        now += jump * HOUR
    passed = len(written) - 1
    for hour, wall in enumerate(written):
        assert timeline.passed(wall, now) == (passed - hour) * HOUR
    back = timeline.ago(span * HOUR, now)
    assert timeline.passed(back, now) == span * HOUR
    assert span > passed or back <= written[passed - span]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(-100, 100)), max_size=12), st.integers(0, 300))
def test_whatever_is_done_to_a_clock_nothing_is_older_than_it_says(jumps: list[tuple[int, int]], ago: int) -> None:
    timeline, now = Timeline(), NOON
    for hours, jump in jumps:
        now += hours * HOUR
        timeline.jumped(now, now + jump * HOUR)
        now += jump * HOUR
    assert timedelta(0) <= timeline.passed(now - ago * HOUR, now) <= ago * HOUR
    assert timeline.ago(ago * HOUR, now) <= now - ago * HOUR
    spans = timeline.skipped
    assert all(begin < end <= now for begin, end in spans)
    assert list(spans) == sorted(spans)


@pytest.mark.parametrize("jumps", [101, 500])
def test_no_more_than_so_many_jumps_are_remembered(jumps: int) -> None:
    timeline = Timeline()
    for n in range(jumps):
        timeline.jumped(NOON + n * DAY, NOON + n * DAY + HOUR)
    assert len(timeline.skipped) == 100


# --- since when ---


def test_things_began_when_it_is_written_down() -> None:
    since = Since(Timeline())
    assert since.of("crm", NOON - HOUR, NOON) == NOON - HOUR
    assert since.of("crm", NOON, NOON) == NOON


def test_what_began_in_the_future_began_when_it_was_seen_also_when_its_time_comes() -> None:
    since = Since(Timeline())
    for hours in range(48):
        assert since.of("crm", NOON, NOON - DAY + hours * HOUR) == NOON - DAY
    assert since.of("mail", NOON + HOUR, NOON) == NOON, "each for itself"
    assert since.of("crm", NOON + 2 * HOUR, NOON + 3 * HOUR) == NOON + 2 * HOUR, "it was well, and began anew"
    assert since.of("crm", NOON, NOON + 3 * HOUR) == NOON


def test_a_clock_that_is_set_back_once_more_makes_it_no_younger_than_that() -> None:
    since = Since(Timeline())
    since.of("crm", NOON, NOON - HOUR)
    assert since.of("crm", NOON, NOON - DAY) == NOON - DAY
    assert since.of("crm", NOON, NOON - HOUR) == NOON - DAY


def test_nothing_began_earlier_because_the_clock_was_set_forward() -> None:
    timeline = Timeline()
    since = Since(timeline)
    timeline.jumped(NOON, NOON + DAY)
    assert since.of("crm", NOON - HOUR, NOON + DAY) == NOON + DAY - HOUR
    timeline = Timeline()
    since = Since(timeline)
    timeline.jumped(NOON, NOON - DAY)
    assert since.of("crm", NOON - HOUR, NOON - DAY) == NOON - DAY
    timeline.jumped(NOON - DAY + HOUR, NOON + HOUR)
    assert since.of("crm", NOON - HOUR, NOON + HOUR) == NOON, "the hour since it was seen"
