"""Watching the wall clock: when somebody sets it, nothing may die, be purged, or wait for years because of that.

What waits is dated by the clock, so it is moved with it, once, by whoever keeps house; with that, in one transaction, the store
is told what was seen of the clock and how often it was set. From there every router of the store knows it, and each
that starts. A jump between two runs is seen as well.

Several routers hear of a jump one after the other, and what each writes down by another clock than the others' must at worst
be due early. So nobody follows a clock that was set forward before what waits was moved; and where it was set back, all
follow at once, and what waits is moved when all have heard of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pydantic import AwareDatetime, BaseModel, ValidationError

from router.clock import pause
from router.errors import StoreError
from router.store.values import BEAT_EVERY
from router.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

    from router.clock import JumpingClock
    from router.store.base import Store
    from router.ways import Ways

#: What it is called in the store.
MEMO: Final = "clock"
#: What is less is no jump: it is followed at once, and waits are longer or shorter by it.
JUMP: Final = timedelta(seconds=5)
#: How old what is kept may be: for the next run, which sees a jump by it; and for other routers, which see by it whether
#: whoever keeps house goes by the same clock as they do.
_KEEP_EVERY: Final = timedelta(minutes=1)
_KEEP_EVERY_SHARED: Final = 2 * BEAT_EVERY
#: How old it becomes where all is well; whether a clock was set by less, others cannot tell.
_OLDEST: Final = 4 * BEAT_EVERY
#: How long it may take until all routers have heard of a jump: some beats, and the patience of one.
HEARD: Final = timedelta(seconds=20)
#: After so long nobody is waited for any more: to whoever keeps house it was no jump.
_OVERDUE: Final = 3 * HEARD
_NOTHING: Final = timedelta(0)


class Kept(BaseModel):
    """What is known of the clock, last; `boot` and `uptime` are of the machine that says so."""

    #: How often what waits was moved with it.
    jumps: int
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
    ) -> None:
        self.timeline = timeline
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._kept_house = False
        self._kept_at: datetime | None = None
        self._keep_every = _KEEP_EVERY if store.is_alone else _KEEP_EVERY_SHARED
        #: How often what waits was moved, as far as this router knows.
        self._jumps = 0
        #: By how much the clock was set (below zero: back), which is followed, while what waits was not moved.
        self._owed = _NOTHING
        #: Since when, by the true clock, there is a jump that what waits was not moved with.
        self._since: datetime | None = None
        self._looking = asyncio.Lock()

    async def begin(self, beat: Callable[[], Awaitable[object]], *, hold: bool = False) -> None:
        """See whether the clock was set while this router did not run. Raises `StoreError`.

        Where another one keeps house that has not followed the clock yet, that is waited for, a minute at most: what this one
        wrote down meanwhile would be moved once more. With each `beat` this one says that it is there, and follows the clock.
        One that is on `hold` never keeps house itself.
        """
        kept = await self._agreed(beat, hold=hold)
        now, timeline = self._clock.now(), self.timeline
        if kept is not None:
            self._adopt(kept)
            boot, uptime = self._clock.uptime()
            # After a start of the machine nobody knows how long it was off: what the clock says is believed then.
            known = bool(boot) and boot == kept.boot
            expected = kept.at + timedelta(seconds=uptime - kept.uptime) if known else max(kept.at, now)
            if not known and kept.at - now > JUMP:
                expected = kept.at
            if abs(now - expected) > JUMP:
                timeline.jumped(expected, now)
                self._tell(expected, now)
                if self._store.keeps_house:  # otherwise whoever does sees it, too
                    await self._move(expected, now)
            elif not known:
                timeline.unwatched(kept.at, now)
        await self._keep()

    async def look(self) -> None:
        """See whether the clock was set since the last look. Raises `StoreError`: then the next look does it."""
        async with self._looking:
            moved = self._clock.moved()
            if abs(moved) > JUMP:
                self._since = self._since or self.timeline.true(self._clock.now())
                self._owed += min(moved, _NOTHING)
            elif not self._owed:
                self._since = None  # it was set right again before anything was done
            if moved <= JUMP:
                # First, and in the other case last: what is claimed in between must not look due too early.
                self._follow()
            keeps = self._store.keeps_house
            if not (keeps and self._kept_house):
                await self._learn()
            self._kept_house = keeps
            if keeps:
                await self._move_what_waits()
            elif self._waited(_OVERDUE):
                self._moved()
            if self._kept_at is None or not _NOTHING <= self._clock.now() - self._kept_at < self._keep_every:
                await self._keep()

    # --- what waits ---

    async def _agreed(self, beat: Callable[[], Awaitable[object]], *, hold: bool) -> Kept | None:
        """What is known of the clock, as soon as whoever keeps house goes by it, or this one keeps house."""
        for turn in range(_OVERDUE // BEAT_EVERY):
            kept = self._read(await self._store.memo(MEMO))
            if kept is None or self._agrees(kept) or self._store.keeps_house or (hold and not await self._others()):
                return kept
            if turn == 0:
                reason = "the clock is not as it was known last: whoever keeps house has to see that first"
                self._log.info("clock.awaited", reason=reason)
            await pause(self._clock, BEAT_EVERY)
            await beat()
        return self._read(await self._store.memo(MEMO))

    async def _others(self) -> bool:
        """Whether any is there that might keep house."""
        lines = await self._store.routers()
        return any((line.alive or line.keeps_house) and not line.here and not line.holds for line in lines)

    def _agrees(self, kept: Kept) -> bool:
        """Whether whoever keeps house goes by the clock as it is now, as far as can be told."""
        return abs(self._clock.now() + self._clock.moved() - kept.at) <= _OLDEST

    async def _learn(self) -> None:
        """What another router that keeps house has seen of the clock, and moved what waits with."""
        kept = self._read(await self._store.memo(MEMO))
        if kept is None or (self._since is None and not self._agrees(kept)):
            return  # it has heard of a jump that this one has not heard of yet
        if not self._knows_more(kept) and self._clock.moved() > _OLDEST and self._agrees(kept):
            self._moved()  # to nobody else it was a jump: this machine stood still

    async def _move_what_waits(self) -> None:
        """An attempt that begins at the very moment may be counted as lost, and be repeated; no more than that."""
        forward = max(self._clock.moved(), _NOTHING)
        if forward > JUMP or (self._owed and (self._store.is_alone or self._waited(HEARD))):
            now = self._clock.now()
            await self._move(now - self._owed, now + forward, forward)

    async def _move(self, before: datetime, now: datetime, forward: timedelta = _NOTHING) -> None:
        """Move what waits, once for all routers, and then follow a clock that was set `forward`."""
        was = await self._store.memo(MEMO)
        if self._knows_more(self._read(was)):
            return
        timeline = replace(self.timeline)
        if forward > JUMP:
            timeline.jumped(now - forward, now)
        content = self._content(timeline, now, self._jumps + 1)
        if not await self._store.clock_was_set(before=before, now=now, memo=MEMO, was=was, content=content):
            message = "another router keeps house at this very moment"
            raise StoreError(message)
        self._jumps += 1
        meanwhile = self._clock.moved() - forward
        self._moved()
        if abs(meanwhile) > JUMP:  # it was set once more
            self._owed, self._since = meanwhile, self.timeline.true(self._clock.now())

    def _knows_more(self, kept: Kept | None) -> bool:
        """Whether the store knows of more than this router, which knows that, too, from here on."""
        if kept is None or kept.jumps <= self._jumps:
            return False
        self._moved()
        self._adopt(kept)
        return True

    def _moved(self) -> None:
        """What waits goes by the clock again."""
        self._owed, self._since = _NOTHING, None
        self._follow()
        for lane in self._ways.now.lanes.values():
            lane.wake()

    def _waited(self, span: timedelta) -> bool:
        """Whether there is a jump for so long that what waits was not moved with."""
        return self._since is not None and self.timeline.true(self._clock.now()) - self._since >= span

    # --- the clock ---

    def _follow(self) -> None:
        """At once with the clock, the timeline: what is written down from here on must not look old."""
        before = self._clock.now()
        self._clock.follow()
        now = self._clock.now()
        if abs(now - before) > JUMP:
            self.timeline.jumped(before, now)
            self._tell(before, now)
            for lane in self._ways.now.lanes.values():
                lane.gate.clock_was_set(now - before)

    def _tell(self, before: datetime, now: datetime) -> None:
        self._log.warning("clock.jumped", seconds=round((now - before).total_seconds()), was=before.isoformat())

    # --- what is kept ---

    def _read(self, content: bytes | None) -> Kept | None:
        try:
            return None if content is None else Kept.model_validate_json(content)
        except ValidationError as error:
            self._log.warning("clock.forgotten", reason=type(error).__name__)
            return None

    def _adopt(self, kept: Kept) -> None:
        timeline = self.timeline
        self._jumps, timeline.shown, timeline.begin, timeline.ahead = kept.jumps, kept.shown, kept.begin, kept.ahead

    def _content(self, timeline: Timeline, at: datetime, jumps: int) -> bytes:
        boot, uptime = self._clock.uptime()
        shown = {"shown": timeline.shown, "begin": timeline.begin, "ahead": timeline.ahead}
        return Kept(jumps=jumps, at=at, boot=boot, uptime=uptime, **shown).model_dump_json().encode()

    async def _keep(self) -> None:
        if not self._store.keeps_house or self._since is not None:
            return  # with a jump that what waits was not moved with, the next run has to see that itself
        self._kept_at = self._clock.now()
        try:
            kept = self._read(await self._store.memo(MEMO))
            if self._knows_more(kept):
                return  # another router has kept house in between
            await self._store.keep_memo(MEMO, self._content(self.timeline, self._kept_at, self._jumps))
        except StoreError as error:
            self._log.warning("clock.not_kept", reason=str(error))
