"""Which alarms stand, and what of them is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from router.alarm import Alarm, Cause
from router.standing import GROWN, MOST, QUIET, Register
from support import NOON

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def wrong(cause: Cause = Cause.DOWN, subject: str = "crm", *, since: datetime = NOON, count: int = 1) -> Alarm:
    return Alarm(cause=cause, subject=subject, since=since, count=count)


class Watch:
    """A register, and who tells whatever is due."""

    def __init__(self) -> None:
        self.register = Register()
        self.now = NOON

    def look(self, *found: Alarm, after: timedelta = timedelta(0)) -> tuple[Alarm, ...]:
        """So much later this is wrong; what is told."""
        self.now += after
        self.register = self.register.looked(found, self.now)
        told = self.register.due(self.now)
        self.register = self.register.told(told, self.now)
        return told


def test_what_is_wrong_is_told_once() -> None:
    watch = Watch()
    assert watch.look(wrong()) == (wrong(),)
    assert watch.look(wrong(), after=MINUTE) == ()
    assert watch.look(wrong(), after=timedelta(days=30)) == ()


def test_it_is_told_again_when_it_is_well() -> None:
    watch = Watch()
    watch.look(wrong())
    assert watch.look(after=HOUR) == (replace(wrong(), cleared=NOON + HOUR),)
    assert watch.look(after=HOUR) == ()
    assert watch.register.standing == {}
    assert watch.look(wrong(since=NOON + 3 * HOUR), after=HOUR) == (wrong(since=NOON + 3 * HOUR),)


def test_each_cause_and_each_subject_is_told_by_itself() -> None:
    watch = Watch()
    found = (wrong(), wrong(Cause.DEAD), wrong(subject="mail"))
    assert set(watch.look(*found)) == set(found)
    (cleared,) = watch.look(wrong(), wrong(Cause.DEAD), after=HOUR)
    assert (cleared.cause, cleared.subject) == (Cause.DOWN, "mail")


def test_it_began_when_it_was_first_found() -> None:
    watch = Watch()
    watch.look(wrong(Cause.DEAD))
    watch.look(wrong(Cause.DEAD, since=NOON + HOUR, count=3), after=HOUR)
    assert watch.register.active == (wrong(Cause.DEAD, count=3),)


def test_what_comes_and_goes_is_told_at_most_every_ten_minutes() -> None:
    watch = Watch()
    said = list[Alarm]()
    for _ in range(6 * 60):
        said += watch.look(wrong(since=watch.now), after=MINUTE / 2)
        said += watch.look(after=MINUTE / 2)
    assert 2 <= len(said) <= timedelta(minutes=6 * 60) / QUIET + 1
    assert [one.cleared is None for one in said] == [n % 2 == 0 for n in range(len(said))]


def test_what_was_well_for_a_moment_only_is_not_told_at_all() -> None:
    watch = Watch()
    watch.look(wrong())
    assert watch.look(after=MINUTE) == ()
    assert watch.look(wrong(since=NOON + 2 * MINUTE), after=MINUTE) == ()
    assert watch.look(wrong(), after=HOUR) == ()
    assert watch.register.active == (wrong(),)


def test_what_is_counted_is_told_again_a_day_later_where_there_is_more() -> None:
    watch = Watch()
    watch.look(wrong(Cause.DEAD))
    assert watch.look(wrong(Cause.DEAD, count=9), after=GROWN - MINUTE) == ()
    assert watch.look(wrong(Cause.DEAD, count=9), after=MINUTE) == (wrong(Cause.DEAD, count=9),)
    assert watch.look(wrong(Cause.DEAD, count=9), after=GROWN) == ()
    assert watch.look(wrong(Cause.DEAD, count=8), after=GROWN) == ()


def test_what_waits_is_told_once_however_much_it_becomes() -> None:
    watch = Watch()
    watch.look(wrong(Cause.OLDEST))
    assert watch.look(wrong(Cause.OLDEST, count=500), after=GROWN) == ()


def many(count: int) -> Iterable[Alarm]:
    return (wrong(subject=f"sink-{n:03}") for n in range(count))


def test_no_more_than_so_many_are_told_in_an_hour_and_the_others_later() -> None:
    watch = Watch()
    found = (*many(MOST + 5), wrong(Cause.STORE, ""))
    first = watch.look(*found)
    assert len(first) == MOST
    assert first[0].cause is Cause.STORE
    assert watch.look(*found, after=HOUR - MINUTE) == ()
    assert len(watch.look(*found, after=MINUTE)) == 6
    assert len(watch.register.active) == MOST + 6


def test_what_was_never_told_is_not_told_to_be_well() -> None:
    watch = Watch()
    watch.look(*many(MOST + 5))
    cleared = watch.look(after=HOUR)
    assert {one.subject for one in cleared} == {one.subject for one in many(MOST)}
    assert watch.look(after=HOUR) == ()


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    watch = Watch()
    watch.look(*many(MOST))
    assert len(watch.look(after=-timedelta(days=1))) == MOST


def test_a_clock_that_jumps_ahead_tells_nothing_twice() -> None:
    watch = Watch()
    watch.look(wrong())
    assert watch.look(wrong(), after=timedelta(days=400)) == ()
