"""What is asked of the database, each in one snapshot."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from router.delivery import ENDED, DeliveryState
from router.ids import first_id
from router.store.base import (
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    Page,
    QuarantinedBody,
    QuarantineLine,
    RoutedAs,
    StoredEvent,
    Summary,
    Wanted,
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
    readable_moment,
    shown_list,
    stored_event,
)
from router.text import name_key

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping
    from datetime import datetime

    #: A line of a list, which has an id.
    Line = TypeVar("Line", EventLine, DeliveryLine, QuarantineLine)

_LONGEST_PAGE: Final = 500
#: Rows that are looked at for one page.
_LONGEST_LOOK: Final = 5_000

#: Above every id, damaged ones too: to SQLite, bytes are above all text.
_TOP: Final = b""


def quarantine_sizes(connection: sqlite3.Connection) -> dict[str, int]:
    """How much of each source is in quarantine."""
    return {row["source"]: row["bytes"] for row in connection.execute(SQL["quarantine_sizes"])}


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
    for row in connection.execute(SQL["ended"]):
        found.setdefault(row["sink"], {})[ENDED] = row["n"]
    return dict(found)


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
    query = SQL["events_unrouted" if routed is RoutedAs.UNROUTED else "events"]
    of = {"routed": routed and routed.value, "sink": wanted.sink}
    return _page(connection, query, event_line, of, wanted, after=after, limit=limit)


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
    """A page of deliveries, by the index that narrows it down most."""
    if event_id is not None:
        query = SQL["deliveries_of_event"]
    elif state is not None and state is not DeliveryState.DELIVERED:
        query = SQL["deliveries_in_state"]
    elif wanted.sink is not None:
        query = SQL["deliveries_of_sink"]
    else:
        query = SQL["deliveries"]
    of = {"state": state and state.value, "sink": wanted.sink, "event_id": event_id}
    return _page(connection, query, delivery_line, of, wanted, after=after, limit=limit)


def quarantined(
    connection: sqlite3.Connection, *, wanted: Wanted, after: str | None, limit: int
) -> Page[QuarantineLine]:
    """A page of unreadable bodies."""
    counting = Wanted(since=wanted.since, until=wanted.until, source=wanted.source, ended=wanted.ended)
    return _page(connection, SQL["quarantined"], quarantine_line, {}, counting, after=after, limit=limit)


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
    query: str,
    line: Callable[[sqlite3.Row], Line],
    of: Mapping[str, str | None],
    wanted: Wanted,
    *,
    after: str | None,
    limit: int,
) -> Page[Line]:
    """The rows of the query that fit, until the page is full or enough was looked at."""
    size = min(max(limit, 1), _LONGEST_PAGE)
    since = "" if wanted.since is None else first_id(wanted.since)
    if wanted.until is not None:
        until = first_id(wanted.until)
        after = until if after is None else min(after, until)
    lines: list[Line] = []
    taken, last = 0, None
    with closing(connection.execute(query, {**of, "since": since, "after": _TOP if after is None else after})) as rows:
        for looked, row in enumerate(rows):
            if last is not None and (taken == size or looked == _LONGEST_LOOK):
                return Page(tuple(lines), _key(last))
            last = row["id"]
            if _fits(of, wanted, row):
                taken += 1
                with suppress(Damaged):  # none of a row that is too damaged for a line
                    lines.append(line(row))
    return Page(tuple(lines))


def _fits(of: Mapping[str, str | None], wanted: Wanted, row: sqlite3.Row) -> bool:
    """Whether a row is wanted: here, and not in the query, so that what is looked at can be counted.

    What is damaged fits no question.
    """
    return (
        all(asked is None or row[column] == asked for column, asked in of.items())
        and (wanted.source is None or row["source"] == wanted.source)
        and (wanted.direction is None or row["direction"] == wanted.direction)
        and (wanted.channel is None or _same(wanted.channel, row["channel_id"], row["channel_name"]))
        and (wanted.route is None or wanted.route in shown_list(row["routes"]))
        and (wanted.reason is None or _holds(row["reason"], wanted.reason))
        and (wanted.ended is None or bool(row["ended"]) is wanted.ended)
    )


def _same(channel: str, channel_id: str | None, name: str | None) -> bool:
    return channel == channel_id or (isinstance(name, str) and name_key(name) == name_key(channel))


def _holds(text: str | None, words: str) -> bool:
    return isinstance(text, str) and words.casefold() in text.casefold()


def _key(last: str) -> str:
    """Where the next page starts: a damaged id as it is shown may stand above itself, and the list at a stand."""
    return last.replace("\ufffd", "~")
