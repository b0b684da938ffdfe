"""What is asked of the database, each in one snapshot."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from router.delivery import DeliveryState
from router.store.base import (
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    Page,
    QuarantinedBody,
    QuarantineLine,
    StoredEvent,
    Summary,
)
from router.store.sqlite.queries import SQL
from router.store.sqlite.rows import (
    Damaged,
    attempt_line,
    channel_line,
    delivery_line,
    event_line,
    quarantine_line,
    quarantined_row,
    stored_event,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping, Sequence

    #: A line of a list, which has an id.
    Line = TypeVar("Line", EventLine, DeliveryLine, QuarantineLine)

_LONGEST_PAGE: Final = 500

#: Above every id, damaged ones too: to SQLite, bytes are above all text.
_TOP: Final = b""


def summary(connection: sqlite3.Connection) -> Summary:
    """The sums."""
    total = {row["name"]: row["n"] for row in connection.execute(SQL["totals"])}
    states = Counter[str]()
    for row in connection.execute(SQL["delivery_totals"]):
        states[row["state"]] += row["n"]
    deliveries = {state.value: states[state.value] for state in DeliveryState}
    deliveries["purged"] = total["deliveries_purged"]
    events = total["routed"] + total["unmatched"] + total["unrouted"]
    return Summary(
        received=events + total["duplicates"] + total["quarantined"] + total["purged"],
        events=events,
        duplicates=total["duplicates"],
        quarantined=total["quarantined"],
        purged=total["purged"],
        routed=total["routed"],
        unmatched=total["unmatched"],
        unrouted=total["unrouted"],
        deliveries={"created": sum(deliveries.values()), **deliveries},
    )


def backlog(connection: sqlite3.Connection) -> dict[str, Mapping[str, int]]:
    """Deliveries by sink and state."""
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(SQL["delivery_totals"]):
        found.setdefault(row["sink"], {})[row["state"]] = row["n"]
    return dict(found)


def event(connection: sqlite3.Connection, event_id: str, parse: Callable[[bytes], Any]) -> StoredEvent | None:
    """One event."""
    row = connection.execute(SQL["event"], {"id": event_id}).fetchone()
    return None if row is None else stored_event(row, parse)


def events(connection: sqlite3.Connection, *, after: str | None, limit: int) -> Page[EventLine]:
    """A page of events."""
    return _page(connection, SQL["events"], event_line, after=after, limit=limit)


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
    sink: str | None,
    event_id: str | None,
    after: str | None,
    limit: int,
) -> Page[DeliveryLine]:
    """A page of deliveries, by the index that narrows it down most."""
    if event_id is not None:
        query = SQL["deliveries_of_event"]
    elif state is not None and state is not DeliveryState.DELIVERED:
        query = SQL["deliveries_in_state"]
    elif sink is not None:
        query = SQL["deliveries_of_sink"]
    else:
        query = SQL["deliveries"]
    wanted = {"state": None if state is None else state.value, "sink": sink, "event_id": event_id}
    return _page(connection, query, delivery_line, after=after, limit=limit, **wanted)


def quarantined(connection: sqlite3.Connection, *, after: str | None, limit: int) -> Page[QuarantineLine]:
    """A page of unreadable bodies."""
    return _page(connection, SQL["quarantined"], quarantine_line, after=after, limit=limit)


def quarantined_body(connection: sqlite3.Connection, quarantine_id: str) -> QuarantinedBody | None:
    """One unreadable body."""
    row = connection.execute(SQL["quarantined_body"], {"id": quarantine_id}).fetchone()
    return None if row is None else quarantined_row(row)


def channels(connection: sqlite3.Connection) -> tuple[ChannelLine, ...]:
    """Every channel."""
    return tuple(channel_line(row) for row in connection.execute(SQL["channels"]))


def _page(
    connection: sqlite3.Connection,
    query: str,
    line: Callable[[sqlite3.Row], Line],
    *,
    after: str | None,
    limit: int,
    **wanted: str | None,
) -> Page[Line]:
    size = min(max(limit, 1), _LONGEST_PAGE)
    row = {**wanted, "after": _TOP if after is None else after, "limit": size + 1}
    rows = connection.execute(query, row).fetchall()
    lines = tuple(_readable(line, rows[:size]))
    return Page(lines, _key(rows[size - 1]["id"]) if len(rows) > size else None)


def _key(last: str) -> str:
    """Where the next page starts: a damaged id as it is shown may stand above itself, and the list at a stand."""
    return last.replace("\ufffd", "~")


def _readable(line: Callable[[sqlite3.Row], Line], rows: Sequence[sqlite3.Row]) -> Iterator[Line]:
    """The lines of these rows; none of a row that is too damaged for one."""
    for row in rows:
        with suppress(Damaged):
            yield line(row)
