"""What is asked of the database, each in one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from router.store import pages, sums
from router.store.postgres.queries import fetch, first, only
from router.store.rows import (
    attempt_line,
    channel_line,
    delivery_line,
    event_line,
    quarantine_line,
    quarantined_row,
    readable_moment,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from asyncpg import Connection, Record

    from router.delivery import DeliveryState
    from router.store.lines import (
        AttemptLine,
        ChannelLine,
        DeliveryLine,
        EventLine,
        Page,
        QuarantinedBody,
        QuarantineLine,
        Summary,
        Wanted,
    )
    from router.store.rows import Row
    from router.store.values import RoutedAs

#: Below and above every id.
_BOTTOM: Final = "00000000-0000-0000-0000-000000000000"
_TOP: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"
#: Rows that are fetched at once where few of them fit.
_MANY: Final = 1_000


async def quarantine_sizes(connection: Connection) -> dict[str, int]:
    """How much of each source is in quarantine."""
    return {row["source"]: row["bytes"] for row in await fetch(connection, "quarantine_sizes")}


async def summary(connection: Connection) -> Summary:
    """The sums."""
    return sums.summary(await fetch(connection, "totals"), await fetch(connection, "delivery_totals"))


async def backlog(connection: Connection) -> dict[str, Mapping[str, int]]:
    """Deliveries by sink and state."""
    return sums.backlog(await fetch(connection, "delivery_totals"), await fetch(connection, "ended"))


async def unread(connection: Connection) -> int:
    """How many unreadable bodies nobody has ended."""
    return int((await only(connection, "unread"))["n"])


async def oldest(connection: Connection) -> dict[str, datetime]:
    """When the oldest delivery that is still owed was accepted, by sink."""
    found = {row["sink"]: readable_moment(row["accepted_at"]) for row in await fetch(connection, "oldest")}
    return {sink: accepted_at for sink, accepted_at in found.items() if accepted_at is not None}


async def event(connection: Connection, event_id: str) -> Record | None:
    """The row of one event."""
    return await first(connection, "event", {"id": event_id})


async def events(
    connection: Connection, *, routed: RoutedAs | None, wanted: Wanted, after: str | None, limit: int
) -> Page[EventLine]:
    """A page of events."""
    name, of = pages.of_events(routed, wanted)
    return await _page(connection, name, event_line, of, wanted, after=after, limit=limit)


async def delivery(connection: Connection, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]] | None:
    """One delivery with its attempts."""
    row = await first(connection, "delivery", {"id": delivery_id})
    if row is None:
        return None
    attempts = await fetch(connection, "attempts", {"event_id": row["event_id"], "id": delivery_id})
    return delivery_line(row), tuple(attempt_line(attempt) for attempt in attempts)


async def deliveries(
    connection: Connection,
    *,
    state: DeliveryState | None,
    event_id: str | None,
    wanted: Wanted,
    after: str | None,
    limit: int,
) -> Page[DeliveryLine]:
    """A page of deliveries."""
    name, of = pages.of_deliveries(state, event_id, wanted)
    return await _page(connection, name, delivery_line, of, wanted, after=after, limit=limit)


async def quarantined(connection: Connection, *, wanted: Wanted, after: str | None, limit: int) -> Page[QuarantineLine]:
    """A page of unreadable bodies."""
    return await _page(connection, "quarantined", quarantine_line, {}, pages.counting(wanted), after=after, limit=limit)


async def quarantined_body(connection: Connection, quarantine_id: str) -> QuarantinedBody | None:
    """One unreadable body."""
    row = await first(connection, "quarantined_body", {"id": quarantine_id})
    return None if row is None else quarantined_row(row)


async def channels(connection: Connection) -> tuple[ChannelLine, ...]:
    """Every channel."""
    return tuple(channel_line(row) for row in await fetch(connection, "channels"))


async def heard(connection: Connection, *, source: str) -> datetime | None:
    """When anything of a source came last."""
    return readable_moment((await only(connection, "heard", {"source": source}))["last_at"])


async def _page(
    connection: Connection,
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
    asked: dict[str, Any] = {**of, "since": filling.since or _BOTTOM, "after": filling.before or _TOP}
    size = filling.wants
    while True:
        rows = await fetch(connection, name, {**asked, "limit": size})
        if not all(filling.add(row) for row in rows) or len(rows) < size:
            return filling.page()
        asked["after"] = rows[-1]["id"]
        size = _MANY
