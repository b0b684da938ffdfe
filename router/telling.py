"""Telling alarms through sinks: beside all deliveries, with retries of its own, in memory only.

An alarm that a sink does not take is no new alarm. It is told through every sink that is to carry it, so that the others
have it; of what waits for one sink, later news about the same thing takes the place of earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from router.alarm import Alarm
from router.delivery import Delivered, Refused, Retry
from router.lanes import LAST_WORD
from router.retry import longer
from router.standing import Key, key_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.lanes import Lane
    from router.sink import Sink

#: A sink that does not take an alarm is asked again after the first, then after twice the last, up to the second.
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(minutes=15)
#: News that is older is none.
GIVE_UP: Final = timedelta(hours=24)


@dataclass(slots=True)
class _Waiting:
    """An alarm that one sink has not taken yet."""

    alarm: Alarm
    began: datetime
    next_at: datetime
    failures: int = 0
    #: What failed last: another sink of that name need not wait.
    failed: Sink | None = None


class Telling:
    """What still has to be told, by sink. `lanes` gives those in force.

    `taken` is called with what each sink took, and `keep` when one has taken all that it takes for now.
    """

    def __init__(
        self,
        lanes: Callable[[], Mapping[str, Lane]],
        *,
        taken: Callable[[str, Alarm], None],
        keep: Callable[[], Awaitable[None]],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._lanes = lanes
        self._taken = taken
        self._keep = keep
        self._clock = clock
        self._log = log
        self._waiting: dict[str, dict[Key, _Waiting]] = {}
        #: With the sink that each goes through: one that takes its time keeps no other of that name from it.
        self._going: dict[asyncio.Task[None], Sink] = {}

    def tell(self, alarm: Alarm, to: Iterable[str]) -> None:
        """Tell it through these sinks, as soon as each takes it."""
        now, key = self._clock.now(), key_of(alarm)
        for sink in to:
            self._waiting.setdefault(sink, {})[key] = _Waiting(alarm, now, now)

    def forget(self, alarm: Alarm) -> None:
        """Tell nobody what still waits about the same thing: there is news."""
        for waiting in self._waiting.values():
            waiting.pop(key_of(alarm), None)

    def waits(self, alarm: Alarm, sink: str) -> bool:
        """Whether news about the same thing waits for this sink."""
        return key_of(alarm) in self._waiting.get(sink, {})

    def go(self) -> None:
        """Try what is due, each sink by itself: one that hangs keeps no other from it."""
        now, lanes = self._clock.now(), self._lanes()
        for name in self._waiting.keys() - lanes.keys():
            del self._waiting[name]
        for name, waiting in self._waiting.items():
            sink = lanes[name].sink
            going = any(one is sink for one in self._going.values())
            if not going and any(_due(one, sink, now) for one in waiting.values()):
                task = asyncio.create_task(self._tell_all(lanes[name], sink, waiting), name=f"alarms {name}")
                self._going[task] = sink
                task.add_done_callback(self._going.pop)

    async def stop(self) -> None:
        """Call off what is going on."""
        tasks = list(self._going)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORD)

    async def _tell_all(self, lane: Lane, sink: Sink, waiting: dict[Key, _Waiting]) -> None:
        for key, one in list(waiting.items()):
            if lane.sink is not sink:
                break  # another has taken its place, and is told by itself
            if waiting.get(key) is not one or not _due(one, sink, self._clock.now()):
                continue  # there is news meanwhile, or another router tells it
            if await self._tell(lane, sink, one) and waiting.get(key) is one:
                del waiting[key]
        await self._keep()

    async def _tell(self, lane: Lane, sink: Sink, one: _Waiting) -> bool:
        """Whether that is all that can be done about it."""
        outcome = await lane.alarm(one.alarm)
        log = self._log.bind(sink=lane.name, cause=one.alarm.cause, subject=one.alarm.subject)
        now = self._clock.now()
        match outcome:
            case Delivered():
                self._taken(lane.name, one.alarm)
                log.info("alarm.told", cleared=one.alarm.cleared is not None)
                return True
            case Retry(reason, retry_after, _) if now - one.began < GIVE_UP:
                one.failures, one.failed = one.failures + 1, sink
                wait = min(FIRST_WAIT * 2 ** min(one.failures - 1, 16), LONGEST_WAIT)
                one.next_at = now + longer(wait, retry_after)
                log.warning("alarm.delayed", reason=reason, next_at=one.next_at.isoformat())
                return False
            case Retry(reason) | Refused(reason):
                log.warning("alarm.lost", reason=reason)
                return True


def _due(one: _Waiting, sink: Sink, now: datetime) -> bool:
    """Also where the clock was set back, and where the sink is another one than the one that failed."""
    return one.failed is not sink or not now < one.next_at <= now + GIVE_UP
