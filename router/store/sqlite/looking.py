"""What is asked of the database, each in one snapshot."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from router.delivery import DeliveryState
from router.store import pages, sums
from router.store.lines import (
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    Page,
    QuarantinedBody,
    QuarantineLine,
    StoredEvent,
    Summary,
    Wanted,
)
from router.store.rows import (
    Row,
    attempt_line,
    channel_line,
    delivery_line,
    event_line,
    quarantine_line,
    quarantined_row,
    readable_moment,
    stored_event,
)
from router.store.sqlite.queries import SQL
from router.store.values import RoutedAs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from datetime import datetime

#: Above every id, damaged ones too: to SQLite, bytes are above all text.
_TOP: Final = b""


def quarantine_sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """How much of each source is in quarantine."""
    return {row["source"]: row["bytes"] for row in connection.execute(SQL["quarantine_sizes"])}


def summary(connection: sqlite3.Connection) -> Summary:
    """The sums."""
    return sums.summary(connection.execute(SQL["totals"]), connection.execute(SQL["delivery_totals"]))


def backlog(connection: sqlite3.Connection) -> dict[str, Mapping[str, int]]:
    """Deliveries by sink and state."""
    return sums.backlog(connection.execute(SQL["delivery_totals"]), connection.execute(SQL["ended"]))


def unread(connection: sqlite3.Connection) -> int:
    """How many unreadable bodies nobody has ended."""
    return int(connection.execute(SQL["unread"]).fetchone()["n"])


def oldest(connection: sqlite3.Connection) -> dict[str, datetime]:
    """When the oldest delivery that is still owed was accepted, by sink."""
    found = {row["sink"]: readable_moment(row["accepted_at"]) for row in connection.execute(SQL["oldest"])}
    return {sink: accepted_at for sink, accepted_at in found.items() if accepted_at is not None}


def event(connection: sqlite3.Connection, event_id: str, parse: Callable[[bytes], Any]) -> StoredEvent | None:
    """One event."""
    row = connection.execute(SQL["event"], {"id": event_id}).fetchone()
    return None if row is None else stored_event(row, parse)


def events(
    connection: sqlite3.Connection, *, routed: RoutedAs | None, wanted: Wanted, after: str | None, limit: int
) -> Page[EventLine]:
    """A page of events."""
    name, of = pages.of_events(routed, wanted)
    return _page(connection, name, event_line, of, wanted, after=after, limit=limit)


def delivery(connection: sqlite3.Connection, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]] | None:
    """One delivery with its attempts."""
    row = connection.execute(SQL["delivery"], {"id": delivery_id}).fetchone()
    if row is None:
        return None
    attempts = connection.execute(SQL["attempts"], {"id": delivery_id})
    return delivery_line(row), tuple(attempt_line(attempt) for attempt in attempts)


def deliveries(
    connection: sqlite3.Connection,
    *,
    state: DeliveryState | None,
    event_id: str | None,
    wanted: Wanted,
    after: str | None,
    limit: int,
) -> Page[DeliveryLine]:
    """A page of deliveries."""
    name, of = pages.of_deliveries(state, event_id, wanted)
    return _page(connection, name, delivery_line, of, wanted, after=after, limit=limit)


def quarantined(
    connection: sqlite3.Connection, *, wanted: Wanted, after: str | None, limit: int
) -> Page[QuarantineLine]:
    """A page of unreadable bodies."""
    return _page(connection, "quarantined", quarantine_line, {}, pages.counting(wanted), after=after, limit=limit)


def quarantined_body(connection: sqlite3.Connection, quarantine_id: str) -> QuarantinedBody | None:
    """One unreadable body."""
    row = connection.execute(SQL["quarantined_body"], {"id": quarantine_id}).fetchone()
    return None if row is None else quarantined_row(row)


def channels(connection: sqlite3.Connection) -> tuple[ChannelLine, ...]:
    """Every channel."""
    return tuple(channel_line(row) for row in connection.execute(SQL["channels"]))


def heard(connection: sqlite3.Connection, *, source: str) -> datetime | None:
    """When anything of a source came last."""
    return readable_moment(connection.execute(SQL["heard"], {"source": source}).fetchone()["last_at"])


def _page(
    connection: sqlite3.Connection,
    name: str,
    line: Callable[[Row], pages.Line],
    of: Mapping[str, str | None],
    wanted: Wanted,
    *,
    after: str | None,
    limit: int,
) -> Page[pages.Line]:
    """The rows of a statement that fit, until the page is full or enough was looked at."""
    filling = pages.Filling(line, of, wanted, after=after, limit=limit)
    before = _TOP if filling.before is None else filling.before
    with closing(connection.execute(SQL[name], {**of, "since": filling.since, "after": before})) as rows:
        for row in rows:
            if not filling.add(row):
                break
    return filling.page()
