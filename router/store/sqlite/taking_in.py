"""What `accept` and `quarantine` do to the database, each within one transaction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from router.errors import QuarantineFull
from router.store.sqlite.queries import SQL
from router.store.values import Accepted, Duplicate, Quarantined

if TYPE_CHECKING:
    import sqlite3

    from router.store.arrivals import Acceptance, Unread
    from router.store.values import Owed


def accept(connection: sqlite3.Connection, acceptance: Acceptance, **changes: Any) -> Accepted | Duplicate:
    """Write an arrival; with these parameters changed."""
    row = acceptance.row
    seen = connection.execute(SQL["see"], {**row, **changes}).fetchall()[0]
    if seen["event_id"] != acceptance.event_id:
        return Duplicate(seen["event_id"])
    revision: int = seen["revision"]
    cursor = connection.execute(SQL["add_event"], {**row, **acceptance.of_revision(revision)})
    sequence = cursor.lastrowid or 0
    if channel := acceptance.channel(new_call=revision == 1):
        connection.execute(SQL["saw_channel_by_id" if channel["id"] else "saw_channel_by_name"], channel)
    before = connection.execute(SQL["owed_before"], row) if acceptance.asks_before(revision) else ()
    owed = [_born(connection, one) for one in acceptance.owed({found["sink"] for found in before})]
    deliveries = acceptance.deliveries(owed)
    connection.executemany(SQL["add_delivery"], deliveries)
    found = connection.execute(SQL["followed"], {**row, "revision": revision}) if revision > 1 and owed else ()
    follows = {one["sink"]: one["remote_id"] for one in found}
    claims = acceptance.claims(deliveries, owed, sequence=sequence, revision=revision, follows=follows)
    return Accepted(acceptance.event_id, sequence, revision, len(owed), claims)


def _born(connection: sqlite3.Connection, owed: Owed) -> Owed:
    """None is born claimed whose lane is not open."""
    if owed.claim_until is None or connection.execute(SQL["is_open"], {"sink": owed.sink}).fetchone()["is_open"]:
        return owed
    return replace(owed, claim_until=None)


def quarantine(connection: sqlite3.Connection, unread: Unread) -> Quarantined:
    """Write a body that no format could read."""
    row = unread.row()
    kept: str = connection.execute(SQL["quarantine"], row).fetchall()[0]["id"]
    duplicate = kept != row["id"]
    if unread.room is not None and not duplicate:
        (bytes_,) = connection.execute(SQL["quarantine_bytes"], row).fetchall()[0]
        if bytes_ > unread.room:
            raise QuarantineFull
    return Quarantined(kept, duplicate)
