"""What is wrong, as far as it can be told from what the lanes and the store say. Pure: each gives alarms that hold now."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from router.alarm import Alarm, Cause
from router.delivery import LaneRow, LaneState, unended

if TYPE_CHECKING:
    from router.hours import Hours


def down(rows: Iterable[LaneRow], known: Iterable[Alarm], after: timedelta, now: datetime) -> Iterator[Alarm]:
    """Lanes that are disabled, or were not open for so long.

    A pause changes nothing: nobody knows what is behind it. Nor does it that somebody opened the lane: it is well when
    something was delivered.
    """
    stood = {alarm.subject for alarm in known if alarm.cause is Cause.DOWN}
    for row in rows:
        since = row.since or now
        match row.state:
            case LaneState.DISABLED:
                yield Alarm(cause=Cause.DOWN, subject=row.sink, since=since)
            case LaneState.PROBING if now - since >= after or row.sink in stood:
                yield Alarm(cause=Cause.DOWN, subject=row.sink, since=since)
            case LaneState.PAUSED if row.sink in stood:
                yield Alarm(cause=Cause.DOWN, subject=row.sink, since=since)
            case LaneState.OPEN if row.sink in stood and row.unproven:
                yield Alarm(cause=Cause.DOWN, subject=row.sink, since=since)


def dead(backlog: Mapping[str, Mapping[str, int]], now: datetime) -> Iterator[Alarm]:
    """Sinks that have dead letters which nobody has ended."""
    for sink, states in backlog.items():
        if count := unended(states):
            yield Alarm(cause=Cause.DEAD, subject=sink, since=now, count=count)


def oldest(
    accepted: Mapping[str, datetime], backlog: Mapping[str, Mapping[str, int]], after: timedelta, now: datetime
) -> Iterator[Alarm]:
    """Sinks for which a delivery has waited for so long; how many wait. Also for those that are not configured."""
    for sink, since in accepted.items():
        if now - since >= after:
            yield Alarm(cause=Cause.OLDEST, subject=sink, since=since, count=max(_owed(backlog.get(sink, {})), 1))


def quarantine(count: int, now: datetime) -> Iterator[Alarm]:
    """Bodies that no format could read, and nobody has ended."""
    if count:
        yield Alarm(cause=Cause.QUARANTINE, subject="", since=now, count=count)


def quarantine_full(
    sizes: Mapping[str, int], most: int, largest: int, known: Iterable[Alarm], now: datetime
) -> Iterator[Alarm]:
    """Sources with so much in quarantine that soon no more fits: nine tenths, or where the largest body may not fit.

    Well again when there is a tenth less. (Where a few bodies fill it, half of it has to be full all the same.)
    """
    stood = {alarm.subject for alarm in known if alarm.cause is Cause.QUARANTINE_FULL}
    crowded = min(most - most // 10, max(most - largest, most // 2))
    for source, size in sizes.items():
        if size >= (crowded - crowded // 10 if source in stood else crowded):
            yield Alarm(cause=Cause.QUARANTINE_FULL, subject=source, since=now)


def disk(free: int, least: int, known: Iterable[Alarm], now: datetime) -> Iterator[Alarm]:
    """A disk with less than `least` bytes free; it is well again when there is a tenth more."""
    stands = any(alarm.cause is Cause.DISK for alarm in known)
    if free < (least + least // 10 if stands else least):
        yield Alarm(cause=Cause.DISK, subject="", since=now)


def store(failed: datetime | None, after: timedelta, known: Iterable[Alarm], now: datetime) -> Iterator[Alarm]:
    """A store that has failed for so long, if it does; what stands, also from before a restart, stands until it works."""
    stands = any(alarm.cause is Cause.STORE for alarm in known)
    if failed is not None and (stands or now - failed >= after):
        yield Alarm(cause=Cause.STORE, subject="", since=failed)


def blocked(stalls: Iterable[tuple[datetime, str]]) -> Iterator[Alarm]:
    """Who kept the whole process waiting, and how often, of when and by which sink it was kept, the oldest first."""
    times: dict[str, list[datetime]] = {}
    for at, sink in stalls:
        times.setdefault(sink, []).append(at)
    for sink, when in times.items():
        yield Alarm(cause=Cause.BLOCKED, subject=sink, since=when[0], count=len(when))


@dataclass(frozen=True, slots=True)
class Quiet:
    """One source or channel that should not be silent."""

    subject: str
    longest: timedelta
    #: When something came last, or when somebody began to listen.
    since: datetime
    #: Nothing came since the last look.
    still: bool = False


def silent(watched: Iterable[Quiet], known: Iterable[Alarm], hours: Hours, now: datetime) -> Iterator[Alarm]:
    """Those of which nothing came for so much working time; and, whatever that time is now, until something comes."""
    stood = {alarm.subject for alarm in known if alarm.cause is Cause.SILENT}
    for one in watched:
        if hours.between(one.since, now) >= one.longest or (one.still and one.subject in stood):
            yield Alarm(cause=Cause.SILENT, subject=one.subject, since=one.since)


def unwatched(
    known: Iterable[Alarm],
    *,
    sinks: Container[str],
    listened: Container[str],
    file: str,
    backlog: Mapping[str, Mapping[str, int]],
) -> Iterator[Alarm]:
    """What stands, and is about something that is not looked at any more. Of a sink: how much still waits for it."""
    for alarm in known:
        match alarm.cause:
            case Cause.DOWN if alarm.subject not in sinks:
                yield replace(alarm, count=_owed(backlog.get(alarm.subject, {})))
            case Cause.SILENT if alarm.subject not in listened:
                yield alarm
            case Cause.RELOAD if alarm.subject != file:
                yield alarm


def _owed(states: Mapping[str, int]) -> int:
    return states.get("pending", 0) + states.get("claimed", 0)
