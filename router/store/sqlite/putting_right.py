"""What operators and retention do to the database, each within one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.ids import new_id
from router.store import refusals
from router.store.arrivals import delivery_row
from router.store.rows import fired_with, micros, packed
from router.store.sqlite.queries import SQL
from router.store.sqlite.taking_in import accept
from router.store.sweep import first
from router.store.values import Purged, RoutedAgain, RoutedAs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from router.store.arrivals import Acceptance
    from router.store.values import Accepted, Duplicate, Owed

#: One purge removes no more than about this: what is removed is overwritten first, and all of that goes into the log.
LARGEST_PURGE: Final = 16 * 2**20


def replay(connection: sqlite3.Connection, delivery_id: str, *, sink: str | None, now: datetime) -> str:
    """Owe a dead delivery again."""
    old = _delivery(connection, delivery_id)
    if old["state"] != "dead":
        raise refusals.not_dead(delivery_id, old)
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
    """Give a pending delivery up, or let a dead one rest."""
    if connection.execute(SQL["end"], {"id": delivery_id, "reason": reason, "now": micros(now)}).rowcount == 0:
        raise refusals.not_to_be_ended(delivery_id, _delivery(connection, delivery_id))


def end_quarantined(connection: sqlite3.Connection, quarantine_id: str, *, reason: str) -> None:
    """Let an unreadable body rest."""
    if connection.execute(SQL["end_quarantined"], {"id": quarantine_id, "reason": reason}).rowcount == 0:
        if connection.execute(SQL["is_quarantined"], {"id": quarantine_id}).fetchone() is None:
            raise refusals.not_in_quarantine(quarantine_id)
        raise refusals.body_ended(quarantine_id)


def read_again(connection: sqlite3.Connection, *, quarantine_id: str, acceptance: Acceptance) -> Accepted | Duplicate:
    """Move a body out of quarantine, with how often it came."""
    left = connection.execute(SQL["leave_quarantine"], {"id": quarantine_id}).fetchall()
    if not left:
        raise refusals.not_in_quarantine(quarantine_id)
    return accept(connection, acceptance, times=left[0]["times"], last_at=left[0]["last_at"])


def keep_unread(connection: sqlite3.Connection, *, quarantine_id: str, reason: str) -> None:
    """Remember why a body is still unreadable."""
    if connection.execute(SQL["keep_unread"], {"id": quarantine_id, "reason": reason}).rowcount == 0:
        raise refusals.not_in_quarantine(quarantine_id)


def route_again(
    connection: sqlite3.Connection,
    *,
    event_id: str,
    routes: Sequence[str],
    rules: str,
    owed: Sequence[Owed],
    now: datetime,
) -> RoutedAgain:
    """Owe an event to whom it never was owed to."""
    row = connection.execute(SQL["event_to_route"], {"id": event_id}).fetchone()
    if row is None:
        raise refusals.no_event(event_id)
    fired, sha256 = fired_with(row, routes)
    seen = {"source": row["source"], "call": row["seen_call"], "event_id": event_id}
    has = {one["sink"] for one in connection.execute(SQL["sinks_of_event"], {"id": event_id})}
    others = {one["sink"] for one in connection.execute(SQL["owed_before"], seen)}
    new = [one for one in owed if one.sink not in has and not (one.once and one.sink in others)]
    routed = RoutedAs.ROUTED if fired else RoutedAs.UNMATCHED
    decided = {"id": event_id, "routed": routed.value, "routes": packed(fired), "rules": rules}
    connection.execute(SQL["route_again"], {**decided, "sha256": sha256})
    connection.executemany(SQL["add_delivery"], [delivery_row(new_id(now), event_id, one, now) for one in new])
    return RoutedAgain(routed, fired, tuple(one.sink for one in new))


def purge(
    connection: sqlite3.Connection,
    *,
    events: Iterable[Mapping[str, int]],
    quarantine: datetime | None,
    seen: datetime | None,
    limit: int,
    largest: int,
) -> Purged:
    """Remove these events, as far as they owe nothing, and what is older than the times; no more than is `largest`.

    Events and bodies are known by their numbers, because an id may be damaged: what cannot be named must go all the same.
    """
    quarantined = forgotten = 0
    limit = max(limit, 0)  # below, SQLite knows no limit
    rows = [row for row in events if _owes_nothing(connection, row)]
    deliveries = connection.executemany(SQL["remove_deliveries"], rows).rowcount if rows else 0
    connection.executemany(SQL["remove_event"], rows)
    if quarantine is not None:
        old = connection.execute(SQL["old_quarantine"], {"before": micros(quarantine), "limit": limit}).fetchall()
        bodies = [{"number": row["number"]} for row in first(old, largest)]
        connection.executemany(SQL["remove_quarantined"], bodies)
        quarantined = len(bodies)
    if seen is not None:
        forgotten = connection.execute(SQL["forget_seen"], {"before": micros(seen), "limit": limit}).rowcount
    for name, n in (("purged", len(rows) + quarantined), ("deliveries_purged", deliveries)):
        if n:
            connection.execute(SQL["add_to_total"], {"name": name, "n": n})
    return Purged(len(rows), deliveries, quarantined, forgotten)


def _owes_nothing(connection: sqlite3.Connection, event: Mapping[str, int]) -> bool:
    row = connection.execute(SQL["owes"], event).fetchone()
    return row is not None and not row["owes"]


def _delivery(connection: sqlite3.Connection, delivery_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = connection.execute(SQL["state_of"], {"id": delivery_id}).fetchone()
    if row is None:
        raise refusals.no_delivery(delivery_id)
    return row
