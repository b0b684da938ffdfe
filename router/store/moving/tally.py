"""What rows come to, whichever engine they are in and in whatever order they are read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from router.store.moving.tables import Row

_BELOW: Final = 1 << 256
_SHOWN: Final = 16


@dataclass(slots=True)
class Tally:
    """How many rows there are, and the sum of their digests: so some can be taken off again, and portions be added."""

    rows: int = 0
    total: int = 0

    def add(self, row: Row) -> None:
        """Count one more."""
        self.rows += 1
        self.total = (self.total + int.from_bytes(digest(row))) % _BELOW

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, (self.total + other.total) % _BELOW)

    def __str__(self) -> str:
        return f"{self.total:064x}"[:_SHOWN]


def digest(row: Row) -> bytes:
    """SHA-256 of its values, each with what it is and its length, so that nothing can pass from one to the next."""
    parts: list[bytes] = []
    for value in row:
        match value:
            case None:
                parts.append(b"-")
            case int():
                parts.append(b"i%d;" % value)
            case str():
                text = value.encode()
                parts.append(b"t%d:" % len(text))
                parts.append(text)
            case bytes():
                parts.append(b"b%d:" % len(value))
                parts.append(value)
            case _:
                parts.append(f"r{value!r};".encode())
    return hashlib.sha256(b"".join(parts)).digest()
