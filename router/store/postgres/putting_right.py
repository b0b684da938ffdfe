"""What operators and retention do to the database, each within one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from router.delivery import DeliveryState
from router.ids import new_id
from router.store import refusals
from router.store.arrivals import delivery_row
from router.store.postgres.queries import fetch, fetch_all, first, only
from router.store.postgres.taking_in import accept
from router.store.rows import fired_with, micros, packed
from router.store.sweep import first as enough
from router.store.values import Purged, RoutedAgain, RoutedAs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from asyncpg import Connection

    from router.store.arrivals import Acceptance
    from router.store.values import Accepted, Duplicate, Owed

#: One purge removes no more than about this.
LARGEST_PURGE: Final = 16 * 2**20


async def replay(connection: Connection, delivery_id: str, *, sink: str | None, now: datetime) -> str:
    """Owe a dead delivery again."""
    old = await _delivery(connection, delivery_id)
    if old["state"] != DeliveryState.DEAD:
        raise refusals.not_dead(delivery_id, old)
    row = {
        "id": new_id(now),
        "event_id": old["event_id"],
        "sink": old["sink"] if sink is None else sink,
        "now": micros(now),
        "replay_of": delivery_id,
    }
    if await first(connection, "keep_event", row) is None:
        raise refusals.no_delivery(delivery_id)
    await fetch(connection, "mark_replayed", row)
    await fetch(connection, "add_replay", row)
    return str(row["id"])


async def end(connection: Connection, delivery_id: str, *, reason: str, now: datetime) -> None:
    """Give a pending delivery up, or let a dead one rest."""
    old = await _delivery(connection, delivery_id)
    if old["ended"] or old["state"] not in (DeliveryState.PENDING, DeliveryState.DEAD):
        raise refusals.not_to_be_ended(delivery_id, old)
    row = {"event_id": old["event_id"], "id": delivery_id, "reason": reason, "now": micros(now)}
    await fetch(connection, "end", row)


async def end_quarantined(connection: Connection, quarantine_id: str, *, reason: str) -> None:
    """Let an unreadable body rest."""
    if await first(connection, "end_quarantined", {"id": quarantine_id, "reason": reason}) is None:
        if await first(connection, "is_quarantined", {"id": quarantine_id}) is None:
            raise refusals.not_in_quarantine(quarantine_id)
        raise refusals.body_ended(quarantine_id)


async def read_again(connection: Connection, *, quarantine_id: str, acceptance: Acceptance) -> Accepted | Duplicate:
    """Move a body out of quarantine, with how often it came."""
    left = await first(connection, "leave_quarantine", {"id": quarantine_id})
    if left is None:
        raise refusals.not_in_quarantine(quarantine_id)
    (answer,) = await accept(connection, [acceptance], times=left["times"], last_at=left["last_at"])
    return answer


async def keep_unread(connection: Connection, *, quarantine_id: str, reason: str) -> None:
    """Remember why a body is still unreadable."""
    if await first(connection, "keep_unread", {"id": quarantine_id, "reason": reason}) is None:
        raise refusals.not_in_quarantine(quarantine_id)


async def route_again(
    connection: Connection,
    *,
    event_id: str,
    routes: Sequence[str],
    rules: str,
    owed: Sequence[Owed],
    now: datetime,
) -> RoutedAgain:
    """Owe an event to whom it never was owed to."""
    row = await first(connection, "event_to_route", {"id": event_id})
    if row is None:
        raise refusals.no_event(event_id)
    fired, sha256 = fired_with(row, routes)
    call = {"event_id": event_id, "source": row["source"], "call": row["seen_call"]}
    has = {one["sink"] for one in await fetch(connection, "sinks_of_event", {"id": event_id})}
    others = {one["sink"] for one in await fetch_all(connection, "owed_before", [call])}
    new = [one for one in owed if one.sink not in has and not (one.once and one.sink in others)]
    routed = RoutedAs.ROUTED if fired else RoutedAs.UNMATCHED
    decided = {"id": event_id, "routed": routed.value, "routes": packed(fired), "rules": rules}
    await fetch(connection, "route_again", {**decided, "sha256": sha256})
    await fetch_all(connection, "add_deliveries", [delivery_row(new_id(now), event_id, one, now) for one in new])
    return RoutedAgain(routed, fired, tuple(one.sink for one in new))


async def purge(
    connection: Connection,
    *,
    events: Sequence[str],
    quarantine: datetime | None,
    seen: datetime | None,
    limit: int,
) -> Purged:
    """Remove these events, as far as they owe nothing, and what is older than the times, some of it where it is large."""
    removed_events = deliveries = quarantined = forgotten = 0
    limit = max(limit, 0)
    if events:
        ids = {"id": [row["id"] for row in await fetch(connection, "lock_events", {"id": events})]}
        owing = {row["event_id"] for row in await fetch(connection, "owing", ids)}
        ids = {"id": [id_ for id_ in ids["id"] if id_ not in owing]}
        await fetch(connection, "remove_attempts", ids)
        deliveries = len(await fetch(connection, "remove_deliveries", ids))
        await fetch(connection, "remove_events", ids)
        removed_events = len(ids["id"])
    if quarantine is not None:
        old = await fetch(connection, "old_quarantine", {"before": micros(quarantine), "limit": limit})
        ids = {"id": [row["id"] for row in enough(old, LARGEST_PURGE)]}
        await fetch(connection, "remove_quarantined", ids)
        quarantined = len(ids["id"])
    if seen is not None:
        forgotten = len(await fetch(connection, "forget_seen", {"before": micros(seen), "limit": limit}))
    for name, n in (("purged", removed_events + quarantined), ("deliveries_purged", deliveries)):
        if n:
            await only(connection, "add_to_total", {"name": name, "n": n})
    return Purged(removed_events, deliveries, quarantined, forgotten)


async def _delivery(connection: Connection, delivery_id: str) -> Any:
    row = await first(connection, "state_of", {"id": delivery_id})
    if row is None:
        raise refusals.no_delivery(delivery_id)
    return row
