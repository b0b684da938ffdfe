"""Whose turn it is: what a lane's row says about a claim, to whichever router makes it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from router.delivery import LaneRow
from router.pace import Pace
from router.store.rows import lane_row, micros, readable_moment
from router.store.values import PROBED_AGAIN, Claims

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from router.store.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Claiming:
    """What is asked for: see `Store.claim`."""

    sink: str
    limit: int
    now: datetime
    until: datetime
    probe: bool
    lane: LaneRow | None
    interval: timedelta | None
    #: What the claims are known by (see `fence_of`) that are about to be committed.
    made: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn:
    """A claim that is about to be made for a sink, whose row nobody else changes meanwhile."""

    sink: str
    now: datetime
    #: How many may be claimed.
    limit: int
    pace: Pace | None = None

    def spend(self, count: int) -> dict[str, object] | None:
        """After so many were claimed: when the next may be, as columns; None where that is not limited."""
        if self.pace is None or not count:
            return None
        self.pace.spend(count, self.now)
        return {"sink": self.sink, "free_at": micros(self.pace.free_at)}

    def claims(self, next_due: datetime | None) -> Claims:
        """What there is to say besides the claims themselves, which are not in here yet."""
        if self.pace is not None and next_due is not None:
            next_due = max(next_due, self.pace.free_at)
        return Claims((), next_due)


def turn(row: Row | None, claiming: Claiming, *, probed: bool) -> Turn | Claims:
    """What this row (None: there is none) lets be claimed; the answer where that is nothing.

    `probed`: this is a probe, and something of the sink is claimed.
    """
    sink, now, lane = claiming.sink, claiming.now, claiming.lane
    known = LaneRow(sink) if row is None or not row["version"] else lane_row(row)
    if lane is not None and lane.version != known.version:
        return Claims((), None, lane=known)
    if probed:
        return Claims((), now + PROBED_AGAIN)
    limit = max(claiming.limit, 0)
    if claiming.interval is None:
        return Turn(sink, now, limit)
    free_at = None if row is None else readable_moment(row["free_at"])
    pace = Pace(claiming.interval) if free_at is None else Pace(claiming.interval, free_at)
    allowed = pace.allowed(now)
    return Turn(sink, now, min(limit, allowed), pace) if allowed else Claims((), pace.free_at)
