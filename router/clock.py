"""Time, as something that is handed in: the wall clock for what is written down, waiting for what must come."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the lanes and the housekeeping know of time."""

    def now(self) -> datetime:
        """The wall clock, aware UTC."""

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """Return when `signal` is set, or at `until` (None: only for the signal). Does not clear the signal."""


class SystemClock:
    """The clock on the wall. Waits are capped, so that a wall clock that jumps is noticed within that time."""

    #: Seconds; also how late a jump of the wall clock is noticed.
    longest_wait = 30.0

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return datetime.now(UTC)

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """Return when `signal` is set, at `until`, or after `longest_wait`: callers look again at what is due."""
        delay: timedelta | None = None if until is None else until - self.now()
        seconds = self.longest_wait if delay is None else min(max(delay.total_seconds(), 0.0), self.longest_wait)
        try:
            async with asyncio.timeout(seconds):
                await signal.wait()
        except TimeoutError:
            return


async def pause(clock: Clock, span: timedelta) -> None:
    """Wait for nothing but time; a clock that is set back makes nobody wait longer."""
    began = clock.now()
    never = asyncio.Event()
    while began <= clock.now() < began + span:
        await clock.wait(never, began + span)


class Since:
    """When things began that somebody looks at again and again, by a wall clock that may be set back meanwhile.

    What began at a time that has not come (again) counts from when that was first seen.
    """

    def __init__(self) -> None:
        self._seen: dict[Hashable, tuple[datetime, datetime]] = {}

    def of(self, thing: Hashable, at: datetime, now: datetime) -> datetime:
        """When it began, `at` being what was written down; never later than now."""
        began, seen = self._seen.get(thing, (None, now))
        if began != at and at <= now:
            self._seen.pop(thing, None)
            return at
        seen = min(seen, now) if began == at else now
        self._seen[thing] = at, seen
        return seen
