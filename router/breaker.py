"""What the outcome of one attempt means for the whole lane: hold it, open it, shut it, or nothing. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from router import retry
from router.delivery import Delivered, LaneRow, LaneState, Outcome, Refused, Retry

#: Why a lane is open, where nothing was delivered since.
RESUMED: Final = "resumed by an operator; nothing was delivered since"
REFUSED: Final = "it answers, and has refused what it was sent; nothing was delivered since it was down"
UNTRIED: Final = "nothing was left to probe with; nothing was delivered since it was down"


def after(row: LaneRow, outcome: Outcome, now: datetime, *, probe: bool) -> LaneRow | None:
    """The lane's new row; None where it stays as it is.

    Only a probe opens a lane that is down: what was begun before it went down proves nothing. What an attempt finds
    out never undoes what an operator said: a lane that is paused or disabled stays so. That it takes deliveries again
    is proved by the first that it takes, and by nothing else.
    """
    match outcome:
        case Retry(reason, retry_after, whole_lane=True) if row.state is LaneState.OPEN:
            return probing(row, 1, retry_after, reason, now)
        case Retry(reason, retry_after) if row.state is LaneState.PROBING and probe:
            return probing(row, row.failures + 1, retry_after, reason, now)
        case Refused(reason, whole_lane=True) if row.state in (LaneState.OPEN, LaneState.PROBING):
            return moved(row, LaneState.DISABLED, now, reason=reason)
        case Delivered() if row.unproven or (row.state is LaneState.PROBING and probe):
            return moved(row, LaneState.OPEN, now)
        case Refused() if row.state is LaneState.PROBING and probe:
            return moved(row, LaneState.OPEN, now, reason=REFUSED)
        case _:
            return None


def probing(row: LaneRow, failures: int, retry_after: timedelta | None, reason: str, now: datetime) -> LaneRow:
    """Down, after so many failures in a row; with the time of the next probe."""
    next_at = retry.probe_at(failures, retry_after, now)
    return moved(row, LaneState.PROBING, now, next_at=next_at, failures=failures, reason=reason)


def moved(
    row: LaneRow,
    state: LaneState,
    now: datetime,
    *,
    next_at: datetime | None = None,
    failures: int = 0,
    reason: str | None = None,
) -> LaneRow:
    """The row in this state; `since` is when it came into it."""
    since = row.since if state is row.state else now
    return LaneRow(row.sink, state, next_at, failures, reason, since, row.version)
