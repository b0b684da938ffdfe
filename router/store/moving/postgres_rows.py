"""Between rows as they move and rows as PostgreSQL has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from router.store.moving.tables import Kind
from router.store.postgres.codecs import value_in
from router.store.postgres.months import Month

if TYPE_CHECKING:
    from router.store.moving.tables import Row, Table, Value

_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TYPES: Final = {Kind.TEXT: str, Kind.NUMBER: int, Kind.TIME: int, Kind.FLAG: int, Kind.BYTES: bytes, Kind.ID: str}
#: A channel is in one row for each connection that has counted it; what moves goes into the first.
_CHANNEL: Final = ("source", "by_id", "key", "shard", "name", "named_at", "named_by", "calls", "last_at")


def columns(table: Table) -> tuple[str, ...]:
    """The columns that `stored` gives values for."""
    return _CHANNEL if table.name == "channels" else tuple(table.columns)


def read(table: Table, found: Sequence[Value]) -> Row:
    """A row as it moves."""
    kinds = table.columns.values()
    return tuple(
        int(value) if kind is Kind.FLAG and value is not None else value
        for kind, value in zip(kinds, found, strict=True)
    )


def fits(table: Table, row: Row) -> bool:
    """Whether PostgreSQL would give each value back as it is. (What is required and missing, it says itself.)."""
    for kind, value in zip(table.columns.values(), row, strict=True):
        if value is None:
            continue
        if not isinstance(value, _TYPES[kind]):
            return False
        if kind is Kind.ID and not _ID.fullmatch(str(value)):
            return False
        if kind is Kind.FLAG and value not in (0, 1):
            return False
    return True


def stored(table: Table, row: Row) -> tuple[Any, ...]:
    """A row as it is written, where it fits."""
    if table.name == "channels":
        source, id_, name, calls, last_at = map(value_in, row)
        return source, bool(id_), id_ or name, 0, name, last_at if name else None, 0 if name else None, calls, last_at
    kinds = table.columns.values()
    return tuple(
        bool(value) if kind is Kind.FLAG and value is not None else value_in(value)
        for kind, value in zip(kinds, row, strict=True)
    )


def month_of(id_: Value, received_at: Value) -> Month | None:
    """The month of an event, where its id and its row agree about that."""
    try:
        of_id = Month.of(datetime.fromtimestamp(int(str(id_).replace("-", "")[:12], 16) / 1000, UTC))
        of_row = Month.of(datetime.fromtimestamp(received_at / 1_000_000, UTC))  # type: ignore[operator] # it says so itself
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return of_id if of_id == of_row else None
