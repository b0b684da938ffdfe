"""What `accept` and `quarantine` do to the database, each within one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from router.delivery import Delivery, DeliveryState
from router.errors import QuarantineFull
from router.event import CALL, Event
from router.ids import new_id
from router.store.base import Accepted, Arrival, Claim, Duplicate, Owed, Quarantined
from router.store.sqlite.queries import SQL
from router.store.sqlite.rows import content_digest, event_digest, micros, micros_or_none, packed

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from router.store.sqlite.keys import SeenKey


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An arrival, made ready to be written."""

    arrival: Arrival
    event_id: str
    row: dict[str, Any]
    #: See `content_digest`.
    content: bytes

    @classmethod
    def of(cls, arrival: Arrival, key: SeenKey) -> Acceptance:
        """Hash and encode what will be written, before the writer is busy with it."""
        call, now = arrival.call, arrival.received_at
        event_id = new_id(now)
        row: dict[str, Any] = {
            "event_id": event_id,
            "source": arrival.source,
            "format": arrival.format,
            "now": micros(now),
            "times": 1,
            "last_at": micros(now),
            "direction": call.direction.value,
            "call_id": call.call_id,
            "channel_id": call.channel.id,
            "channel_name": call.channel.name,
            "routed": arrival.routed.value,
            "routes": packed(arrival.routes),
            "rules": arrival.rules,
            "content_type": arrival.content_type,
            "call": key.call(call.call_id, arrival.digest),
            "digest": key.digest(arrival.digest),
            "call_json": CALL.dump_json(call).decode(),
            "body": arrival.body,
        }
        content = content_digest(
            id=event_id,
            source=arrival.source,
            format=arrival.format,
            received_at=row["now"],
            content_type=arrival.content_type,
            routes=row["routes"],
            call=row["call_json"],
            body=arrival.body,
        )
        return cls(arrival, event_id, row, content)

    @property
    def weight(self) -> int:
        """About how many bytes will be written."""
        return len(self.row["body"]) + len(self.row["call_json"])

    @property
    def accepted_at(self) -> datetime:
        """When its deliveries are owed from."""
        return self.arrival.accepted_at or self.arrival.received_at

    def write(self, connection: sqlite3.Connection, **changes: Any) -> Accepted | Duplicate:
        """Write it; with these parameters changed."""
        seen = connection.execute(SQL["see"], {**self.row, **changes}).fetchall()[0]
        if seen["event_id"] != self.event_id:
            return Duplicate(seen["event_id"])
        revision: int = seen["revision"]
        more = {"revision": revision, "sha256": event_digest(self.content, revision)}
        cursor = connection.execute(SQL["add_event"], {**self.row, **more})
        sequence = cursor.lastrowid or 0
        self._count_channel(connection, new_call=revision == 1)
        owed = self._owed(connection, revision)
        ids = [new_id(self.accepted_at) for _ in owed]
        if owed:
            rows = [delivery_row(id_, self.event_id, one, self.accepted_at) for id_, one in zip(ids, owed, strict=True)]
            connection.executemany(SQL["add_delivery"], rows)
        follows: dict[str, str] = {}
        if revision > 1 and owed:
            found = connection.execute(SQL["followed"], {**self.row, "revision": revision})
            follows = {row["sink"]: row["remote_id"] for row in found}
        claims = self._claims(ids, owed, sequence, revision, follows)
        return Accepted(self.event_id, sequence, revision, len(owed), claims)

    def _count_channel(self, connection: sqlite3.Connection, *, new_call: bool) -> None:
        channel = self.arrival.call.channel
        if not channel.id and not channel.name:
            return
        row = {
            "source": self.arrival.source,
            "id": channel.id or "",
            "name": channel.name or "",
            "now": self.row["now"],
            "new_call": new_call,
        }
        connection.execute(SQL["saw_channel_by_id" if channel.id else "saw_channel_by_name"], row)

    def _owed(self, connection: sqlite3.Connection, revision: int) -> list[Owed]:
        owed = self.arrival.owed
        if revision == 1 or not any(one.once for one in owed):
            return list(owed)
        before = {row["sink"] for row in connection.execute(SQL["owed_before"], self.row)}
        return [one for one in owed if not (one.once and one.sink in before)]

    def _claims(
        self, ids: list[str], owed: list[Owed], sequence: int, revision: int, follows: dict[str, str]
    ) -> tuple[Claim, ...]:
        claimed = [(id_, one.sink, one.claim_until) for id_, one in zip(ids, owed, strict=True) if one.claim_until]
        if not claimed:
            return ()
        arrival = self.arrival
        event = Event.of(
            arrival.call,
            id=self.event_id,
            sequence=sequence,
            source=arrival.source,
            format=arrival.format,
            received_at=arrival.received_at,
            revision=revision,
            raw=arrival.raw,
        )
        return tuple(
            Claim(
                Delivery(
                    id=id_,
                    sink=sink,
                    event=event,
                    body=arrival.body,
                    content_type=arrival.content_type,
                    routes=arrival.routes,
                    follows=follows.get(sink),
                ),
                until,
                self.accepted_at,
                retries=0,
            )
            for id_, sink, until in claimed
        )


def delivery_row(id_: str, event_id: str, owed: Owed, now: datetime) -> dict[str, Any]:
    """A delivery as it is born."""
    claimed = owed.claim_until is not None
    return {
        "id": id_,
        "event_id": event_id,
        "sink": owed.sink,
        "state": (DeliveryState.CLAIMED if claimed else DeliveryState.PENDING).value,
        "attempt": int(claimed),
        "now": micros(now),
        "due": micros(owed.due or now),
        "claimed_at": micros(now) if claimed else None,
        "claimed_until": micros_or_none(owed.claim_until),
    }


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A body that no format could read."""

    source: str
    body: bytes
    digest: bytes
    content_type: str | None
    reason: str
    now: datetime
    room: int | None

    @property
    def weight(self) -> int:
        """About how many bytes will be written."""
        return len(self.body)

    def write(self, connection: sqlite3.Connection) -> Quarantined:
        """Write it."""
        id_ = new_id(self.now)
        row = {
            "id": id_,
            "source": self.source,
            "digest": self.digest,
            "reason": self.reason,
            "size": len(self.body),
            "content_type": self.content_type,
            "now": micros(self.now),
            "body": self.body,
        }
        kept: str = connection.execute(SQL["quarantine"], row).fetchall()[0]["id"]
        duplicate = kept != id_
        if self.room is not None and not duplicate:
            (bytes_,) = connection.execute(SQL["quarantine_bytes"], row).fetchall()[0]
            if bytes_ > self.room:
                raise QuarantineFull
        return Quarantined(kept, duplicate)
