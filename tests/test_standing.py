"""Which alarms stand, and what of them is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from router.alarm import Alarm, Cause, Whose
from router.standing import GROWN, MOST, OVER, QUIET, Register, Standing
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

    def took(self, sink: str, alarm: Alarm) -> None:
        """A sink took what it was told."""
        self.register = self.register.taken(sink, alarm)


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


def test_what_is_counted_is_told_again_an_hour_later_where_there_is_more() -> None:
    watch = Watch()
    watch.look(wrong(Cause.DEAD))
    assert watch.look(wrong(Cause.DEAD, count=9), after=HOUR - MINUTE) == ()
    assert watch.look(wrong(Cause.DEAD, count=9), after=MINUTE) == (wrong(Cause.DEAD, count=9),)
    assert watch.look(wrong(Cause.DEAD, count=9), after=GROWN) == ()
    assert watch.look(wrong(Cause.DEAD, count=8), after=GROWN) == ()


def test_where_there_were_fewer_meanwhile_more_than_that_is_more() -> None:
    watch = Watch()
    watch.look(wrong(Cause.DEAD, count=100))
    assert watch.look(wrong(Cause.DEAD, count=1), after=GROWN) == ()
    assert watch.look(wrong(Cause.DEAD, count=2), after=MINUTE) == (wrong(Cause.DEAD, count=2),)


def test_what_waits_is_told_once_however_much_it_becomes() -> None:
    watch = Watch()
    watch.look(wrong(Cause.OLDEST))
    assert watch.look(wrong(Cause.OLDEST, count=500), after=GROWN) == ()


def many(count: int, cause: Cause = Cause.DOWN) -> Iterable[Alarm]:
    return (wrong(cause, f"sink-{n:03}") for n in range(count))


def test_no_more_than_so_many_are_told_in_an_hour_and_the_others_later() -> None:
    watch = Watch()
    found = (*many(MOST + 5), wrong(Cause.HANGS))
    first = watch.look(*found)
    assert len(first) == MOST
    assert watch.look(*found, after=HOUR - MINUTE) == ()
    assert len(watch.look(*found, after=MINUTE)) == 6
    assert len(watch.register.active) == MOST + 6


@pytest.mark.parametrize(
    "urgent", [Cause.STORE, Cause.DISK, Cause.QUARANTINE_FULL, Cause.BLOCKED, Cause.RELOAD], ids=str
)
def test_what_is_urgent_waits_for_no_lot_of_others_and_is_bounded_too(urgent: Cause) -> None:
    watch = Watch()
    watch.look(*many(MOST))
    found = *many(MOST), *many(MOST + 5, urgent)
    assert {one.cause for one in watch.look(*found, after=MINUTE)} == {urgent}
    assert len([one for _, one in watch.register.told_at if one is urgent]) == MOST
    assert len(watch.look(*found, wrong(Cause.DEAD), after=HOUR)) == 5 + 1


def test_what_was_never_told_is_not_told_to_be_well() -> None:
    watch = Watch()
    watch.look(*many(MOST + 5))
    cleared = watch.look(after=HOUR)
    assert {one.subject for one in cleared} == {one.subject for one in many(MOST)}
    assert watch.look(after=HOUR) == ()


def test_what_is_not_watched_any_more_is_told_to_be_over_and_not_to_be_well() -> None:
    watch = Watch()
    watch.look(wrong(), wrong(subject="mail"))
    watch.now += HOUR
    watch.register = watch.register.looked((), watch.now, [wrong(count=1135)])
    told = watch.register.due(watch.now)
    assert [(one.subject, one.unwatched, one.count) for one in told] == [("crm", True, 1135), ("mail", False, 1)]
    assert {one.cleared for one in told} == {NOON + HOUR}


def test_what_was_never_told_is_not_told_to_be_watched_no_more() -> None:
    watch = Watch()
    watch.look(*many(MOST), wrong(subject="x"))
    watch.register = watch.register.looked(many(MOST), NOON + HOUR, [wrong(subject="x")])
    assert watch.register.due(NOON + HOUR) == ()
    assert watch.register.active == tuple(many(MOST))


def test_a_clock_that_is_set_back_silences_nothing() -> None:
    watch = Watch()
    watch.look(*many(MOST))
    assert len(watch.look(after=-timedelta(days=1))) == MOST


def test_a_clock_that_jumps_ahead_tells_nothing_twice() -> None:
    watch = Watch()
    watch.look(wrong())
    assert watch.look(wrong(), after=timedelta(days=400)) == ()


# --- who has taken it ---


def test_a_sink_lacks_what_was_told_until_it_takes_it() -> None:
    watch = Watch()
    watch.look(wrong())
    assert watch.register.lacking("it") == watch.register.lacking("ops") == (wrong(),)
    watch.took("it", wrong())
    assert (watch.register.lacking("it"), watch.register.lacking("ops")) == ((), (wrong(),))
    watch.look(after=HOUR)
    cleared = replace(wrong(), cleared=NOON + HOUR)
    assert watch.register.lacking("it") == (cleared,)
    assert watch.register.lacking("ops") == (), "nobody is told that something is well that was never heard of"
    watch.took("it", cleared)
    assert watch.register.lacking("it") == ()


def test_what_has_grown_is_news_to_those_who_took_what_was_less() -> None:
    watch = Watch()
    watch.look(wrong(Cause.DEAD))
    watch.look(wrong(Cause.DEAD, count=9), after=GROWN)
    watch.took("it", wrong(Cause.DEAD))
    assert watch.register.lacking("it") == (wrong(Cause.DEAD, count=9),)
    watch.took("it", wrong(Cause.DEAD, count=9))
    watch.look(wrong(Cause.DEAD, count=3), after=MINUTE)
    assert watch.register.lacking("it") == ()


def test_no_sink_is_told_that_it_is_wrong_when_it_is_well_by_now() -> None:
    watch = Watch()
    watch.look(wrong())
    watch.look(after=MINUTE)
    assert watch.register.lacking("it") == ()


def test_that_it_is_well_is_kept_for_a_day_for_those_who_have_not_taken_it() -> None:
    watch = Watch()
    watch.look(wrong())
    watch.took("it", wrong())
    watch.look(after=HOUR)
    watch.look(after=OVER - MINUTE)
    assert [one.cleared for one in watch.register.lacking("it")] == [NOON + HOUR]
    watch.look(after=MINUTE)
    assert watch.register.standing == {}


def test_after_a_restart_only_what_somebody_took_was_told() -> None:
    watch = Watch()
    watch.look(wrong(), wrong(subject="mail"))
    watch.took("it", wrong())
    watch.register = Register.of(one.remembered("other") for one in watch.register.standing.values())
    assert {one.router for one in watch.register.active} == {"other"}, "who says so from now on"
    assert watch.look(wrong(), wrong(subject="mail")) == (wrong(subject="mail"),)


def test_what_is_another_s_takes_the_place_of_what_was_known_and_leaves_the_rest() -> None:
    watch = Watch()
    watch.look(wrong(), wrong(subject="mail"), wrong(Cause.HANGS))
    there = Standing(wrong(subject="fax"))
    assert watch.register.instead(Whose.STORE, [there]).active == (wrong(subject="fax"), wrong(Cause.HANGS))
    assert watch.register.instead(Whose.STORE).active == (wrong(Cause.HANGS),)
    assert [one.alarm for one in watch.register.of_whom(Whose.ROUTER)] == [wrong(Cause.HANGS)]


def test_what_a_sink_takes_when_all_is_forgotten_is_no_news() -> None:
    watch = Watch()
    watch.took("it", wrong())
    assert watch.register.standing == {}


def test_a_sink_that_lacks_much_is_told_no_more_at_once_than_anybody() -> None:
    watch = Watch()
    watch.look(*many(MOST))
    watch.look(*many(MOST + 5), after=HOUR)
    lacking = watch.register.lacking("it")
    assert len(lacking) == MOST
