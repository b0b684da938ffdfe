"""The writes that share a commit, and how much of them there may be."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

#: A commit takes no more than this, so that the first of it does not wait for ever.
LARGEST_BATCH: Final = 1_000
LARGEST_BATCH_BYTES: Final = 16 * 2**20

#: About what one write puts into the log besides its own bytes (rows of five tables and their indexes).
PAGES_PER_WRITE: Final = 8
PAGE: Final = 4096


@dataclass(slots=True, eq=False, repr=False)  # the event loop's own log may show it: no call may be in that
class Write:
    """One operation, and who waits for it.

    `weight`: its bytes. `intake`: a call, which the reserve is not there for. `alone`: not within a transaction.
    """

    operation: Callable[[sqlite3.Connection], object]
    future: asyncio.Future[Any]
    weight: int = 0
    intake: bool = False
    alone: bool = False
    result: object = None
    error: Exception | None = None

    @property
    def size(self) -> int:
        """About how many bytes it puts into the log, and later into the database."""
        return PAGES_PER_WRITE * PAGE + self.weight


@dataclass(slots=True, repr=False)
class Batch:
    """The writes that share a commit. `room`: bytes that calls may still take on the disk."""

    room: int
    writes: list[Write] = field(default_factory=list)
    weight: int = 0

    @property
    def alone(self) -> bool:
        return bool(self.writes) and self.writes[0].alone

    @property
    def has_room(self) -> bool:
        return len(self.writes) < LARGEST_BATCH and self.weight < LARGEST_BATCH_BYTES and not self.alone

    @property
    def size(self) -> int:
        """About how many bytes it puts into the log."""
        return sum(write.size for write in self.writes)

    def add(self, write: Write) -> bool:
        """Put it in; False where it is a call, and there is no room for it."""
        if write.intake and 2 * write.size >= self.room:
            return False
        self.room -= 2 * write.size
        self.writes.append(write)
        self.weight += write.weight
        return True

    def without_calls(self) -> list[Write]:
        """Take the calls out; those that were in it."""
        calls = [write for write in self.writes if write.intake]
        self.writes = [write for write in self.writes if not write.intake]
        self.room = 0
        return calls
