"""What claims, settlements and lanes do to the database, each within one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.delivery import LaneState
from router.failpoints import Failpoint, reached
from router.store.base import LOOK_AGAIN, SUSPECT_AFTER
from router.store.rows import lane_columns, lane_rows, micros, readable_moment
from router.store.settlements import fence, losing, retaken
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from router.delivery import LaneRow
    from router.store.base import Claim, Retaken


def claim(
    connection: sqlite3.Connection, sink: str, *, limit: int, now: datetime, until: datetime, probe: bool
) -> tuple[list[sqlite3.Row], datetime | None]:
    """Claim what is due; rows of `claimed`, earliest due first, and when the next one is due."""
    query = SQL["claim_probe" if probe else "claim_due"]
    row = {
        "sink": sink,
        "limit": max(limit, 0),
        "now": micros(now),
        "until": micros(until),
        "later": micros(now + LOOK_AGAIN),
        "suspect_after": SUSPECT_AFTER,
    }
    alone = connection.execute(SQL["suspects"], row).fetchone()["n"] == 0
    claimed = connection.execute(query, {**row, "alone": alone}).fetchall()
    ids = [{"id": row["id"]} for row in claimed if row["lost"] < SUSPECT_AFTER]
    suspects = sorted((row["due"], row["id"]) for row in claimed if row["lost"] >= SUSPECT_AFTER)
    ids += [{"id": id_} for _, id_ in suspects[:1]]
    connection.executemany(SQL["unclaim"], [{"id": id_} for _, id_ in suspects[1:]])
    found: list[sqlite3.Row | None] = [connection.execute(SQL["claimed"], id_).fetchone() for id_ in ids]
    rows = [row for row in found if row is not None]  # an id that is damaged itself finds nothing: lost until poison
    beside = not alone or bool(suspects)
    next_due = connection.execute(SQL["next_due_beside" if beside else "next_due"], row).fetchone()["due"]
    return sorted(rows, key=lambda row: (row["due"], row["delivery_id"])), readable_moment(next_due)


def settle(connection: sqlite3.Connection, row: dict[str, Any]) -> bool:
    """Write what an attempt came to (see `settlements`), unless it is too late."""
    if connection.execute(SQL["settle"], row).rowcount == 0:
        return False
    reached(Failpoint.IN_SETTLE)
    connection.execute(SQL["add_attempt"], row)
    return True


def release(connection: sqlite3.Connection, claim: Claim, *, now: datetime) -> bool:
    """Give a claim back unused, unless it is too late."""
    row = {**fence(claim), "now": micros(now)}
    connection.execute(SQL["add_released"], row)
    return connection.execute(SQL["release"], row).rowcount > 0


def retake(connection: sqlite3.Connection, *, now: datetime, left_behind: bool) -> Retaken:
    """Take back the claims that ran out, or all of them."""
    row = losing(now, left_behind=left_behind)
    connection.execute(SQL["add_lost"], row)
    return retaken(connection.execute(SQL["retake"], row).fetchall())


def clock_was_set(connection: sqlite3.Connection, *, before: datetime, now: datetime) -> None:
    """Move what waits with the clock."""
    row = {"before": micros(before), "now": micros(now)}
    connection.execute(SQL["move_waits"], row)
    connection.execute(SQL["move_claims"], row)


def lanes(connection: sqlite3.Connection) -> dict[str, LaneRow]:
    """Every lane that was set, without those whose row is damaged."""
    return lane_rows(connection.execute(SQL["lanes"]))


def set_lane(connection: sqlite3.Connection, lane: LaneRow, *, now: datetime) -> None:
    """Remember a lane's state; an open one lets go what it held."""
    connection.execute(SQL["set_lane"], lane_columns(lane))
    if lane.state is LaneState.OPEN:
        connection.execute(SQL["let_go"], {"sink": lane.sink, "now": micros(now)})
