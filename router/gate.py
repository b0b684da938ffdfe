"""The gate of a lane: whether attempts may go out. Attempts, operators, other routers and the clock move it.

What an attempt means for it is decided in `breaker`; here it is written down, and learned where somebody else was faster.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from router import breaker, retry
from router.delivery import LaneRow, LaneState
from router.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.delivery import Outcome
    from router.store.base import Store


class Gate:
    """One lane's. `row` is how it stands, as far as is known here; `changed` is called whenever that is something else."""

    def __init__(
        self, row: LaneRow, *, store: Store, clock: Clock, log: FilteringBoundLogger, changed: Callable[[], object]
    ) -> None:
        self.row = row
        self._store = store
        self._clock = clock
        self._log = log
        self._changed = changed
        #: The next probe need not wait for its time: a restart is a good moment to look whether the far side is back.
        self._eager = row.state is LaneState.PROBING
        #: Held while the state changes: what an attempt found out must not undo what an operator said meanwhile.
        self._changing = asyncio.Lock()

    # --- what moves it ---

    async def pause(self) -> None:
        """Begin no more attempts until `resume`; none begins after this returned. Raises `StoreError`.

        Nor on any other router of the store, but for what it was claiming at that very moment.
        """
        await self._move(LaneState.PAUSED, "paused by an operator")

    async def resume(self) -> None:
        """Go on, also after the far side said that it is gone. Raises `StoreError`."""
        if self.row.state is not LaneState.OPEN:
            await self._move(LaneState.OPEN, breaker.RESUMED)

    async def learn(self, outcome: Outcome, now: datetime, *, probe: bool) -> None:
        """What an attempt that is settled means for it. A store that fails leaves it as it was."""
        try:
            async with self._changing:
                while (row := breaker.after(self.row, outcome, now, probe=probe)) is not None:
                    if await self._set(row):
                        break
        except StoreError as error:
            self._log.warning("lane.store_failed", reason=str(error))

    async def nothing_to_probe_with(self) -> None:
        """What was owed is ended or given up: whether the far side is back, the next delivery finds out. Raises `StoreError`."""
        async with self._changing:
            if self.row.state is LaneState.PROBING:
                await self._set(breaker.moved(self.row, LaneState.OPEN, self._clock.now(), reason=breaker.UNTRIED))

    def clock_was_set(self, by: timedelta) -> None:
        """The wall clock was set forward, or back: the next probe comes when it would have come."""
        if self.row.next_at is not None:
            self.row = replace(self.row, next_at=self.row.next_at + by)
        self._changed()

    # --- what the store says ---

    def follow(self, row: LaneRow) -> None:
        """It stands like this, as another router has set it; nothing changes where that is not news."""
        if row.version > self.row.version:
            self._now_is(row, by="another router")

    def stands(self, row: LaneRow) -> None:
        """The store says so: also what is older, where it lost its newest (a standby took over, or a backup was put back)."""
        if row.version != self.row.version:
            self._now_is(row, by="another router")

    def written(self, row: LaneRow) -> None:
        """This router has set it so, with a settlement; nothing changes where it was set since."""
        if row.version > self.row.version:
            self._now_is(row)

    # --- probes ---

    def probes_at(self, now: datetime) -> datetime:
        """When the next probe may go."""
        next_at = None if self._eager else self.row.next_at
        if next_at is None or next_at > now + retry.LONGEST_RETRY_AFTER:  # the clock was set back
            return now
        return next_at

    def hurry(self) -> None:
        """What was changed may have mended it: where it is down, the next probe need not wait."""
        self._eager = self.row.state is LaneState.PROBING

    def probed(self) -> None:
        """A probe goes out; the one after it waits for its time."""
        self._eager = False

    def still_down(self, probed: Outcome) -> LaneRow | None:
        """How it stands after a probe that does not open it: that is settled with it, so that no other router probes in between."""
        row = breaker.after(self.row, probed, self._clock.now(), probe=True)
        return None if row is None or row.state is LaneState.OPEN else row

    # ---

    async def _move(self, state: LaneState, reason: str) -> None:
        async with self._changing:
            while not await self._set(breaker.moved(self.row, state, self._clock.now(), reason=reason)):
                pass

    async def _set(self, row: LaneRow) -> bool:
        """Change the row: in the store, which releases what is held when the lane opens, and then here.

        False where another router has changed it since: how it stands is known here then. Raises `StoreError`, with
        nothing changed here.
        """
        now_is = await self._store.set_lane(row, now=self._clock.now())
        if now_is is None:
            self.stands((await self._store.lanes()).get(row.sink, LaneRow(row.sink)))
            return False
        self._now_is(now_is)
        return True

    def _now_is(self, row: LaneRow, *, by: str | None = None) -> None:
        changed = row.state is not self.row.state
        self.row, self._eager = row, False
        if changed:
            write = self._log.info if row.state is LaneState.OPEN else self._log.warning
            write("lane.changed", state=row.state, reason=row.reason, by=by)
        self._changed()
