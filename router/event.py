"""The event: one revision of one call, normalised. Values only; formats make them, everything else reads them.

`Call` is what a format can read out of a body. `Event` adds what the router knows of it: identity, time, trust.
Missing, null and blank are the same (None or an empty tuple); an item without any text is not in the event.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter


class Direction(StrEnum):
    """Seen from the company whose channel it is."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    UNKNOWN = "unknown"


class NumberKind(StrEnum):
    """What a party's number is."""

    E164 = "e164"
    INTERNAL = "internal"
    ANONYMOUS = "anonymous"
    UNKNOWN = "unknown"


class Speaker(StrEnum):
    """Who says a segment of the transcript."""

    CALLER = "caller"
    CALLEE = "callee"
    OTHER = "other"


class Trust(StrEnum):
    """What a body's own signature says; sipgate signs nothing."""

    UNSIGNED = "unsigned"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Number:
    """One party: the number as it came, and as E.164 where it is one."""

    raw: str = ""
    e164: str | None = None
    kind: NumberKind = NumberKind.UNKNOWN


@dataclass(frozen=True, slots=True)
class Channel:
    """The shared channel the call was on."""

    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """What one speaker said in one go; `start` and `end` in seconds from the call's start."""

    speaker: Speaker
    start: float | None
    end: float | None
    text: str


@dataclass(frozen=True, slots=True)
class ActionItem:
    """Something to be done."""

    id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class SmartAnswer:
    """A question that the company asks of every call, and what this call says to it."""

    id: str | None
    question: str | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class SmallTalk:
    """What was said beside the point; never sent to people unless a sink names it."""

    id: str | None
    topic: str | None
    description: str | None
    pinned: bool = False
    dismissed: bool = False


@dataclass(frozen=True, slots=True)
class Participant:
    """A colleague who was on the call; never sent to people unless a sink names it."""

    id: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a format reads out of a body."""

    call_id: str | None = None
    direction: Direction = Direction.UNKNOWN
    caller: Number = Number()
    callee: Number = Number()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    #: Seconds.
    duration: float | None = None
    channel: Channel = Channel()
    headline: str | None = None
    summary: str | None = None
    note: str | None = None
    transcript: tuple[Segment, ...] = ()
    action_items: tuple[ActionItem, ...] = ()
    smart_answers: tuple[SmartAnswer, ...] = ()
    small_talk: tuple[SmallTalk, ...] = ()
    participants: tuple[Participant, ...] = ()
    trust: Trust = Trust.UNSIGNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Call):
    """One revision of one call, as templates, plugins, `format: event`, explain and backtest see it."""

    #: A time-ordered UUID.
    id: str
    #: Counts up with every event that is accepted; promises no order of the calls.
    sequence: int
    source: str
    format: str
    received_at: datetime
    #: From 1; a new digest of the same call is the next one.
    revision: int
    #: The parsed body, unknown fields and all.
    raw: Any = None

    @classmethod
    def of(
        cls,
        call: Call,
        *,
        id: str,  # noqa: A002 - the field's name in the contract
        sequence: int,
        source: str,
        format: str,  # noqa: A002 - the field's name in the contract
        received_at: datetime,
        revision: int,
        raw: Any = None,
    ) -> Event:
        """The event that this call is, once it has an identity."""
        content = {field.name: getattr(call, field.name) for field in fields(Call)}
        return cls(
            id=id,
            sequence=sequence,
            source=source,
            format=format,
            received_at=received_at,
            revision=revision,
            raw=raw,
            **content,
        )


#: The ways between `Call` and JSON text (exact: what goes in comes out equal).
CALL: TypeAdapter[Call] = TypeAdapter(Call)
EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def plain(event: Event) -> dict[str, Any]:
    """The event as dicts, lists and text: what templates and JSON outputs see. Times are ISO 8601 with Z.

    Plain data and no objects, because templates call methods of objects.
    """
    dumped: dict[str, Any] = EVENT.dump_python(event, mode="json", exclude={"raw"})
    return {**{name: dumped[name] for name in EVENT_FIELDS if name != "raw"}, "raw": event.raw}


#: In the order of the contract: identity first, then the call, the raw body last.
EVENT_FIELDS: tuple[str, ...] = (
    "id", "sequence", "source", "format", "received_at", "call_id", "revision", "direction", "caller", "callee",
    "started_at", "ended_at", "duration", "channel", "headline", "summary", "note", "transcript", "action_items",
    "smart_answers", "small_talk", "participants", "trust", "raw",
)  # fmt: skip


def other_party(call: Call) -> Number:
    """The party that is not the company: the caller, or the callee of an outbound call."""
    return call.callee if call.direction is Direction.OUTBOUND else call.caller
