"""Between rows of any engine and values: times as microseconds since the epoch, lists as JSON, calls by `CALL`.

What is delivered is proved by its digest. What lists show is not: of a damaged row they show what can be read.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from router.delivery import Delivery, DeliveryState, LaneRow, LaneState
from router.errors import StoreError
from router.event import CALL, Event
from router.store.lines import (
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    QuarantinedBody,
    QuarantineLine,
    StoredEvent,
)
from router.store.values import Claim, RoutedAs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

#: The columns of `content_digest`. Those that lists show beside are copies of what is in `call`.
_CONTENT: Final = ("id", "source", "format", "received_at", "content_type", "routes", "call", "body")


class Row(Protocol):
    """One row of an engine, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any: ...


class Damaged(StoreError):
    """A stored row is not what was stored."""


def micros(time: datetime) -> int:
    """A time as it is stored; it must be aware."""
    return (time - _EPOCH) // _MICROSECOND


def micros_or_none(time: datetime | None) -> int | None:
    """A time as it is stored, or none."""
    return None if time is None else micros(time)


def moment(stored: int) -> datetime:
    """A stored time, aware UTC; raises where it is none."""
    return _EPOCH + timedelta(microseconds=stored)


def readable_moment(stored: int | None) -> datetime | None:
    """A stored time, or none; none, too, where it is damaged."""
    try:
        return None if stored is None else moment(stored)
    except (OverflowError, TypeError, ValueError):
        return None


def packed(texts: tuple[str, ...]) -> str:
    """A list as it is stored."""
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def unpacked(stored: str | None) -> tuple[str, ...]:
    """A stored list; raises where it is none."""
    return tuple(json.loads(stored)) if stored else ()


def content_digest(
    *,
    id: str,  # noqa: A002 - a column's name
    source: str,
    format: str,  # noqa: A002 - a column's name
    received_at: int,
    content_type: str | None,
    routes: str,
    call: str,
    body: bytes,
) -> bytes:
    """SHA-256 of what is delivered of an event, as far as it is known before the event is written."""
    return _sha256(id, source, format, received_at, content_type, routes, call, body)


def event_digest(content: bytes, revision: int) -> bytes:
    """What is stored beside an event, to see damage: of its `content_digest` and its revision."""
    return _sha256(content, revision)


def _sha256(*fields: bytes | str | int | None) -> bytes:
    """Of the fields, each with its length, so that nothing can pass from one to the next."""
    sha256 = hashlib.sha256()
    for field in fields:
        data = field if isinstance(field, bytes) else b"" if field is None else str(field).encode()
        sha256.update(b"-" if field is None else b"%d:" % len(data))
        sha256.update(data)
    return sha256.digest()


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """Whatever goes wrong with this row is `Damaged`; the error itself would quote what was said."""
    try:
        yield
    except (Damaged, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - whatever damage does to it
        message = f"{what} is damaged: it is not what was stored; check the disk"
        raise Damaged(message) from None


def event_of(row: Row, parse: Callable[[bytes], Any]) -> Event:
    """The event of a row of `events`; raises `Damaged` where the row is not what was stored."""
    with _reading(f"event {row['id']}"):
        content = content_digest(**{name: row[name] for name in _CONTENT})
        if event_digest(content, row["revision"]) != row["sha256"]:
            raise ValueError
        return Event.of(
            CALL.validate_json(row["call"]),
            id=row["id"],
            sequence=row["sequence"],
            source=row["source"],
            format=row["format"],
            received_at=moment(row["received_at"]),
            revision=row["revision"],
            raw=_raw(row["body"], parse),
        )


def fired_with(row: Row, routes: Sequence[str]) -> tuple[tuple[str, ...], bytes]:
    """The routes of a row of `events` and these, and its digest with them; raises `Damaged` as `event_of` does."""
    with _reading(f"event {row['id']}"):
        content = {name: row[name] for name in _CONTENT}
        if event_digest(content_digest(**content), row["revision"]) != row["sha256"]:
            raise ValueError
        fired = tuple(dict.fromkeys([*unpacked(row["routes"]), *routes]))
        return fired, event_digest(content_digest(**content | {"routes": packed(fired)}), row["revision"])


def _raw(body: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(body)
    except Exception:  # noqa: BLE001 - a body that no parser takes is no reason to lose its event
        return None


def stored_event(row: Row, parse: Callable[[bytes], Any]) -> StoredEvent:
    """The answer to `event`; raises `Damaged` where the row is not what was stored."""
    with _reading(f"event {row['id']}"):
        repeats = (row["times"] or 1) - 1
        return StoredEvent(
            event=event_of(row, parse),
            routed=RoutedAs(row["routed"]),
            routes=unpacked(row["routes"]),
            rules=row["rules"],
            body=row["body"],
            content_type=row["content_type"],
            duplicates=repeats,
            duplicate_at=readable_moment(row["last_at"]) if repeats else None,
        )


def claim_of(row: Row, until: datetime, parse: Callable[[bytes], Any]) -> Claim:
    """A claim with all that its sink is given, of a row of `claimed`; raises `Damaged` where that is not readable."""
    with _reading(f"delivery {row['delivery_id']}"):
        delivery = Delivery(
            id=row["delivery_id"],
            sink=row["sink"],
            event=event_of(row, parse),
            body=row["body"],
            content_type=row["content_type"],
            routes=unpacked(row["routes"]),
            attempt=row["attempt"],
            replay_of=row["replay_of"],
            follows=row["follows"],
            superseded=bool(row["superseded"]),
        )
        return Claim(delivery, until, moment(row["accepted_at"]), row["retries"])


def fence_of(row: Row) -> dict[str, Any]:
    """What the claim of this row is known by, as parameters."""
    return {"id": row["delivery_id"], "event_id": row["event_id"], "attempt": row["attempt"]}


def claims_of(
    rows: Sequence[Row], until: datetime, parse: Callable[[bytes], Any]
) -> tuple[tuple[Claim, ...], list[dict[str, Any]]]:
    """The claims of these rows, and what those are known by whose deliveries are damaged."""
    claims, damaged = [], []
    for row in rows:
        try:
            claims.append(claim_of(row, until, parse))
        except Damaged:
            damaged.append(fence_of(row))
    return tuple(claims), damaged


def _shown_moment(stored: int) -> datetime:
    return readable_moment(stored) or _EPOCH


def shown_list(stored: str | None) -> tuple[str, ...]:
    """A stored list; an empty one where it is damaged."""
    try:
        texts = unpacked(stored)
    except (RecursionError, TypeError, ValueError):
        return ()
    return texts if all(isinstance(text, str) for text in texts) else ()


def event_line(row: Row) -> EventLine:
    """One line of a list of events; raises `Damaged` where it would be none."""
    with _reading(f"event {row['id']}"):
        return EventLine(
            id=row["id"],
            sequence=row["sequence"],
            source=row["source"],
            format=row["format"],
            received_at=_shown_moment(row["received_at"]),
            call_id=row["call_id"],
            revision=row["revision"],
            direction=row["direction"],
            channel_id=row["channel_id"],
            channel_name=row["channel_name"],
            routed=RoutedAs(row["routed"]),
            routes=shown_list(row["routes"]),
        )


def delivery_line(row: Row) -> DeliveryLine:
    """One delivery as it stands; raises `Damaged` where it would be none."""
    with _reading(f"delivery {row['id']}"):
        return DeliveryLine(
            id=row["id"],
            event_id=row["event_id"],
            sink=row["sink"],
            state=DeliveryState(row["state"]),
            attempt=row["attempt"],
            retries=row["retries"],
            lost=row["lost"],
            accepted_at=_shown_moment(row["accepted_at"]),
            due=_shown_moment(row["due"]),
            claimed_until=readable_moment(row["claimed_until"]),
            settled_at=readable_moment(row["settled_at"]),
            reason=row["reason"],
            recipient=row["recipient"],
            parts=shown_list(row["parts"]),
            remote_id=row["remote_id"],
            replay_of=row["replay_of"],
            ended=bool(row["ended"]),
        )


def attempt_line(row: Row) -> AttemptLine:
    """One try of a delivery."""
    return AttemptLine(
        row["attempt"],
        readable_moment(row["started_at"]),
        _shown_moment(row["ended_at"]),
        row["outcome"],
        row["reason"],
    )


def quarantine_line(row: Row) -> QuarantineLine:
    """One unreadable body; raises `Damaged` where it would be none."""
    with _reading(f"quarantined body {row['id']}"):
        return QuarantineLine(
            id=_of_type(str, row["id"]),
            source=_of_type(str, row["source"]),
            reason=_of_type(str, row["reason"]),
            size=_of_type(int, row["size"]),
            received_at=_shown_moment(row["received_at"]),
            times=_of_type(int, row["times"]),
            last_at=_shown_moment(row["last_at"]),
            ended=row["ended"],
        )


def quarantined_row(row: Row) -> QuarantinedBody:
    """One unreadable body with its bytes; raises `Damaged` where they are not as many as were stored."""
    line = quarantine_line(row)
    with _reading(f"quarantined body {line.id}"):
        body, content_type = _of_type(bytes, row["body"]), row["content_type"]
        if len(body) != line.size:
            raise ValueError
        given = None if content_type is None else _of_type(str, content_type)
        return QuarantinedBody(line, body, _of_type(bytes, row["digest"]), given)


def _of_type(kind: type[T], value: object) -> T:
    """One flipped bit makes bytes of a text, and no table is strict enough to see it."""
    if not isinstance(value, kind):
        raise TypeError
    return value


def channel_line(row: Row) -> ChannelLine:
    """One channel."""
    return ChannelLine(
        row["source"], row["id"] or None, row["name"] or None, row["calls"], _shown_moment(row["last_at"])
    )


def lane_row(row: Row) -> LaneRow:
    """A lane as it was set; one that is damaged is as if it never was, but for its version."""
    with suppress(Damaged), _reading(f"the state of lane {row['sink']!r}"):
        return LaneRow(
            sink=row["sink"],
            state=LaneState(row["state"]),
            next_at=readable_moment(row["next_at"]),
            failures=row["failures"],
            reason=row["reason"],
            since=readable_moment(row["since"]),
            version=row["version"],
        )
    return LaneRow(row["sink"], version=row["version"])


def lane_rows(rows: Iterable[Row]) -> dict[str, LaneRow]:
    """The lanes of these rows by sink."""
    return {row["sink"]: lane_row(row) for row in rows}


def lane_columns(lane: LaneRow) -> dict[str, Any]:
    """A lane's state as it is stored."""
    return {
        "sink": lane.sink,
        "state": lane.state.value,
        "next_at": micros_or_none(lane.next_at),
        "failures": lane.failures,
        "reason": lane.reason,
        "since": micros_or_none(lane.since),
        "version": lane.version,
    }
