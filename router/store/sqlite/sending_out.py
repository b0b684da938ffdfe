"""What claims, settlements and lanes do to the database, each within one transaction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from router.delivery import LaneState
from router.failpoints import Failpoint, reached
from router.store.rows import fence_of, lane_columns, lane_rows, micros, readable_moment
from router.store.settlements import buried, moving, retaken
from router.store.sqlite.memos import keep_memo, memo
from router.store.sqlite.queries import SQL
from router.store.turn import Claiming, turn
from router.store.values import LOOK_AGAIN, SUSPECT_AFTER, Claims

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from router.delivery import LaneRow
    from router.store.values import Retaken


def claim(connection: sqlite3.Connection, *, claiming: Claiming) -> tuple[list[sqlite3.Row], Claims]:
    """Claim what is due; rows of `claimed`, earliest due first, and the rest of the answer."""
    asked = {"sink": claiming.sink}
    found = connection.execute(SQL["lane"], asked).fetchone()
    probed = claiming.probe and bool(connection.execute(SQL["is_claimed"], asked).fetchone()["any"])
    mine = turn(found, claiming, probed=probed)
    if isinstance(mine, Claims):
        return [], mine
    query = SQL["claim_probe" if claiming.probe else "claim_due"]
    row = {
        **asked,
        "limit": mine.limit,
        "now": micros(claiming.now),
        "until": micros(claiming.until),
        "later": micros(claiming.now + LOOK_AGAIN),
        "suspect_after": SUSPECT_AFTER,
    }
    alone = connection.execute(SQL["suspects"], row).fetchone()["n"] == 0
    claimed = connection.execute(query, {**row, "alone": alone}).fetchall()
    ids = [{"id": row["id"]} for row in claimed if row["lost"] < SUSPECT_AFTER]
    suspects = sorted((row["due"], row["id"]) for row in claimed if row["lost"] >= SUSPECT_AFTER)
    ids += [{"id": id_} for _, id_ in suspects[:1]]
    connection.executemany(SQL["unclaim"], [{"id": id_} for _, id_ in suspects[1:]])
    given: list[sqlite3.Row | None] = [connection.execute(SQL["claimed"], id_).fetchone() for id_ in ids]
    rows = [row for row in given if row is not None]  # an id that is damaged itself finds nothing: lost until poison
    beside = not alone or bool(suspects)
    next_due = connection.execute(SQL["next_due_beside" if beside else "next_due"], row).fetchone()["due"]
    if (spent := mine.spend(len(ids))) is not None:
        connection.execute(SQL["pace_lane"], spent)
    claiming.made[:] = map(fence_of, rows)
    return sorted(rows, key=lambda row: (row["due"], row["delivery_id"])), mine.claims(readable_moment(next_due))


def settle(connection: sqlite3.Connection, row: dict[str, Any]) -> bool:
    """Write what an attempt came to (see `settlements`), unless it is too late."""
    if connection.execute(SQL["settle"], row).rowcount == 0:
        return False
    reached(Failpoint.IN_SETTLE)
    connection.execute(SQL["add_attempt"], row)
    return True


def settle_probe(
    connection: sqlite3.Connection, *, row: dict[str, Any], lane: LaneRow, now: datetime
) -> tuple[bool, LaneRow | None]:
    """Both, where the claim still holds."""
    return (True, set_lane(connection, lane, now=now)) if settle(connection, row) else (False, None)


def bury(connection: sqlite3.Connection, *, damaged: Sequence[dict[str, Any]], now: datetime) -> None:
    """Settle as dead what cannot be delivered, because what is stored of its event is damaged."""
    for one in damaged:
        settle(connection, buried(one, now))


def release(connection: sqlite3.Connection, *, held: dict[str, Any], now: datetime) -> bool:
    """Give a claim back unused, unless it is too late."""
    row = {**held, "now": micros(now)}
    connection.execute(SQL["add_released"], row)
    return connection.execute(SQL["release"], row).rowcount > 0


def give_back(connection: sqlite3.Connection, *, claims: Sequence[dict[str, Any]], now: datetime) -> list[bool]:
    """Release several; False for each that was not there."""
    return [release(connection, held=held, now=now) for held in claims]


def retake(connection: sqlite3.Connection, *, lost: dict[str, Any]) -> Retaken:
    """Take back the claims that ran out, or all of them."""
    connection.execute(SQL["add_lost"], lost)
    return retaken(connection.execute(SQL["retake"], lost).fetchall())


def clock_was_set(
    connection: sqlite3.Connection, *, before: datetime, now: datetime, was: bytes | None, kept: dict[str, Any]
) -> bool:
    """Move what waits with the clock, unless what is kept of that is not what it was."""
    if memo(connection, name=kept["name"]) != was:
        return False
    keep_memo(connection, **kept)
    row = moving(before, now)
    connection.execute(SQL["move_waits"], row)
    connection.execute(SQL["move_claims"], row)
    return True


def lanes(connection: sqlite3.Connection) -> dict[str, LaneRow]:
    """Every lane that was set, without those whose row is damaged."""
    return lane_rows(connection.execute(SQL["lanes"]))


def set_lane(connection: sqlite3.Connection, lane: LaneRow, *, now: datetime) -> LaneRow | None:
    """Remember a lane's state, unless it was set since; an open one lets go what it held."""
    if connection.execute(SQL["set_lane"], lane_columns(lane)).rowcount == 0:
        return None
    if lane.state is LaneState.OPEN:
        connection.execute(SQL["let_go"], {"sink": lane.sink, "now": micros(now)})
    return replace(lane, version=lane.version + 1)


def due(connection: sqlite3.Connection, *, sinks: Collection[str], now: datetime) -> frozenset[str]:
    """Those of these sinks that a pending delivery is due for."""
    asked = {"sinks": json.dumps([*sinks]), "now": micros(now)}
    return frozenset(row["sink"] for row in connection.execute(SQL["due_sinks"], asked))
