"""What has to be done from time to time: taking back claims that ran out, and removing what was kept long enough.

Of several routers that share a store, one does it: whichever keeps house at the moment.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from router.clock import pause
from router.errors import StoreError
from router.store.values import LONGEST_CLAIM

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.store.base import Store
    from router.store.values import Retaken
    from router.watching import ClockWatch
    from router.ways import Ways

#: How long a claim that ran out may go unnoticed.
RETAKE_EVERY: Final = timedelta(seconds=1)
#: Often, so that what a busy hour brought does not go in one long stretch.
PURGE_EVERY: Final = timedelta(minutes=1)
#: No claim ends before.
_NEVER: Final = datetime.fromtimestamp(0, UTC)
#: Seconds between two portions of a purge, so that calls that come in do not wait for it.
_PURGE_PAUSE: Final = timedelta(milliseconds=50)


class Housekeeping:
    """The chores of one router."""

    def __init__(self, ways: Ways, *, store: Store, clock: Clock, log: FilteringBoundLogger, watch: ClockWatch) -> None:
        self._ways = ways
        self._watch = watch
        self._store = store
        self._clock = clock
        self._log = log

    async def retake_for_ever(self) -> NoReturn:
        """Look at the clock and for claims that ran out, every second."""
        failing = False
        while True:
            await pause(self._clock, RETAKE_EVERY)
            try:
                await self.look()
                failing = False
            except StoreError as error:
                if not failing:
                    self._log.warning("housekeeping.store_failed", chore="retake", reason=str(error))
                failing = True

    async def purge_for_ever(self) -> NoReturn:
        """Remove what was kept long enough, at the start and every minute."""
        while True:
            try:
                now = self._clock.now()
                while await self.purge(now):
                    await pause(self._clock, _PURGE_PAUSE)
            except StoreError as error:
                self._log.warning("housekeeping.store_failed", chore="purge", reason=str(error))
            await pause(self._clock, PURGE_EVERY)

    async def look(self) -> None:
        """Take back what ran out, by the clock that it was claimed by, and then see whether somebody set that.

        What is any router's to take back, whoever keeps house does.
        """
        if self._store.keeps_house:
            await self.retake()
        await self._watch.look()
        if not self._store.is_alone:
            await self._look_at_others()

    async def retake(self, *, left_behind: bool = False) -> None:
        """Make claims due again that ran out, if it keeps house; and (`left_behind`) what an earlier run of this router held."""
        now = self._clock.now()
        if self._store.is_alone:
            over = now
        elif self._store.keeps_house:  # another router's claim may be by the clock before the last jump
            over = self._watch.timeline.behind(LONGEST_CLAIM, now)
        else:
            over = _NEVER
        taken: Retaken = await self._store.retake(now=now, over=over, left_behind=left_behind)
        if taken.lost:
            self._log.warning("claims.lost", count=taken.lost, sinks=sorted(taken.sinks))
        for sink, delivery_id in taken.poison:
            self._log.warning("delivery.dead", sink=sink, delivery_id=delivery_id, reason="poison")
        lanes = self._ways.now.lanes
        for sink in taken.sinks & lanes.keys():
            lanes[sink].wake()

    async def _look_at_others(self) -> None:
        """See how other routers have set lanes, and what they have left to whoever has room."""
        lanes = self._ways.now.lanes
        for sink, row in (await self._store.lanes()).items():
            if sink in lanes:
                lanes[sink].gate.follow(row)
        for sink in await self._store.due(lanes, now=self._clock.now()):
            lanes[sink].wake()

    async def purge(self, now: datetime | None = None) -> bool:
        """Remove one portion of what was kept long enough at some time, or is now; whether there was any.

        What comes next has its room then, also where another router keeps house and removes.
        """
        await self.look()
        await self._store.make_ready(now=self._clock.now())
        if not self._store.keeps_house:
            return False
        # The clock may have been set back since `now`: by what is known of it now, that would be too late a time.
        now, timeline = min(now or self._clock.now(), self._clock.now()), self._watch.timeline

        def before(kept: timedelta | None) -> datetime | None:
            return None if kept is None else timeline.ago(kept, now)

        config = self._ways.now.config
        purged = await self._store.purge(
            events=before(config.keep_events),
            quarantine=before(config.keep_quarantine),
            seen=before(config.keep_seen),
        )
        if purged:
            self._log.info(
                "store.purged",
                events=purged.events,
                deliveries=purged.deliveries,
                quarantined=purged.quarantined,
                seen=purged.seen,
            )
        return bool(purged)
