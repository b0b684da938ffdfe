"""Alarms: looking again and again for what is wrong with the router, and having it told when it begins and when it ends.

What was told is kept in `data/alarms.json`, so that a restart tells nothing twice and what is over by then is told. The
file may be lost: then all that stands is told once more.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pydantic import TypeAdapter, ValidationError

from router import symptoms
from router.alarm import Alarm, Cause
from router.clock import pause
from router.errors import StoreError, StoreFull
from router.listening import Listening
from router.standing import Key, Register, Standing, key_of
from router.store.sqlite import folder
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
#: What only the store knows: where it cannot be asked, all of it stays as it is.
_STORED: Final = frozenset(
    {Cause.DEAD, Cause.OLDEST, Cause.QUARANTINE, Cause.QUARANTINE_FULL, Cause.SILENT, Cause.DISK}
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What outlives a restart."""

    standing: tuple[Standing, ...] = ()
    listening: Mapping[str, datetime] = field(default_factory=dict)


_KEPT: Final = TypeAdapter(_Kept)


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
        file: Path,
        hold: bool = False,
    ) -> None:
        """With `hold` nobody is told anything."""
        self._hold = hold
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._file = file
        self._register = Register()
        self._telling = Telling(lambda: ways.now.lanes, taken=self._taken, clock=clock, log=log)
        #: When sinks were told last what they had not taken.
        self._again: datetime | None = None
        self._noted: dict[Key, Alarm] = {}
        #: When, and kept by which sink.
        self._stalls: deque[tuple[datetime, str]] = deque()
        self._store_failed: datetime | None = None
        self._since = Since(timeline)
        self._listening = Listening(self._since)
        #: What was told before the restart is known: until then nothing may be told, nor be kept in its place.
        self._remembers = False
        self._written: bytes | None = None
        self._looking = asyncio.Lock()

    @property
    def active(self) -> tuple[Alarm, ...]:
        """What is wrong, the most urgent first."""
        return self._register.active

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
            if not self._remembers:
                await self._remember()
                self._remembers = True
            await self._look()

    async def _look(self) -> None:
        force, now = self._ways.now, self._clock.now()
        wrong = [*self._noted.values(), *self._of_lanes(force, now), *self._of_the_loop(now)]
        stored, unwatched = await self._of_the_store(force, now)
        register = self._register.looked([*wrong, *stored], now, unwatched)
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
        if self._remembers:
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
        try:
            async with asyncio.timeout(_PATIENCE):
                try:
                    await self._store.check()
                except StoreFull:  # what is stored can be looked at all the same
                    failed = True
                found, unwatched = await self._stored(force, now)
        except (StoreError, TimeoutError):
            failed = True
            found, unwatched = [alarm for alarm in self.active if _is_stored(alarm, force)], []
        self._store_failed = min(self._store_failed or now, now) if failed else None  # the clock may be set back
        if self._store_failed is not None and now - self._store_failed >= _STORE_AFTER:
            found.append(Alarm(cause=Cause.STORE, subject="", since=self._store_failed))
        return found, unwatched

    async def _stored(self, force: InForce, now: datetime) -> tuple[list[Alarm], list[Alarm]]:
        """What the store knows. Raises `StoreError`."""
        store, rules, config = self._store, force.config.alarms, force.config
        backlog, room = await store.backlog(), await store.room()
        accepted = (await store.oldest()).items()
        oldest = {sink: self._since.of((Cause.OLDEST, sink), at, now) for sink, at in accepted}
        found = [
            *symptoms.dead(backlog, now),
            *symptoms.oldest(oldest, backlog, rules.after.oldest, now),
            *symptoms.quarantine(await store.unread(), now),
            *symptoms.quarantine_full(
                await store.quarantine_sizes(), config.quarantine_size, config.server.max_body, self.active, now
            ),
        ]
        if room is not None:
            found += symptoms.disk(room.free, max(rules.disk_free, config.reserve), self.active, now)
        listened = await self._listening.look(config, store, now)
        found += symptoms.silent(listened, self.active, config.hours, now)
        unwatched = symptoms.unwatched(
            self.active,
            sinks=force.lanes,
            listened={one.subject for one in listened},
            file=config.file.name,
            backlog=backlog,
        )
        return found, list(unwatched)

    # --- what is kept ---

    async def _remember(self) -> None:
        """What was told before the restart."""
        try:
            kept = _KEPT.validate_json(await asyncio.to_thread(self._file.read_bytes))
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as error:
            self._log.warning("alarms.forgotten", reason=type(error).__name__)
            return
        self._register = Register({key_of(one.alarm): one.remembered() for one in kept.standing})
        self._listening.remember(kept.listening)

    async def _keep(self) -> None:
        kept = _Kept(tuple(self._register.standing.values()), self._listening.to_keep(self.active))
        content = _KEPT.dump_json(kept)
        if content == self._written:
            return
        try:
            await asyncio.to_thread(folder.replace, self._file, content)
        except OSError as error:
            self._log.warning("alarms.not_kept", reason=error.strerror)
        else:
            self._written = content


def _is_stored(alarm: Alarm, force: InForce) -> bool:
    """Whether only the store knows of it; also what waits for a sink that is gone."""
    return alarm.cause in _STORED or (alarm.cause is Cause.DOWN and alarm.subject not in force.lanes)
