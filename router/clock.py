"""Time, as something that is handed in: the wall clock for what is written down, waiting for what must come."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

#: Seconds since the machine was started, also those in which it slept where that can be had: a sleep is no jump.
_SINCE_BOOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

#: What two clocks may be apart without one following the other: what is heard of a clock is never quite right.
JITTER: Final = timedelta(seconds=0.5)


class Clock(Protocol):
    """What everybody knows of time."""

    def now(self) -> datetime:
        """The wall clock, aware UTC."""

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """Return when `signal` is set, or at `until` (None: only for the signal). Does not clear the signal."""


class JumpingClock(Clock, Protocol):
    """A clock that somebody may set while the router runs. `now` does not jump with it before `follow`."""

    def moved(self) -> timedelta:
        """How far the wall clock is from `now`: it was set forward (or, below zero, back) by so much."""

    def follow(self) -> None:
        """From here on `now` is the wall clock again."""

    def uptime(self) -> tuple[str, float]:
        """Which start of the machine this is ('' where nobody knows), and seconds since then, which nobody can set."""


class SystemClock:
    """The clock on the wall, followed when asked to. Waits are capped, so that a jump is noticed within that time."""

    #: Seconds; also how late a jump of the wall clock is noticed.
    longest_wait = 30.0

    def __init__(self) -> None:
        self.follow()

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return self._followed + timedelta(seconds=_since_boot() - self._since_boot)

    def moved(self) -> timedelta:
        """How far the wall clock is from `now`."""
        return datetime.now(UTC) - self.now()

    def follow(self) -> None:
        """From here on `now` is the wall clock again."""
        self._followed, self._since_boot = datetime.now(UTC), _since_boot()

    def uptime(self) -> tuple[str, float]:
        """Which start of the machine this is, and seconds since then."""
        try:
            boot = _BOOT.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            boot = ""
        return boot, _since_boot()

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """Return when `signal` is set, at `until`, or after `longest_wait`: callers look again at what is due."""
        delay: timedelta | None = None if until is None else until - self.now()
        seconds = self.longest_wait if delay is None else min(max(delay.total_seconds(), 0.0), self.longest_wait)
        try:
            async with asyncio.timeout(seconds):
                await signal.wait()
        except TimeoutError:
            return


class SharedClock:
    """The time that several routers on different machines go by: another one's, which is heard of now and then.

    In between, this machine's own time passes. What somebody sets its wall clock to changes nothing: as far as anybody
    here can see, it is the shared clock that is set, when what is heard of it says so.
    """

    def __init__(self, own: JumpingClock) -> None:
        self._own = own
        #: What the shared clock shows more than this machine's, as far as that is followed.
        self._more = timedelta(0)
        self._moved = timedelta(0)
        #: How far the wall clock of this machine was ahead when it was heard last.
        self.ahead = timedelta(0)

    def steady(self) -> datetime:
        """This machine's time, which nobody sets."""
        return self._own.now()

    def hear(self, time: datetime, *, asked: datetime) -> None:
        """The shared clock showed this at some moment since `asked` (by `steady`). What is no more than jitter is not followed."""
        half = (self.steady() - asked) / 2
        then = asked + half
        self.ahead = then + self._own.moved() - time
        apart = time - then - self._more
        self._moved = apart if abs(apart) > JITTER + half else timedelta(0)

    def now(self) -> datetime:
        """The shared clock, aware UTC."""
        return self.steady() + self._more

    def moved(self) -> timedelta:
        """How far the shared clock is from `now`, as was heard last."""
        return self._moved

    def follow(self) -> None:
        """From here on `now` is the shared clock again."""
        self._more, self._moved = self._more + self._moved, timedelta(0)

    def uptime(self) -> tuple[str, float]:
        """Which start of the machine this is, and seconds since then."""
        return self._own.uptime()

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """As the machine's own clock does it."""
        await self._own.wait(signal, None if until is None else until - self._more)


def _since_boot() -> float:
    return time.clock_gettime(_SINCE_BOOT)


async def pause(clock: Clock, span: timedelta) -> None:
    """Wait for nothing but time; a clock that is set back makes nobody wait longer."""
    began = clock.now()
    never = asyncio.Event()
    while began <= clock.now() < began + span:
        await clock.wait(never, began + span)
