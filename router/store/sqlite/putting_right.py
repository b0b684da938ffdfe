"""What operators and retention do to the database, each within one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.errors import Conflict, Unknown
from router.ids import new_id
from router.store.base import Purged
from router.store.sqlite.queries import SQL
from router.store.sqlite.rows import micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

#: One purge removes no more than about this: what is removed is overwritten first, and all of that goes into the log.
_LARGEST_PURGE: Final = 16 * 2**20


def replay(connection: sqlite3.Connection, delivery_id: str, *, sink: str | None, now: datetime) -> str:
    """Owe a dead delivery again."""
    old = _delivery(connection, delivery_id)
    if old["state"] != "dead":
        message = f"delivery {delivery_id} is {old['state']}: only a dead one can be replayed"
        raise Conflict(message)
    row = {
        "id": new_id(now),
        "event_id": old["event_id"],
        "sink": old["sink"] if sink is None else sink,
        "now": micros(now),
        "replay_of": delivery_id,
    }
    connection.execute(SQL["mark_replayed"], {"id": delivery_id})
    connection.execute(SQL["add_replay"], row)
    return str(row["id"])


def end(connection: sqlite3.Connection, delivery_id: str, *, reason: str, now: datetime) -> None:
    """Give a pending delivery up."""
    if connection.execute(SQL["end"], {"id": delivery_id, "reason": reason, "now": micros(now)}).rowcount == 0:
        state = _delivery(connection, delivery_id)["state"]
        message = f"delivery {delivery_id} is {state}: only a pending one can be ended"
        raise Conflict(message)


def purge(
    connection: sqlite3.Connection,
    *,
    events: datetime | None,
    quarantine: datetime | None,
    seen: datetime | None,
    limit: int,
) -> Purged:
    """Remove what is older than these times, some of it where it is much."""
    removed_events = deliveries = quarantined = forgotten = 0
    limit = max(limit, 0)  # below, SQLite knows no limit
    if events is not None:
        old = connection.execute(SQL["old_events"], {"before": micros(events), "limit": limit}).fetchall()
        rows = _first(old)
        deliveries = connection.executemany(SQL["remove_deliveries"], rows).rowcount if rows else 0
        connection.executemany(SQL["remove_event"], rows)
        removed_events = len(rows)
    if quarantine is not None:
        old = connection.execute(SQL["old_quarantine"], {"before": micros(quarantine), "limit": limit}).fetchall()
        rows = _first(old)
        connection.executemany(SQL["remove_quarantined"], rows)
        quarantined = len(rows)
    if seen is not None:
        forgotten = connection.execute(SQL["forget_seen"], {"before": micros(seen), "limit": limit}).rowcount
    for name, n in (("purged", removed_events + quarantined), ("deliveries_purged", deliveries)):
        if n:
            connection.execute(SQL["add_to_total"], {"name": name, "n": n})
    return Purged(removed_events, deliveries, quarantined, forgotten)


def _first(rows: Iterable[sqlite3.Row]) -> list[dict[str, int]]:
    """The numbers of the first rows, as parameters, until their size is enough for one commit; one at least.

    Numbers, because an id may be damaged: what cannot be named must go all the same.
    """
    first: list[dict[str, int]] = []
    size = 0
    for row in rows:
        if first and size + row["size"] > _LARGEST_PURGE:
            break
        first.append({"number": row["number"]})
        size += row["size"]
    return first


def _delivery(connection: sqlite3.Connection, delivery_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(SQL["state_of"], {"id": delivery_id}).fetchone()
    if row is None:
        message = f"there is no delivery {delivery_id}"
        raise Unknown(message)
    return row
