"""How much time really passed between two times of a wall clock that may have been set meanwhile. Pure.

The true clock is one that nobody sets: it says what the wall clock would say had it run on undisturbed. A stretch is
what the wall clock showed between two jumps, and how far it was ahead of the true clock meanwhile. With these, what was
written down by the wall clock is read as the true time at which the wall clock said so.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final, TypeAlias

#: Remembered at most; then the two neighbours that differ least become one.
_MOST: Final = 100
#: So far beyond its end a stretch counts as shown: `now` was read a moment before something else was written down, and
#: the wall clock goes back a little without a word. Else that would be as old as what an earlier stretch wrote there.
_SLACK: Final = timedelta(minutes=1)
_NOTHING: Final = timedelta(0)
#: The first stretch had no begin that anybody saw.
_EVER: Final = datetime.min.replace(tzinfo=UTC)

#: As (from, to, ahead): the wall times that it showed, and how far it was ahead of the true clock (below zero: behind).
Stretch: TypeAlias = tuple[datetime, datetime, timedelta]


@dataclass(slots=True)
class Timeline:
    """What the wall clock showed, and when. Nothing is older by it than it truly is.

    Where the wall clock showed the same time twice, the younger counts, so that nothing is given up or removed too early;
    what it showed once is exactly as old as it is.
    """

    #: What the wall clock showed before the last jump, by wall time; none overlap, and the first has no begin.
    shown: tuple[Stretch, ...] = ()
    #: Since when, by itself, the wall clock runs on undisturbed.
    begin: datetime = _EVER
    #: How far it is ahead of the true clock now.
    ahead: timedelta = _NOTHING

    def jumped(self, before: datetime, now: datetime) -> None:
        """The wall clock was set from `before` to `now`."""
        self.shown = _bounded(self._until(before))
        self.begin, self.ahead = now, self.ahead + (now - before)

    def unwatched(self, before: datetime, now: datetime) -> None:
        """Nobody knows how long it took the wall clock from `before` to `now`: the machine was off.

        The clock is believed. But where it was behind, and is now beyond where it stood earlier, it was put right, and
        goes on from there: else all that was ever written would be older by as much as it was behind.
        """
        line = [ahead for begin, _, ahead in self._until(before) if begin <= now][-1]
        if line != self.ahead:
            self.jumped(max(before, now - line + self.ahead), now)

    def true(self, now: datetime) -> datetime:
        """What the true clock says now."""
        return now - self.ahead

    def passed(self, since: datetime, now: datetime) -> timedelta:
        """How much time passed since then; below zero for what the wall clock never showed yet."""
        return self.true(now) - self._written(since, now)

    def ago(self, span: timedelta, now: datetime) -> datetime:
        """The time before which nothing was written since which less than that has passed."""
        true = self.true(now) - span
        ended = _EVER
        for begin, end, ahead in self._until(now):
            if end - ahead >= true:
                # All of it is younger: then so is, by the rule for what was never shown, the gap before it.
                return true + ahead if begin < true + ahead else ended
            ended = end
        return now - span

    def behind(self, span: timedelta, now: datetime) -> datetime:
        """What that clock shows now which is furthest behind, of all that ran within this span: not all have heard of the last jump."""
        true = self.true(now)
        return true + min([ahead for _, end, ahead in self.shown if end - ahead > true - span] + [self.ahead])

    def _written(self, wall: datetime, now: datetime) -> datetime:
        """The last true time at which the wall clock said so.

        In a gap that it never showed nothing was written, unless by another clock: it counts as written beside the
        younger one of its neighbours.
        """
        shown = self._until(now)
        found = [wall - ahead for begin, end, ahead in shown if begin <= wall <= end]
        if found:
            return max(found)
        for (_, ended, before), (begin, _, after) in pairwise(shown):
            if ended < wall < begin:
                return max(ended - before, begin - after)
        return self.true(wall)

    def _until(self, now: datetime) -> tuple[Stretch, ...]:
        """All that was shown, with what runs now."""
        return _over(self.shown, (self.begin, max(self.begin, now) + _SLACK, self.ahead))


def _over(shown: Iterable[Stretch], last: Stretch) -> tuple[Stretch, ...]:
    """With one that is younger than all the others: of these remains what it did not show again."""
    remain = [last]
    for begin, end, ahead in shown:
        if begin < last[0]:
            remain.append((begin, min(end, last[0]), ahead))
        if end > last[1]:
            remain.append((max(begin, last[1]), end, ahead))
    return tuple(sorted(remain))


def _bounded(shown: tuple[Stretch, ...]) -> tuple[Stretch, ...]:
    """Two that become one are younger by what they differ, and never older: it was the less ahead of the two."""
    while len(shown) > _MOST:
        at = min(range(len(shown) - 1), key=lambda n: abs(shown[n][2] - shown[n + 1][2]))
        (begin, _, one), (_, end, other) = shown[at : at + 2]
        shown = (*shown[:at], (begin, end, min(one, other)), *shown[at + 2 :])
    return shown


@dataclass(frozen=True, slots=True)
class Since:
    """When things began that somebody looks at again and again.

    They began at the latest when they were first seen, also where they are written down with a time that has not come yet.
    """

    timeline: Timeline
    #: What was written down of each, and when that was first seen, by the true clock: the wall clock may say so again.
    _seen: dict[Hashable, tuple[datetime, datetime]] = field(default_factory=dict)

    def of(self, thing: Hashable, written: datetime, now: datetime) -> datetime:
        """When it began by the clock as it is now, never later than that; `written` is what was written down of it."""
        true = self.timeline.true(now)
        known, seen = self._seen.get(thing, (written, true))
        seen = min(seen, true) if known == written else true
        self._seen[thing] = written, seen
        return now - max(self.timeline.passed(written, now), true - seen)
