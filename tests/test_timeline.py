"""Time that passed, by a wall clock that is set forward and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.timeline import Since, Timeline
from router.watching import Kept
from support import NOON

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


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
    assert timeline.passed(NOON - DAY, NOON + 3 * HOUR) == DAY + 2 * HOUR
    assert timeline.passed(epoch, NOON + 3 * HOUR) == 2 * HOUR, "what came in meanwhile is young"
    assert timeline.ago(DAY, NOON + 2 * HOUR) == epoch
    assert timeline.ago(DAY, NOON + 2 * DAY) == NOON + DAY


def test_what_was_written_while_the_clock_was_behind_is_not_old_when_that_is_put_right() -> None:
    """And what is really that old may be kept as long; what is older still is as old as it is."""
    timeline, wrong = Timeline(), NOON - 2 * DAY
    timeline.jumped(NOON, wrong)
    timeline.jumped(wrong + HOUR, NOON + HOUR)
    assert timeline.passed(wrong, NOON + 2 * HOUR) == 2 * HOUR
    assert timeline.passed(wrong - HOUR, NOON + HOUR) == 2 * DAY + 2 * HOUR
    assert timeline.ago(DAY, NOON + 2 * HOUR) == wrong
    assert timeline.ago(DAY, NOON + 40 * DAY) == NOON + 39 * DAY


def test_a_clock_that_is_wrong_again_and_again_makes_nothing_old_that_came_in_while_it_was_wrong_at_first() -> None:
    timeline, wrong = Timeline(), NOON - 2 * DAY
    for n in range(5):
        timeline.jumped(NOON + 2 * n * HOUR, wrong + 2 * n * HOUR)
        timeline.jumped(wrong + (2 * n + 1) * HOUR, NOON + (2 * n + 1) * HOUR)
    assert timeline.passed(wrong + HOUR / 2, NOON + 9 * HOUR) == 8.5 * HOUR
    assert timeline.passed(wrong + 1.5 * HOUR, NOON + 9 * HOUR) == 2 * DAY + 7.5 * HOUR, "the clock was right then"


def test_a_clock_that_is_put_right_step_by_step() -> None:
    timeline, wrong = Timeline(), NOON - 2 * DAY
    timeline.jumped(NOON, wrong)
    timeline.jumped(wrong + HOUR, wrong + DAY)
    timeline.jumped(wrong + DAY + HOUR, NOON + 2 * HOUR)
    assert timeline.passed(wrong, NOON + 2 * HOUR) == 2 * HOUR
    assert timeline.passed(wrong + DAY, NOON + 2 * HOUR) == HOUR
    assert timeline.passed(NOON - HOUR, NOON + 2 * HOUR) == 3 * HOUR


def test_a_clock_that_stays_behind_is_believed_when_it_has_caught_up() -> None:
    """What it showed twice is as old as the second time."""
    timeline = Timeline()
    timeline.jumped(NOON, NOON - HOUR)
    timeline.jumped(NOON + HOUR, NOON + DAY)
    assert timeline.passed(NOON, NOON + DAY) == HOUR
    assert timeline.passed(NOON - HOUR, NOON + DAY) == 2 * HOUR
    assert timeline.passed(NOON - 2 * HOUR, NOON + DAY) == 4 * HOUR


def test_what_is_in_the_future_of_a_clock_that_is_behind_is_as_old_as_it_is() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON - 2 * DAY)
    assert timeline.passed(NOON - HOUR, NOON - 2 * DAY + HOUR) == 2 * HOUR
    assert timeline.passed(NOON + HOUR, NOON - 2 * DAY) == -2 * DAY - HOUR, "the clock never said so"
    timeline.jumped(NOON - 2 * DAY, NOON)
    assert timeline.passed(NOON - 3 * DAY, NOON) == 3 * DAY


def test_what_was_written_a_moment_after_the_clock_was_read_is_not_as_old_as_what_was_once_written_there() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON - DAY)
    assert timeline.passed(NOON - DAY + HOUR + SECOND, NOON - DAY + HOUR) == -SECOND


def test_what_the_clock_never_showed_is_no_older_than_what_is_beside_it() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON + 2 * DAY)
    assert timeline.passed(NOON + DAY, NOON + 2 * DAY + HOUR) <= HOUR
    timeline.jumped(NOON + 2 * DAY + HOUR, NOON - 2 * DAY)
    timeline.jumped(NOON - DAY, NOON + DAY)
    assert timeline.passed(NOON + HOUR, NOON + DAY + HOUR) == HOUR
    assert timeline.passed(NOON + 2 * DAY - HOUR, NOON + DAY + HOUR) <= DAY + 2 * HOUR


def test_what_the_clock_never_showed_is_let_go_no_sooner_than_by_its_age() -> None:
    timeline, now = Timeline(), NOON + 2 * DAY + HOUR / 2
    timeline.jumped(NOON, NOON + 10 * DAY)
    timeline.jumped(NOON + 10 * DAY + HOUR, NOON + 2 * DAY)
    assert timeline.passed(NOON + DAY, now) == HOUR / 2
    assert timeline.ago(HOUR, now) < NOON + HOUR
    assert timeline.ago(HOUR, now + HOUR) == now


# --- while the machine was off ---


def test_a_clock_is_believed_that_ran_on_while_the_machine_was_off() -> None:
    timeline = Timeline()
    timeline.jumped(NOON, NOON + HOUR)
    timeline.unwatched(NOON + 2 * HOUR, NOON + 40 * DAY)
    assert timeline.passed(NOON + 2 * HOUR, NOON + 40 * DAY) == 40 * DAY - 2 * HOUR


def test_a_clock_that_was_put_right_while_the_machine_was_off_makes_nothing_older_by_what_it_was_behind() -> None:
    timeline, epoch = Timeline(), NOON.replace(year=1970)
    timeline.jumped(NOON, epoch)
    timeline.unwatched(epoch + HOUR, NOON + 3 * HOUR)
    assert timeline.passed(NOON - DAY, NOON + 3 * HOUR) == DAY + 3 * HOUR
    assert timeline.passed(epoch, NOON + 3 * HOUR) == 3 * HOUR
    assert timeline.ago(DAY, NOON + 3 * HOUR) == epoch
    assert timeline.ago(DAY, NOON + DAY + 4 * HOUR) == NOON + 4 * HOUR


def test_a_clock_that_is_less_behind_after_the_machine_was_off_says_nothing_of_the_time_between() -> None:
    timeline, epoch = Timeline(), NOON.replace(year=1970)
    timeline.jumped(NOON, epoch)
    timeline.unwatched(epoch + HOUR, NOON - DAY)
    assert timeline.passed(epoch, NOON - DAY) == HOUR
    assert timeline.passed(NOON - 2 * DAY, NOON - DAY) == 2 * DAY + HOUR


# --- whatever is done to a clock ---


class Truth:
    """A clock that is set as `jumps` says: after so many hours each, by so many. All that it showed is known."""

    def __init__(self, jumps: Iterable[tuple[int, int]], *, restarts: bool = False) -> None:
        self.timeline = Timeline()
        self.now = NOON - 100 * HOUR
        self.passed = 0
        #: As (after so many hours that really passed, wall clock); at a jump both that it showed.
        self.shown = [(0, self.now)]
        self.let_pass(100)
        for hours, jump in jumps:
            self.let_pass(hours)
            self.timeline.jumped(self.now, self.now + jump * HOUR)
            self.now += jump * HOUR
            self.shown.append((self.passed, self.now))
            if restarts:
                self.restart()

    def let_pass(self, hours: int) -> None:
        for _ in range(hours):
            self.passed, self.now = self.passed + 1, self.now + HOUR
            self.shown.append((self.passed, self.now))

    def restart(self) -> None:
        """All that the next run knows is what is in the file."""
        was = self.timeline
        kept = Kept(jumps=0, at=self.now, boot="", uptime=0, shown=was.shown, begin=was.begin, ahead=was.ahead)
        read = Kept.model_validate_json(kept.model_dump_json())
        self.timeline = Timeline(shown=read.shown, begin=read.begin, ahead=read.ahead)

    def ages(self) -> Iterator[tuple[datetime, timedelta, timedelta]]:
        """Of all that it showed: the wall clock, how old that is by the timeline, and how old it truly is."""
        for hour, wall in self.shown:
            yield wall, self.timeline.passed(wall, self.now), (self.passed - hour) * HOUR


JUMPS = st.lists(st.tuples(st.integers(0, 20), st.integers(-50, 50)), max_size=12)


@given(JUMPS, st.booleans())
@example([(0, 2), (0, -1)], False)
def test_whatever_is_done_to_a_clock_nothing_is_older_than_it_truly_is(
    jumps: list[tuple[int, int]],
    restarts: bool,
) -> None:
    for wall, age, true in Truth(jumps, restarts=restarts).ages():
        assert age <= true, wall


@given(JUMPS, st.booleans())
def test_whatever_is_done_to_a_clock_what_it_showed_once_is_as_old_as_it_is_and_the_rest_as_the_last_time(
    jumps: list[tuple[int, int]],
    restarts: bool,
) -> None:
    truth = Truth(jumps, restarts=restarts)
    last = {wall: hour for hour, wall in truth.shown}
    for wall, age, _ in truth.ages():
        assert age == (truth.passed - last[wall]) * HOUR, wall


@given(JUMPS, st.booleans(), st.integers(0, 400))
def test_whatever_is_done_to_a_clock_nothing_is_let_go_before_its_time_and_all_of_it_later(
    jumps: list[tuple[int, int]],
    restarts: bool,
    hours: int,
) -> None:
    truth = Truth(jumps, restarts=restarts)
    ago = truth.timeline.ago(hours * HOUR, truth.now)
    for wall, age, true in truth.ages():
        assert true >= hours * HOUR or wall >= ago
        assert age >= hours * HOUR or wall >= ago
    later = truth.now + hours * HOUR + HOUR
    assert truth.timeline.ago(hours * HOUR, later) == later - hours * HOUR


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12), st.integers(0, 100))
def test_of_a_clock_that_only_jumps_forward_all_is_exact(jumps: list[tuple[int, int]], span: int) -> None:
    truth = Truth(jumps)
    assert all(age == true for _, age, true in truth.ages())
    assert truth.timeline.passed(truth.timeline.ago(span * HOUR, truth.now), truth.now) == span * HOUR


@pytest.mark.parametrize(
    "jumps",
    [
        pytest.param([(3, 1), (1, -2)] * 300, id="to and fro"),
        pytest.param([(1, 1)] * 500, id="ever forward"),
        pytest.param([(2, -1)] * 500, id="ever back"),
        pytest.param([(2, -1), (3, 5), (1, -3), (1, 400), (5, -402)] * 60, id="all"),
    ],
)
def test_no_more_than_so_much_is_remembered_and_what_is_forgotten_makes_nothing_older(
    jumps: list[tuple[int, int]],
) -> None:
    truth = Truth(jumps)
    assert len(truth.timeline.shown) <= 100
    ages = list(truth.ages())
    assert all(age <= true for _, age, true in ages)
    for days in (0, 1, 10, 20):
        ago = truth.timeline.ago(days * DAY, truth.now)
        assert all(wall >= ago for wall, _, true in ages if true < days * DAY)
    later = truth.now + 1000 * DAY
    assert truth.timeline.ago(DAY, later) == later - DAY


def test_of_a_machine_that_begins_in_1970_each_day_the_years_are_remembered() -> None:
    """What it showed then, it shows again each day; and the days, which differ by how long it was off, become one."""
    timeline, epoch = Timeline(), NOON.replace(year=1970)
    now = NOON
    for _ in range(1000):
        timeline.jumped(now, epoch)
        timeline.jumped(epoch + HOUR, now + 3 * HOUR)
        now += DAY
    assert len(timeline.shown) <= 100
    assert 365 * DAY < timeline.passed(now - 430 * DAY, now) < 430 * DAY
    assert timeline.passed(NOON - DAY, now) > 800 * DAY
    assert timeline.passed(epoch, now) < 2 * DAY


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
    assert since.of("crm", NOON - HOUR, NOON - DAY) == NOON - DAY - HOUR
    timeline.jumped(NOON - DAY + HOUR, NOON + HOUR)
    assert since.of("crm", NOON - HOUR, NOON + HOUR) == NOON - HOUR


def test_what_was_seen_is_no_younger_when_the_clock_says_the_same_time_again() -> None:
    timeline = Timeline()
    since = Since(timeline)
    timeline.jumped(NOON, NOON - HOUR)
    assert since.of("crm", NOON - HOUR / 2, NOON - HOUR) == NOON - 1.5 * HOUR
    assert timeline.passed(NOON - HOUR / 2, NOON + HOUR) == 1.5 * HOUR, "written again, for all that is known"
    assert since.of("crm", NOON - HOUR / 2, NOON + HOUR) == NOON - HOUR
    since.of("mail", NOON + HOUR, NOON + HOUR)
    timeline.jumped(NOON + HOUR, NOON)
    assert since.of("mail", NOON + HOUR, NOON + 2 * HOUR) == NOON, "also where it was seen at that time"
