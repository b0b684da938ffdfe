"""How much time really passed between two times of a wall clock that may have been set meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: Remembered at most, of each; then the oldest is forgotten, and counts as time that passed.
_MOST = 100


@dataclass(slots=True)
class Timeline:
    """Spans that the wall clock was set forward over never passed: nothing grows older by them.

    Where the clock is set back into or before such a span, that is forgotten: it was wrong to go there, and what was
    written down there is in the future. Where it is set back and later forward again, nobody can tell what was written
    down in between from what is really that old: both count as written in between.
    """

    #: As (from, to), in order.
    skipped: tuple[tuple[datetime, datetime], ...] = ()
    #: As (from, to, by): what has a time in between is younger by so much.
    doubtful: tuple[tuple[datetime, datetime, timedelta], ...] = ()
    #: While the wall clock is behind: where it stood before it was set back, and the earliest that it was set to.
    behind: tuple[datetime, datetime] | None = None

    def jumped(self, before: datetime, now: datetime) -> None:
        """The wall clock was set from `before` to `now`."""
        if self.behind is not None and before >= self.behind[0]:
            self.behind = None
        if now >= before:
            self._forward(before, now)
        else:
            self._back(before, now)

    def _forward(self, before: datetime, now: datetime) -> None:
        begin = before
        if self.behind is not None:
            stood, fell = self.behind
            self.doubtful = (*self.doubtful, (fell, before, min(now, stood) - before))[-_MOST:]
            begin = stood
        if begin <= now:
            self.behind = None
        if begin < now:
            self.skipped = (*self.skipped, (begin, now))[-_MOST:]

    def _back(self, before: datetime, now: datetime) -> None:
        stood, fell = self.behind or (before, now)
        wrong = [begin for begin, end in self.skipped if end > now]
        self.skipped = tuple(span for span in self.skipped if span[1] <= now)
        self.doubtful = tuple(one for one in self.doubtful if one[1] + one[2] <= now)
        stood = min([stood, *wrong])
        self.behind = (stood, min(fell, now)) if stood > now else None

    def passed(self, since: datetime, now: datetime) -> timedelta:
        """How much time passed since then."""
        skipped = (min(end, now) - max(begin, since) for begin, end in self.skipped)
        span = now - since - sum((max(one, timedelta(0)) for one in skipped), timedelta(0))
        younger = sum((by for begin, end, by in self.doubtful if begin <= since <= end), timedelta(0))
        return span if span < younger else span - younger

    def ago(self, span: timedelta, now: datetime) -> datetime:
        """The time before which nothing was written since which less than that has passed."""
        left, at = span, now
        for begin, end in reversed(self.skipped):
            if end >= at:
                at = min(at, begin)
            elif at - end > left:
                break
            else:
                left, at = left - (at - end), begin
        young = [begin for begin, _, _ in self.doubtful if self.passed(begin, now) < span]
        return min([at - left, *young])


@dataclass(frozen=True, slots=True)
class Since:
    """When things began that somebody looks at again and again.

    What is written down with a time that has not come (again) counts from when that was first seen.
    """

    timeline: Timeline
    _seen: dict[Hashable, tuple[datetime, datetime]] = field(default_factory=dict)

    def of(self, thing: Hashable, written: datetime, now: datetime) -> datetime:
        """When it began by the clock as it is now, never later than that; `written` is what was written down of it."""
        known, seen = self._seen.get(thing, (None, now))
        if known == written or written > now:
            seen = min(seen, now) if known == written else now
            self._seen[thing] = written, seen
            written = seen
        else:
            self._seen.pop(thing, None)
        return now - self.timeline.passed(written, now)
