"""What is wrong, from what lanes and the store say."""

from __future__ import annotations

from datetime import datetime, timedelta
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
        (LaneRow("crm", reason="resumed", since=NOON), True, True),
        (LaneRow("crm", reason="resumed", since=NOON), False, False),
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
    watched = [Quiet("sipgate", 4 * HOUR, NOON), Quiet("Support", 7 * HOUR, NOON), Quiet("new", HOUR, NOON + 4 * HOUR)]

    def silent(later: timedelta) -> list[str]:
        return [alarm.subject for alarm in symptoms.silent(watched, [], hours, NOON + later)]

    assert silent(4 * HOUR - MINUTE) == []
    assert silent(4 * HOUR) == ["sipgate"]
    assert silent(5 * HOUR) == ["sipgate", "new"]
    assert silent(20 * HOUR) == ["sipgate", "new"]
    assert silent(21 * HOUR) == ["sipgate", "Support", "new"]
    (first, *_) = symptoms.silent(watched, [], hours, NOON + 20 * HOUR)
    assert first == Alarm(cause=Cause.SILENT, subject="sipgate", since=NOON)


def test_who_was_silent_is_so_until_something_comes_however_long_may_pass_now() -> None:
    hours, stood = Hours(ZoneInfo("UTC")), Alarm(cause=Cause.SILENT, subject="s", since=NOON)

    def silent(quiet: Quiet, *known: Alarm) -> list[Alarm]:
        return list(symptoms.silent([quiet], known, hours, NOON + HOUR))

    assert silent(Quiet("s", 2 * HOUR, NOON, still=True), stood) == [stood]
    assert silent(Quiet("s", 2 * HOUR, NOON + MINUTE, still=False), stood) == []
    assert silent(Quiet("s", 2 * HOUR, NOON, still=True)) == []


def test_what_is_not_looked_at_any_more() -> None:
    def alarm(cause: Cause, subject: str) -> Alarm:
        return Alarm(cause=cause, subject=subject, since=NOON)

    known = [
        *(alarm(Cause.DOWN, name) for name in ("crm", "gone", "left")),
        *(alarm(Cause.SILENT, name) for name in ("s", "other")),
        *(alarm(Cause.RELOAD, name) for name in ("routes.yaml", "old.yaml")),
        alarm(Cause.DEAD, "gone"),
    ]
    found = symptoms.unwatched(
        known,
        sinks={"crm"},
        listened={"s"},
        file="routes.yaml",
        backlog={"gone": {"pending": 4, "claimed": 1, "dead": 9}},
    )
    assert [(one.cause, one.subject, one.count) for one in found] == [
        ("down", "gone", 5), ("down", "left", 0), ("silent", "other", 1), ("reload", "old.yaml", 1),
    ]  # fmt: skip


def test_a_store_that_fails_stands_until_it_works_and_a_restart_makes_it_no_younger() -> None:
    def stands(failed: datetime | None, *known: Alarm) -> list[datetime]:
        return [one.since for one in symptoms.store(failed, timedelta(minutes=1), known, NOON)]

    stood = Alarm(cause=Cause.STORE, subject="", since=NOON - HOUR)
    assert stands(None) == stands(None, stood) == stands(NOON - timedelta(seconds=59)) == []
    assert stands(NOON - timedelta(minutes=1)) == [NOON - timedelta(minutes=1)]
    assert stands(NOON, stood) == [NOON]
