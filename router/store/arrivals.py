"""What arrives, made ready for any engine: the rows that will be written, and what is decided about them. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticSerializationError

from router.delivery import Delivery, DeliveryState
from router.errors import StoreError
from router.event import CALL, Event
from router.ids import new_id
from router.store.rows import content_digest, event_digest, micros, micros_or_none, packed
from router.store.values import Arrival, Claim, Owed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from router.store.keys import SeenKey


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
        """Hash and encode what will be written, before a writer is busy with it.

        Raises `StoreError` where a text is none.
        """
        try:
            return cls._of(arrival, key)
        except (UnicodeError, PydanticSerializationError):  # their own words would quote the text
            message = "a text of the call is not valid Unicode and cannot be stored"
            raise StoreError(message) from None

    @classmethod
    def _of(cls, arrival: Arrival, key: SeenKey) -> Acceptance:
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

    def of_revision(self, revision: int) -> dict[str, Any]:
        """What the row has besides, once it is known which revision it is."""
        return {"revision": revision, "sha256": event_digest(self.content, revision)}

    def channel(self, *, new_call: bool) -> dict[str, Any] | None:
        """The call as it counts for its channel, which has an id, or only a name ("" is none); None where it has none."""
        channel = self.arrival.call.channel
        if not channel.id and not channel.name:
            return None
        return {
            "source": self.arrival.source,
            "id": channel.id or "",
            "name": channel.name or "",
            "now": self.row["now"],
            "new_call": new_call,
        }

    def asks_before(self, revision: int) -> bool:
        """Whether `owed` has to know whom other revisions were owed to."""
        return revision > 1 and any(one.once for one in self.arrival.owed)

    def owed(self, before: Collection[str]) -> list[Owed]:
        """To whom it is owed, where other revisions of the call were owed to these sinks."""
        return [one for one in self.arrival.owed if not (one.once and one.sink in before)]

    def deliveries(self, owed: Sequence[Owed]) -> list[dict[str, Any]]:
        """The rows of what is owed."""
        return [delivery_row(new_id(self.accepted_at), self.event_id, one, self.accepted_at) for one in owed]

    def claims(
        self,
        deliveries: Sequence[Mapping[str, Any]],
        owed: Sequence[Owed],
        *,
        sequence: int,
        revision: int,
        follows: Mapping[str, str],
    ) -> tuple[Claim, ...]:
        """Those of these rows that were born claimed. `follows`: what earlier revisions became at each sink."""
        claimed = [
            (row["id"], one.sink, one.claim_until)
            for row, one in zip(deliveries, owed, strict=True)
            if row["state"] == DeliveryState.CLAIMED and one.claim_until is not None
        ]
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
class Unread:
    """A body that no format could read."""

    source: str
    body: bytes
    digest: bytes
    content_type: str | None
    reason: str
    now: datetime
    #: See `Store.quarantine`.
    room: int | None

    @property
    def weight(self) -> int:
        """About how many bytes will be written."""
        return len(self.body)

    def row(self) -> dict[str, Any]:
        """The row, with a new id."""
        return {
            "id": new_id(self.now),
            "source": self.source,
            "digest": self.digest,
            "reason": self.reason,
            "size": len(self.body),
            "content_type": self.content_type,
            "now": micros(self.now),
            "body": self.body,
        }
