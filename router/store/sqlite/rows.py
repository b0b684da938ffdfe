"""Between rows and values: times as microseconds since the epoch, lists as JSON, calls by `router.event.CALL`."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from router.delivery import Delivery, DeliveryState, LaneRow, LaneState
from router.errors import StoreError
from router.event import CALL, Event
from router.store.base import (
    AttemptLine,
    ChannelLine,
    Claim,
    DeliveryLine,
    EventLine,
    QuarantineLine,
    RoutedAs,
    StoredEvent,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Damaged(StoreError):
    """A stored event is not what was stored."""


def micros(time: datetime) -> int:
    """A time as it is stored; it must be aware."""
    return (time - _EPOCH) // _MICROSECOND


def micros_or_none(time: datetime | None) -> int | None:
    """A time as it is stored, or none."""
    return None if time is None else micros(time)


def moment(stored: int) -> datetime:
    """A stored time, aware UTC."""
    return _EPOCH + timedelta(microseconds=stored)


def moment_or_none(stored: int | None) -> datetime | None:
    """A stored time, or none."""
    return None if stored is None else moment(stored)


def packed(texts: tuple[str, ...]) -> str:
    """A list as it is stored."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def unpacked(stored: str | None) -> tuple[str, ...]:
    """A stored list."""
    return tuple(json.loads(stored)) if stored else ()


def sha256(body: bytes) -> bytes:
    """What is stored beside a body, to see damage."""
    return hashlib.sha256(body).digest()


def event_of(row: sqlite3.Row, parse: Callable[[bytes], Any]) -> Event:
    """The event of a row of `events`; raises `Damaged` where the row is not what was stored."""
    body: bytes = row["body"]
    if sha256(body) != row["body_sha256"]:
        message = f"event {row['id']} is damaged: its body is not the one that was stored; check the disk"
        raise Damaged(message)
    try:
        call = CALL.validate_json(row["call"])
    except ValidationError:
        message = f"event {row['id']} is damaged: its call is not the one that was stored; check the disk"
        raise Damaged(message) from None
    try:
        raw = parse(body)
    except Exception:  # noqa: BLE001 - a body that no parser takes is no reason to lose its event
        raw = None
    return Event.of(
        call,
        id=row["id"],
        sequence=row["sequence"],
        source=row["source"],
        format=row["format"],
        received_at=moment(row["received_at"]),
        revision=row["revision"],
        raw=raw,
    )


def stored_event(row: sqlite3.Row, parse: Callable[[bytes], Any]) -> StoredEvent:
    """The answer to `event`."""
    repeats = (row["times"] or 1) - 1
    return StoredEvent(
        event=event_of(row, parse),
        routed=RoutedAs(row["routed"]),
        routes=unpacked(row["routes"]),
        rules=row["rules"],
        body=row["body"],
        content_type=row["content_type"],
        duplicates=repeats,
        duplicate_at=moment(row["last_at"]) if repeats else None,
    )


def claim_of(row: sqlite3.Row, until: datetime, parse: Callable[[bytes], Any]) -> Claim:
    """A claim with all that its sink is given, of a row of `claimed`."""
    delivery = Delivery(
        id=row["delivery_id"],
        sink=row["sink"],
        event=event_of(row, parse),
        body=row["body"],
        content_type=row["content_type"],
        routes=unpacked(row["routes"]),
        attempt=row["attempt"],
        replay_of=row["replay_of"],
    )
    return Claim(delivery, until, moment(row["accepted_at"]), row["retries"])


def event_line(row: sqlite3.Row) -> EventLine:
    """One line of a list of events."""
    return EventLine(
        id=row["id"],
        sequence=row["sequence"],
        source=row["source"],
        format=row["format"],
        received_at=moment(row["received_at"]),
        call_id=row["call_id"],
        revision=row["revision"],
        direction=row["direction"],
        channel_id=row["channel_id"],
        channel_name=row["channel_name"],
        routed=RoutedAs(row["routed"]),
        routes=unpacked(row["routes"]),
    )


def delivery_line(row: sqlite3.Row) -> DeliveryLine:
    """One delivery as it stands."""
    return DeliveryLine(
        id=row["id"],
        event_id=row["event_id"],
        sink=row["sink"],
        state=DeliveryState(row["state"]),
        attempt=row["attempt"],
        retries=row["retries"],
        lost=row["lost"],
        accepted_at=moment(row["accepted_at"]),
        due=moment(row["due"]),
        claimed_until=moment_or_none(row["claimed_until"]),
        settled_at=moment_or_none(row["settled_at"]),
        reason=row["reason"],
        recipient=row["recipient"],
        parts=unpacked(row["parts"]),
        remote_id=row["remote_id"],
        replay_of=row["replay_of"],
    )


def attempt_line(row: sqlite3.Row) -> AttemptLine:
    """One try of a delivery."""
    return AttemptLine(
        row["attempt"], moment_or_none(row["started_at"]), moment(row["ended_at"]), row["outcome"], row["reason"]
    )


def quarantine_line(row: sqlite3.Row) -> QuarantineLine:
    """One unreadable body."""
    return QuarantineLine(
        id=row["id"],
        source=row["source"],
        reason=row["reason"],
        size=row["size"],
        received_at=moment(row["received_at"]),
        times=row["times"],
        last_at=moment(row["last_at"]),
    )


def channel_line(row: sqlite3.Row) -> ChannelLine:
    """One channel."""
    return ChannelLine(row["source"], row["id"] or None, row["name"] or None, row["calls"], moment(row["last_at"]))


def lane_row(row: sqlite3.Row) -> LaneRow:
    """A lane's remembered state."""
    return LaneRow(
        sink=row["sink"],
        state=LaneState(row["state"]),
        next_at=moment_or_none(row["next_at"]),
        failures=row["failures"],
        reason=row["reason"],
        since=moment_or_none(row["since"]),
    )
