"""Working hours, and how much of a span of time they are. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

#: Nobody waits longer; what lies further back is not counted.
_FURTHEST: Final = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Hours:
    """Some days of the week, from one local time of day until another; not on holidays."""

    zone: tzinfo
    #: Monday is 0.
    days: frozenset[int] = frozenset(range(5))
    begins: time = time(8)
    #: None: midnight. Not after `begins`: over midnight, on the day on which it began.
    until: time | None = time(18)
    is_holiday: Callable[[date], bool] | None = field(default=None, repr=False)

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` they are, counted 400 days back at most."""
        start = max(start, end - _FURTHEST)
        worked, day = timedelta(0), start.astimezone(self.zone).date() - timedelta(days=1)
        while day <= end.astimezone(self.zone).date():
            if day.weekday() in self.days and not (self.is_holiday and self.is_holiday(day)):
                closing = day if self.until and self.until > self.begins else day + timedelta(days=1)
                opens, closes = self._at(day, self.begins), self._at(closing, self.until or time.min)
                worked += max(min(end, closes) - max(start, opens), timedelta(0))
            day += timedelta(days=1)
        return worked

    def _at(self, day: date, clock: time) -> datetime:
        """In UTC: between two times of one zone, Python counts as if no clock were ever changed."""
        return datetime.combine(day, clock, self.zone).astimezone(UTC)
