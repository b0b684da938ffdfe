"""What is wrong, from what lanes and the store say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from router import symptoms
from router.alarm import Alarm, Cause
from router.delivery import LaneRow, LaneState
from router.hours import Hours
from router.symptoms import Quiet
from support import NOON

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AFTER = 15 * MINUTE
STOOD = Alarm(cause=Cause.DOWN, subject="crm", since=NOON)


def row(state: LaneState, ago: timedelta = HOUR) -> LaneRow:
    return LaneRow("crm", state, since=NOON - ago)


@pytest.mark.parametrize(
    ("lane", "stood", "is_down"),
    [
        (LaneRow("crm"), False, False),
        (row(LaneState.OPEN), True, False),
        (row(LaneState.PROBING, AFTER), False, True),
        (row(LaneState.PROBING, AFTER - MINUTE), False, False),
        (row(LaneState.PROBING, MINUTE), True, True),
        (row(LaneState.DISABLED, MINUTE), False, True),
        (row(LaneState.PAUSED), False, False),
        (row(LaneState.PAUSED), True, True),
    ],
)
def test_lanes_that_are_down(lane: LaneRow, stood: bool, is_down: bool) -> None:
    found = list(symptoms.down([lane], [STOOD] if stood else [], AFTER, NOON))
    assert found == ([Alarm(cause=Cause.DOWN, subject="crm", since=lane.since or NOON)] if is_down else [])


def test_dead_letters_by_sink() -> None:
    backlog: dict[str, Any] = {"crm": {"dead": 3, "pending": 1}, "mail": {"delivered": 9}}
    assert list(symptoms.dead(backlog, NOON)) == [Alarm(cause=Cause.DEAD, subject="crm", since=NOON, count=3)]


def test_what_has_waited_too_long() -> None:
    accepted = {"crm": NOON - HOUR, "mail": NOON - MINUTE}
    backlog = {"crm": {"pending": 4, "claimed": 1, "dead": 9}}
    (alarm,) = symptoms.oldest(accepted, backlog, 30 * MINUTE, NOON)
    assert alarm == Alarm(cause=Cause.OLDEST, subject="crm", since=NOON - HOUR, count=5)


def test_the_quarantine_is_counted() -> None:
    assert list(symptoms.quarantine(0, NOON)) == []
    assert [one.count for one in symptoms.quarantine(7, NOON)] == [7]


def test_a_quarantine_is_nearly_full_at_nine_tenths_or_where_the_largest_body_may_not_fit() -> None:
    def full(size: int, largest: int, *stood: Alarm) -> list[str]:
        return [one.subject for one in symptoms.quarantine_full({"s": size, "t": 0}, 1000, largest, stood, NOON)]

    assert full(899, 10) == []
    assert full(900, 10) == ["s"]
    assert full(699, 300) == []
    assert full(700, 300) == ["s"]
    assert full(499, 9000) == []
    assert full(500, 9000) == ["s"]
    stood = Alarm(cause=Cause.QUARANTINE_FULL, subject="s", since=NOON)
    assert full(810, 10, stood) == ["s"]
    assert full(809, 10, stood) == []


def test_a_disk_is_well_when_there_is_a_tenth_more() -> None:
    stood = Alarm(cause=Cause.DISK, subject="", since=NOON)
    assert not list(symptoms.disk(1000, 1000, [], NOON))
    assert list(symptoms.disk(999, 1000, [], NOON))
    assert list(symptoms.disk(1099, 1000, [stood], NOON))
    assert not list(symptoms.disk(1100, 1000, [stood], NOON))


def test_a_source_is_silent_after_so_many_working_hours() -> None:
    hours = Hours(ZoneInfo("UTC"))  # NOON is on a Tuesday
    watched = [Quiet("sipgate", 4 * HOUR, NOON), Quiet("Support", 7 * HOUR, NOON), Quiet("new", HOUR, None)]
    began = NOON + 4 * HOUR

    def silent(later: timedelta) -> list[str]:
        return [alarm.subject for alarm in symptoms.silent(watched, hours, began, NOON + later)]

    assert silent(4 * HOUR - MINUTE) == []
    assert silent(4 * HOUR) == ["sipgate"]
    assert silent(5 * HOUR) == ["sipgate", "new"]
    assert silent(20 * HOUR) == ["sipgate", "new"]
    assert silent(21 * HOUR) == ["sipgate", "Support", "new"]
    (first, *_) = symptoms.silent(watched, hours, began, NOON + 20 * HOUR)
    assert first == Alarm(cause=Cause.SILENT, subject="sipgate", since=NOON)
