"""What claims, settlements and lanes do to the database, each within one transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

from router.delivery import Again, Dead, Done, LaneState
from router.failpoints import Failpoint, reached
from router.store.base import DAMAGED, LOOK_AGAIN, LOST, POISON, POISON_AFTER, SUSPECT_AFTER, Claim, Retaken, Settlement
from router.store.sqlite.queries import SQL
from router.store.sqlite.rows import Damaged, claim_of, lane_row, micros, micros_or_none, packed, readable_moment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from router.delivery import Decision, LaneRow


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


def claims_of(
    rows: Sequence[sqlite3.Row], until: datetime, parse: Callable[[bytes], Any]
) -> tuple[tuple[Claim, ...], list[dict[str, Any]]]:
    """The claims of these rows, and (as parameters, with the event's id) the deliveries that are damaged."""
    claims, damaged = [], []
    for row in rows:
        try:
            claims.append(claim_of(row, until, parse))
        except Damaged:
            damaged.append({"id": row["delivery_id"], "attempt": row["attempt"], "event_id": row["event_id"]})
    return tuple(claims), damaged


def bury(connection: sqlite3.Connection, damaged: Sequence[dict[str, Any]], *, now: datetime) -> None:
    """Make dead what cannot be delivered because its event is damaged."""
    for fence in damaged:
        row = {**fence, "started_at": None, "now": micros(now), "outcome": "refused", "recipient": None, "parts": None}
        _settle(connection, Dead(DAMAGED), row)


def settle(connection: sqlite3.Connection, claim: Claim, settlement: Settlement) -> bool:
    """Write what an attempt came to, unless it is too late."""
    row = {
        **_fence(claim),
        "started_at": micros(settlement.started_at),
        "now": micros(settlement.now),
        "outcome": settlement.outcome,
        "recipient": settlement.recipient,
        "parts": packed(settlement.parts) if settlement.parts else None,
    }
    return _settle(connection, settlement.decision, row)


def _settle(connection: sqlite3.Connection, decision: Decision, row: dict[str, Any]) -> bool:
    more: dict[str, Any]
    match decision:
        case Done(remote_id):
            query, more = "settle_done", {"remote_id": remote_id, "reason": None}
        case Again(at, reason, spent, held):
            query, more = "settle_again", {"due": micros(at), "reason": reason, "spent": spent, "held": held}
        case Dead(reason):
            query, more = "settle_dead", {"reason": reason}
        case _:
            assert_never(decision)
    if connection.execute(SQL[query], {**row, **more}).rowcount == 0:
        return False
    reached(Failpoint.IN_SETTLE)
    connection.execute(SQL["add_attempt"], {**row, **more})
    return True


def release(connection: sqlite3.Connection, claim: Claim, *, now: datetime) -> bool:
    """Give a claim back unused, unless it is too late."""
    row = {**_fence(claim), "now": micros(now)}
    connection.execute(SQL["add_released"], row)
    return connection.execute(SQL["release"], row).rowcount > 0


def retake(connection: sqlite3.Connection, *, now: datetime, everything: bool) -> Retaken:
    """Take back the claims that ran out, or all of them."""
    row = {
        "now": micros(now),
        "everything": everything,
        "reason": LOST,
        "poison": POISON,
        "poison_after": POISON_AFTER,
    }
    connection.execute(SQL["add_lost"], row)
    taken = connection.execute(SQL["retake"], row).fetchall()
    return Retaken(
        sinks=frozenset(row["sink"] for row in taken if row["state"] == "pending"),
        lost=len(taken),
        poison=tuple((row["sink"], row["id"]) for row in taken if row["state"] == "dead"),
    )


def clock_was_set(connection: sqlite3.Connection, *, before: datetime, now: datetime) -> None:
    """Move what waits with the clock."""
    row = {"before": micros(before), "now": micros(now)}
    connection.execute(SQL["move_waits"], row)
    connection.execute(SQL["move_claims"], row)


def lanes(connection: sqlite3.Connection) -> dict[str, LaneRow]:
    """Every lane that was set, without those whose row is damaged."""
    found: dict[str, LaneRow] = {}
    for row in connection.execute(SQL["lanes"]):
        with suppress(Damaged):
            found[row["sink"]] = lane_row(row)
    return found


def set_lane(connection: sqlite3.Connection, lane: LaneRow, *, now: datetime) -> None:
    """Remember a lane's state; an open one lets go what it held."""
    row = {
        "sink": lane.sink,
        "state": lane.state.value,
        "next_at": micros_or_none(lane.next_at),
        "failures": lane.failures,
        "reason": lane.reason,
        "since": micros_or_none(lane.since),
    }
    connection.execute(SQL["set_lane"], row)
    if lane.state is LaneState.OPEN:
        connection.execute(SQL["let_go"], {"sink": lane.sink, "now": micros(now)})


def _fence(claim: Claim) -> dict[str, Any]:
    return {"id": claim.delivery.id, "attempt": claim.delivery.attempt}
