"""How fast a sink may be sent something: evenly spaced, with nothing saved up while it was idle. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: Faster rates may begin several attempts at once: what this span of time allows.
_GRAIN = timedelta(milliseconds=100)
#: What two clocks may be apart, or one be set back by, without anybody taking that for anything else.
_APART = timedelta(seconds=5)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Pace:
    """The generic cell rate algorithm: `free_at` is when the next attempt may begin."""

    interval: timedelta
    free_at: datetime = _LONG_AGO

    def allowed(self, now: datetime) -> int:
        """How many attempts may begin now."""
        # Nothing that is spent reaches further. If it does, the wall clock was set back: nobody must wait for it.
        if self.free_at > now + max(self.interval, _GRAIN) + _APART:
            self.free_at = now
        if now < self.free_at:
            return 0
        return max(1, int(_GRAIN / self.interval))

    def spend(self, count: int, now: datetime) -> None:
        """So many attempts begin now."""
        self.free_at = max(self.free_at, now) + self.interval * count
