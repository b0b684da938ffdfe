"""Watching the wall clock: when somebody sets it, nothing may die, be purged, or wait for years because of that.

What was seen of the clock is kept in `data/clock.json`, so that a jump between two runs is seen, too. The file may be
lost: then the clock is believed at the next start, unless it says a time before the last call.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import AwareDatetime, BaseModel, ValidationError

from router.store.sqlite import folder
from router.timeline import Timeline

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import JumpingClock
    from router.store.base import Store
    from router.ways import Ways

#: What is less is no jump: it is followed at once, and waits are longer or shorter by it.
JUMP: Final = timedelta(seconds=5)
#: How old what is kept may be.
_KEEP_EVERY: Final = timedelta(minutes=1)


class Kept(BaseModel):
    """What a run knew of the clock, last."""

    at: AwareDatetime
    boot: str
    uptime: float
    shown: tuple[tuple[AwareDatetime, AwareDatetime, timedelta], ...]
    begin: AwareDatetime
    ahead: timedelta


class ClockWatch:
    """The eye on the wall clock of one router, and what it knows of the past."""

    def __init__(
        self,
        ways: Ways,
        *,
        timeline: Timeline,
        store: Store,
        clock: JumpingClock,
        log: FilteringBoundLogger,
        file: Path,
    ) -> None:
        self.timeline = timeline
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._file = file
        self._kept_at: datetime | None = None
        #: A jump that the store does not know of yet.
        self._unwritten: tuple[datetime, datetime] | None = None
        self._looking = asyncio.Lock()

    async def begin(self) -> None:
        """See whether the clock was set while no router ran. Raises `StoreError`."""
        now, timeline = self._clock.now(), self.timeline
        if (kept := await asyncio.to_thread(self._read)) is not None:
            timeline.shown, timeline.begin, timeline.ahead = kept.shown, kept.begin, kept.ahead
            boot, uptime = self._clock.uptime()
            # After a start of the machine nobody knows how long it was off: what the clock says is believed then.
            known = bool(boot) and boot == kept.boot
            expected = kept.at + timedelta(seconds=uptime - kept.uptime) if known else max(kept.at, now)
            if not known and kept.at - now > JUMP:
                expected = kept.at
            if abs(now - expected) > JUMP:
                if self._store.is_alone:  # otherwise whoever kept house meanwhile has seen it
                    await self._store.clock_was_set(before=expected, now=now)
                timeline.jumped(expected, now)
                self._tell(expected, now)
            elif not known:
                timeline.unwatched(kept.at, now)
        await self._keep()

    async def look(self) -> None:
        """See whether the clock was set since the last look. Raises `StoreError`: then the next look does it."""
        async with self._looking:
            moved = self._clock.moved()
            if self._unwritten is None and abs(moved) > JUMP:
                before = self._clock.now()
                self._unwritten = before, before + moved
                if moved < timedelta(0):
                    # First, and in the other case last: what is claimed in between must not look due too early.
                    self._follow()
            if self._unwritten is not None:
                await self._jumped(*self._unwritten)
                await self._keep()
            else:
                self._clock.follow()
                if self._kept_at is None or not timedelta(0) <= self._clock.now() - self._kept_at < _KEEP_EVERY:
                    await self._keep()

    async def _jumped(self, before: datetime, now: datetime) -> None:
        """An attempt that begins at the very moment may be counted as lost, and be repeated; no more than that."""
        if self._store.keeps_house:  # once for all: several routers of a store go by one clock
            await self._store.clock_was_set(before=before, now=now)
        self._unwritten = None
        if now > before:
            self._follow()
        self._tell(before, now)
        for lane in self._ways.now.lanes.values():
            lane.clock_was_set(now - before)

    def _follow(self) -> None:
        """At once with the clock, the timeline: what is written down from here on must not look old."""
        before = self._clock.now()
        self._clock.follow()
        self.timeline.jumped(before, self._clock.now())

    def _tell(self, before: datetime, now: datetime) -> None:
        self._log.warning("clock.jumped", seconds=round((now - before).total_seconds()), was=before.isoformat())

    def _read(self) -> Kept | None:
        try:
            return Kept.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self._log.warning("clock.forgotten", reason=type(error).__name__)
            return None

    async def _keep(self) -> None:
        boot, uptime = self._clock.uptime()
        self._kept_at = self._clock.now()
        timeline = self.timeline
        kept = Kept(
            at=self._kept_at,
            boot=boot,
            uptime=uptime,
            shown=timeline.shown,
            begin=timeline.begin,
            ahead=timeline.ahead,
        )
        try:
            await asyncio.to_thread(folder.replace, self._file, kept.model_dump_json().encode())
        except OSError as error:
            self._log.warning("clock.not_kept", reason=error.strerror)
