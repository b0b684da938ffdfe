"""Alarms: looking again and again for what is wrong with the router, and having it told when it begins and when it ends.

Where several routers share a store, each looks at what is its own, and the one that keeps house also at what is wrong for
all (see `alarm.WHOSE`). What was told is kept (see `memory`), so that neither a restart nor another router that keeps house
from then on tells anything twice, and what is over by then is told.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from router import findings, symptoms
from router.alarm import Alarm, Cause, Whose
from router.clock import pause
from router.errors import StoreError, StoreFull
from router.findings import Findings
from router.memory import FileMemory, Kept, StoreMemory
from router.standing import Key, Register, key_of
from router.telling import Telling
from router.timeline import Since

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.metrics import Metrics
    from router.reload import ReloadState
    from router.stall import Stall
    from router.store.base import Store
    from router.timeline import Timeline
    from router.ways import InForce, Ways

LOOK_EVERY: Final = timedelta(seconds=15)
#: How often what a sink has not taken is told to it again, as long as it stands.
AGAIN: Final = timedelta(hours=1)
#: Seconds for which the event loop may stand still, and how long it is remembered where it did for longer.
LONGEST_LAG: Final = 5.0
_REMEMBERED: Final = timedelta(minutes=10)
#: A store may fail for so long, and an answer of it may take so many seconds.
_STORE_AFTER: Final = timedelta(minutes=1)
_PATIENCE: Final = 30.0


class Alarms:
    """The alarms of one router."""

    def __init__(
        self,
        ways: Ways,
        *,
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
        timeline: Timeline,
        router: str,
        file: Path,
        hold: bool = False,
    ) -> None:
        """`router`: its name, which alarms are told under; with `hold` nobody is told anything."""
        self._hold = hold
        self._router = router
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._own = FileMemory(file, log)
        self._shared = StoreMemory(store, log)
        self._register = Register()
        self._telling = Telling(lambda: ways.now.lanes, taken=self._taken, keep=self._keep_taken, clock=clock, log=log)
        #: When sinks were told last what they had not taken.
        self._again: datetime | None = None
        self._noted: dict[Key, Alarm] = {}
        #: When, and kept by which sink.
        self._stalls: deque[tuple[datetime, str]] = deque()
        self._store_failed: datetime | None = None
        self._since = Since(timeline)
        self._findings = Findings(store, self._since)
        #: Of which kinds it is known what was told before: until then nothing may be told, nor be kept in its place. What
        #: the store's are, only whoever keeps house knows.
        self._known = set[Whose]()
        self._looking = asyncio.Lock()

    @property
    def active(self) -> tuple[Alarm, ...]:
        """What is wrong as far as this router looks, the most urgent first."""
        return self._register.active

    async def all(self) -> tuple[Alarm, ...]:
        """What is wrong with this router and, whoever looks at that, with the store that it shares."""
        if Whose.STORE in self._known:
            return self.active
        try:
            kept = await self._shared.peek()
        except StoreError:
            return self.active
        return self._register.instead(Whose.STORE, kept.standing).active

    # --- what others know ---

    def note(self, cause: Cause, subject: str = "") -> None:
        """Something is wrong that no look would find, until `well`."""
        self._noted.setdefault((cause, subject), Alarm(cause=cause, subject=subject, since=self._clock.now()))

    def well(self, cause: Cause, subject: str = "") -> None:
        """It is not wrong (any more)."""
        self._noted.pop((cause, subject), None)

    def reloaded(self, state: ReloadState) -> None:
        """A configuration was taken over or refused."""
        about = Cause.RELOAD, self._ways.now.config.file.name
        if state.reason is not None:
            self.note(*about)
            return
        self.well(*about)
        self._again = None  # there may be a sink that was not told yet, or could not be

    def lagged(self, stall: Stall) -> None:
        """The event loop stood still for so long."""
        if stall.seconds >= LONGEST_LAG:
            self._stalls.append((self._clock.now(), stall.sink))

    # --- looking ---

    async def watch(self) -> NoReturn:
        """Look every 15 seconds."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - a bug in here must not cost a call
                self._log.error("alarms.failed", exc_info=error)
                self._metrics.alarms_failed()
            await pause(self._clock, LOOK_EVERY)

    async def look(self) -> None:
        """Find what is wrong, and have told what is to be told. One look at a time: the later one counts."""
        async with self._looking:
            if Whose.ROUTER not in self._known:
                self._go_on_with(Whose.ROUTER, await self._own.recall())
            await self._look()

    async def _look(self) -> None:
        force, now = self._ways.now, self._clock.now()
        found, unwatched = await self._of_the_store(force, now)
        found += [*self._noted.values(), *self._of_lanes(force, now), *self._of_the_loop(now)]
        wrong = [replace(one, router=self._router) for one in found if one.whose in self._known]
        register = self._register.looked(wrong, now, unwatched)
        told = register.due(now)
        self._register = register.told(told, now)
        to = () if self._hold else self._ways.now.config.alarms.to
        for alarm in told:
            self._log.warning(f"alarm.{alarm.kind}", cause=alarm.cause, subject=alarm.subject, count=alarm.count)
            standing = self._register.standing[key_of(alarm)]
            self._telling.forget(alarm)
            self._telling.tell(alarm, [sink for sink in to if standing.concerns(sink)])
        self._tell_again(to, now)
        self._metrics.alarmed(Counter(alarm.cause for alarm in self.active))
        self._telling.go()
        await self._keep()

    def _taken(self, sink: str, alarm: Alarm) -> None:
        """A sink took this; where that was over by then, it has to hear that, too."""
        self._register = self._register.taken(sink, alarm)
        standing = self._register.standing.get(key_of(alarm))
        if standing and standing.told and alarm.cleared is None and standing.told.cleared and standing.lacks(sink):
            self._telling.tell(standing.told, [sink])

    async def _keep_taken(self) -> None:
        """Whoever keeps house next must not tell it once more."""
        async with self._looking:
            await self._keep()

    def _tell_again(self, to: Iterable[str], now: datetime) -> None:
        """What a sink has not taken, and what waits for it no longer: at the start, after a reload, and every hour."""
        if self._again is not None and timedelta(0) <= now - self._again < AGAIN:
            return
        self._again = now
        for sink in to:
            for alarm in self._register.lacking(sink):
                if not self._telling.waits(alarm, sink):
                    self._telling.tell(alarm, [sink])

    async def stop(self) -> None:
        """Tell nothing more."""
        await self._telling.stop()
        await self._keep()

    def _of_lanes(self, force: InForce, now: datetime) -> Iterator[Alarm]:
        rows = [lane.row for lane in force.lanes.values()]
        rows = [replace(row, since=self._since.of((Cause.DOWN, row.sink), row.since or now, now)) for row in rows]
        yield from symptoms.down(rows, self.active, force.config.alarms.after.down, now)
        for sink, count in self._ways.overdue(asyncio.get_running_loop().time()).items():
            yield Alarm(cause=Cause.HANGS, subject=sink, since=now, count=count)

    def _of_the_loop(self, now: datetime) -> Iterator[Alarm]:
        while self._stalls and not timedelta(0) <= now - self._stalls[0][0] < _REMEMBERED:
            self._stalls.popleft()
        yield from symptoms.blocked(self._stalls)

    async def _of_the_store(self, force: InForce, now: datetime) -> tuple[list[Alarm], list[Alarm]]:
        """What is wrong, and what stands and is not looked at any more."""
        failed = False
        house = self._store.keeps_house
        if not house:
            self._leave_house()
        try:
            async with asyncio.timeout(_PATIENCE):
                try:
                    await self._store.check()
                except StoreFull:  # what is stored can be looked at all the same
                    failed = True
                if house and (kept := await self._shared.recall()) is not None:
                    self._go_on_with(Whose.STORE, kept)
                found = await self._findings.of_the_disk(force, self.active, now)
                if house:
                    shared, unwatched = await self._findings.of_all(force, self.active, now)
                    found += shared
                else:
                    unwatched = findings.unwatched(force, self.active)
        except (StoreError, TimeoutError):
            failed = True
            found, unwatched = findings.unasked(force, self.active), []
        self._store_failed = min(self._store_failed or now, now) if failed else None  # the clock may be set back
        found += symptoms.store(self._store_failed, _STORE_AFTER, self.active, now)
        return found, unwatched

    # --- what is kept ---

    def _go_on_with(self, whose: Whose, kept: Kept) -> None:
        """This is what was told, before a restart or by another router."""
        self._forget_waiting(whose)
        self._register = self._register.instead(whose, (one.remembered(self._router) for one in kept.standing))
        if whose is Whose.STORE:
            self._findings.listening.remember(kept.listening)
        self._known.add(whose)
        self._again = None

    def _leave_house(self) -> None:
        """Another router looks at what is wrong for all, and tells that."""
        self._forget_waiting(Whose.STORE)
        self._register = self._register.instead(Whose.STORE)
        self._shared.leave()
        self._known.discard(Whose.STORE)

    def _forget_waiting(self, whose: Whose) -> None:
        for one in self._register.of_whom(whose):
            self._telling.forget(one.alarm)

    async def _keep(self) -> None:
        if Whose.ROUTER in self._known:
            await self._own.keep(Kept(self._register.of_whom(Whose.ROUTER)))
        if Whose.STORE in self._known and self._store.keeps_house:
            listening = self._findings.listening.to_keep(self.active)
            await self._shared.keep(Kept(self._register.of_whom(Whose.STORE), listening))
