"""Telling alarms through sinks: beside all deliveries, with retries of its own, in memory only.

An alarm that a sink does not take is no new alarm. It is told through every sink that is to carry it, so that the others
have it; of what waits for one sink, later news about the same thing takes the place of earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
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


class Telling:
    """What still has to be told, by sink. `lanes` gives those in force."""

    def __init__(self, lanes: Callable[[], Mapping[str, Lane]], *, clock: Clock, log: FilteringBoundLogger) -> None:
        self._lanes = lanes
        self._clock = clock
        self._log = log
        self._waiting: dict[str, dict[Key, _Waiting]] = {}
        self._going: dict[str, asyncio.Task[None]] = {}
        #: What nobody at all has been told.
        self.unheard: set[Key] = set()

    def tell(self, alarm: Alarm, to: Iterable[str]) -> None:
        """Tell it through these sinks, as soon as each takes it."""
        now, key = self._clock.now(), key_of(alarm)
        for sink in to:
            self._waiting.setdefault(sink, {})[key] = _Waiting(alarm, now, now)
            self.unheard.add(key)

    def go(self) -> None:
        """Try what is due, each sink by itself: one that hangs keeps no other from it."""
        now, lanes = self._clock.now(), self._lanes()
        for sink in self._waiting.keys() - lanes.keys():
            del self._waiting[sink]
        for sink, waiting in self._waiting.items():
            if sink not in self._going and any(_due(one, now) for one in waiting.values()):
                task = asyncio.create_task(self._tell_all(lanes[sink], waiting), name=f"alarms {sink}")
                self._going[sink] = task
                task.add_done_callback(lambda _, sink=sink: self._going.pop(sink))  # type: ignore[misc] # a lambda's default

    async def stop(self) -> None:
        """Call off what is going on. What nobody has been told is still in `unheard`."""
        tasks = list(self._going.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORD)

    async def _tell_all(self, lane: Lane, waiting: dict[Key, _Waiting]) -> None:
        for key, one in list(waiting.items()):
            if _due(one, self._clock.now()) and await self._tell(lane, one) and waiting.get(key) is one:
                del waiting[key]

    async def _tell(self, lane: Lane, one: _Waiting) -> bool:
        """Whether that is all that can be done about it."""
        outcome = await lane.alarm(one.alarm)
        log = self._log.bind(sink=lane.name, cause=one.alarm.cause, subject=one.alarm.subject)
        now = self._clock.now()
        match outcome:
            case Delivered():
                self.unheard.discard(key_of(one.alarm))
                log.info("alarm.told", cleared=one.alarm.cleared is not None)
                return True
            case Retry(reason, retry_after, _) if now - one.began < GIVE_UP:
                one.failures += 1
                wait = min(FIRST_WAIT * 2 ** min(one.failures - 1, 16), LONGEST_WAIT)
                one.next_at = now + longer(wait, retry_after)
                log.warning("alarm.delayed", reason=reason, next_at=one.next_at.isoformat())
                return False
            case Retry(reason) | Refused(reason):
                log.warning("alarm.lost", reason=reason)
                return True


def _due(one: _Waiting, now: datetime) -> bool:
    """Also where the clock was set back."""
    return not now < one.next_at <= now + GIVE_UP
