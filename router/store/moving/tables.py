"""What moves from one store to another: every table, column by column, in terms that no engine owns.

A row is a tuple of its columns' values as rows have them in every engine: times are microseconds, ids and lists are
texts, flags are 0 or 1. A table or column of an engine that is not in here is named as left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

Value = str | int | float | bytes | None
Row = tuple[Value, ...]


class Kind(Enum):
    """What stands in a column."""

    TEXT = auto()
    #: A UUID, in small letters.
    ID = auto()
    NUMBER = auto()
    #: Microseconds since the epoch.
    TIME = auto()
    #: 0 or 1.
    FLAG = auto()
    BYTES = auto()


@dataclass(frozen=True, slots=True)
class Table:
    """One table that moves."""

    name: str
    columns: Mapping[str, Kind]
    #: What SQLite reads it in the order of; PostgreSQL, too, where `postgres_key` says nothing else.
    key: tuple[str, ...]
    #: What a row is called in a report: nothing that was said in a call.
    called: tuple[str, ...]
    postgres_key: tuple[str, ...] = ()
    #: Columns that can be large.
    large: tuple[str, ...] = ()

    def place(self, column: str) -> int:
        """Where it stands in a row."""
        return list(self.columns).index(column)

    def name_of(self, row: Row) -> str:
        """The row in a report; what damage made of its name is cut, and nothing but ASCII."""
        return f"{self.name} {' '.join(ascii(row[self.place(one)])[:50].strip(chr(39)) for one in self.called)}"


#: In this order: what belongs to something comes after it.
MOVED: Final = (
    Table(
        "seen",
        {
            "source": Kind.TEXT,
            "call": Kind.BYTES,
            "digest": Kind.BYTES,
            "event_id": Kind.ID,
            "revision": Kind.NUMBER,
            "first_at": Kind.TIME,
            "times": Kind.NUMBER,
            "last_at": Kind.TIME,
        },
        key=("source", "call", "digest"),
        called=("event_id",),
    ),
    Table(
        "events",
        {
            "sequence": Kind.NUMBER,
            "id": Kind.ID,
            "source": Kind.TEXT,
            "format": Kind.TEXT,
            "received_at": Kind.TIME,
            "revision": Kind.NUMBER,
            "direction": Kind.TEXT,
            "call_id": Kind.TEXT,
            "channel_id": Kind.TEXT,
            "channel_name": Kind.TEXT,
            "routed": Kind.TEXT,
            "routes": Kind.TEXT,
            "rules": Kind.TEXT,
            "content_type": Kind.TEXT,
            "seen_call": Kind.BYTES,
            "seen_digest": Kind.BYTES,
            "sha256": Kind.BYTES,
            "call": Kind.TEXT,
            "body": Kind.BYTES,
        },
        key=("sequence",),
        postgres_key=("id",),
        called=("id",),
        large=("call", "body"),
    ),
    Table(
        "deliveries",
        {
            "id": Kind.ID,
            "event_id": Kind.ID,
            "sink": Kind.TEXT,
            "state": Kind.TEXT,
            "attempt": Kind.NUMBER,
            "retries": Kind.NUMBER,
            "lost": Kind.NUMBER,
            "held": Kind.FLAG,
            "ended": Kind.FLAG,
            "accepted_at": Kind.TIME,
            "due": Kind.TIME,
            "claimed_at": Kind.TIME,
            "claimed_until": Kind.TIME,
            "settled_at": Kind.TIME,
            "replay_of": Kind.ID,
            "reason": Kind.TEXT,
            "recipient": Kind.TEXT,
            "remote_id": Kind.TEXT,
            "parts": Kind.TEXT,
        },
        key=("id",),
        postgres_key=("event_id", "id"),
        called=("id",),
    ),
    Table(
        "attempts",
        {
            "event_id": Kind.ID,
            "delivery_id": Kind.ID,
            "attempt": Kind.NUMBER,
            "started_at": Kind.TIME,
            "ended_at": Kind.TIME,
            "outcome": Kind.TEXT,
            "reason": Kind.TEXT,
        },
        key=("delivery_id", "attempt"),
        postgres_key=("event_id", "delivery_id", "attempt"),
        called=("delivery_id", "attempt"),
    ),
    Table(
        "quarantine",
        {
            "id": Kind.ID,
            "source": Kind.TEXT,
            "digest": Kind.BYTES,
            "reason": Kind.TEXT,
            "ended": Kind.TEXT,
            "size": Kind.NUMBER,
            "content_type": Kind.TEXT,
            "received_at": Kind.TIME,
            "times": Kind.NUMBER,
            "last_at": Kind.TIME,
            "body": Kind.BYTES,
        },
        key=("rowid",),
        postgres_key=("id",),
        called=("id",),
        large=("body",),
    ),
    Table(
        "lanes",
        {
            "sink": Kind.TEXT,
            "state": Kind.TEXT,
            "next_at": Kind.TIME,
            "failures": Kind.NUMBER,
            "reason": Kind.TEXT,
            "since": Kind.TIME,
        },
        key=("sink",),
        called=("sink",),
    ),
    Table(
        "channels",
        {
            "source": Kind.TEXT,
            "id": Kind.TEXT,
            "name": Kind.TEXT,
            "calls": Kind.NUMBER,
            "last_at": Kind.TIME,
        },
        key=("rowid",),
        postgres_key=("source", "id", "name"),
        called=("source",),
    ),
)

#: Tables that are not copied as they are, and why.
LEFT_OUT: Final[Mapping[str, str]] = {
    "seen_key": "the key itself moves, and what proves it is made anew",
    "checks": "counts what means nothing",
    "totals": "what rows do not tell is set at the end",
    "event_totals": "counted anew, and compared",
    "delivery_totals": "counted anew, and compared",
    "quarantine_totals": "counted anew, and compared",
    "sqlite_sequence": "the number of the last event is set at the end",
    "migrations": "the tables are made by this program",
    "half_copy": "is there while a copy is made",
}

#: Columns that only one engine has, and makes of the others.
LEFT_OUT_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "channels": frozenset({"by_id", "key", "shard", "named_at", "named_by"}),
}
