"""Watching the wall clock: when somebody sets it, nothing may die, be purged, or wait for years because of that.

What was seen of the clock is kept in the store, beside what is dated by it, so that a jump between two runs is seen, too.
Of several routers that go by one clock, whoever keeps house keeps it, and each that starts knows it from there.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from pydantic import AwareDatetime, BaseModel, ValidationError

from router.errors import StoreError
from router.timeline import Timeline

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import JumpingClock
    from router.store.base import Store
    from router.ways import Ways

#: What it is called in the store.
MEMO: Final = "clock"
#: What is less is no jump: it is followed at once, and waits are longer or shorter by it.
JUMP: Final = timedelta(seconds=5)
#: How old what is kept may be.
_KEEP_EVERY: Final = timedelta(minutes=1)
#: How long after a jump another router's claim may last that it made before it heard of it: an attempt's longest time,
#: what a claim lasts beyond that, and some beats.
_CLAIMS_LAST: Final = timedelta(minutes=11)


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
    ) -> None:
        self.timeline = timeline
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._kept_at: datetime | None = None
        #: A jump that the store does not know of yet, and what is kept of the clock with it.
        self._unwritten: tuple[datetime, datetime, bytes] | None = None
        #: By how much it was set forward, and until when, by the true clock, others may have claims by the clock before.
        self._forward: list[tuple[datetime, timedelta]] = []
        self._looking = asyncio.Lock()

    async def begin(self) -> None:
        """See whether the clock was set while no router ran. Raises `StoreError`."""
        now, timeline = self._clock.now(), self.timeline
        if (kept := self._read(await self._store.memo(MEMO))) is not None:
            timeline.shown, timeline.begin, timeline.ahead = kept.shown, kept.begin, kept.ahead
            boot, uptime = self._clock.uptime()
            # After a start of the machine nobody knows how long it was off: what the clock says is believed then.
            known = bool(boot) and boot == kept.boot
            expected = kept.at + timedelta(seconds=uptime - kept.uptime) if known else max(kept.at, now)
            if not known and kept.at - now > JUMP:
                expected = kept.at
            if abs(now - expected) > JUMP:
                timeline.jumped(expected, now)
                if self._store.keeps_house:  # otherwise whoever does has seen it
                    await self._move(expected, now, self._content(timeline, now))
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
                now = before + moved
                timeline = replace(self.timeline)
                timeline.jumped(before, now)
                self._unwritten = before, now, self._content(timeline, now)
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

    def over(self, now: datetime) -> datetime:
        """What a claim that ran out by now ended at, or before.

        Where the clock was set forward, other routers have claims by the clock before, also some that they made after
        it: until they heard of it. These must not look run out.
        """
        true = self.timeline.true(now)
        self._forward = [(end, by) for end, by in self._forward if true < end]
        return now - sum((by for _, by in self._forward), timedelta(0))

    async def _jumped(self, before: datetime, now: datetime, content: bytes) -> None:
        """An attempt that begins at the very moment may be counted as lost, and be repeated; no more than that."""
        if self._store.keeps_house:  # once for all: several routers of a store go by one clock
            await self._move(before, now, content)
        self._unwritten = None
        if now > before:
            self._follow()
            if not self._store.is_alone:
                self._forward.append((self.timeline.true(self._clock.now()) + _CLAIMS_LAST, now - before))
        self._tell(before, now)
        for lane in self._ways.now.lanes.values():
            lane.clock_was_set(now - before)

    async def _move(self, before: datetime, now: datetime, content: bytes) -> None:
        await self._store.clock_was_set(before=before, now=now, memo=MEMO, content=content)

    def _follow(self) -> None:
        """At once with the clock, the timeline: what is written down from here on must not look old."""
        before = self._clock.now()
        self._clock.follow()
        self.timeline.jumped(before, self._clock.now())

    def _tell(self, before: datetime, now: datetime) -> None:
        self._log.warning("clock.jumped", seconds=round((now - before).total_seconds()), was=before.isoformat())

    def _read(self, content: bytes | None) -> Kept | None:
        try:
            return None if content is None else Kept.model_validate_json(content)
        except ValidationError as error:
            self._log.warning("clock.forgotten", reason=type(error).__name__)
            return None

    def _content(self, timeline: Timeline, at: datetime) -> bytes:
        boot, uptime = self._clock.uptime()
        known = {"shown": timeline.shown, "begin": timeline.begin, "ahead": timeline.ahead}
        return Kept(at=at, boot=boot, uptime=uptime, **known).model_dump_json().encode()

    async def _keep(self) -> None:
        if not self._store.keeps_house:
            return
        self._kept_at = self._clock.now()
        try:
            await self._store.keep_memo(MEMO, self._content(self.timeline, self._kept_at))
        except StoreError as error:
            self._log.warning("clock.not_kept", reason=str(error))
