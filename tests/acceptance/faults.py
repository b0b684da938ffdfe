"""Disks that fail: which of the things that SQLite asks of them, and when."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from random import Random
from typing import Final, Literal

Operation = Literal["open", "read", "write", "short write", "truncate", "sync", "remove"]
#: What SQLite is told.
ERRORS: Final[dict[Operation, int]] = {
    "open": sqlite3.SQLITE_CANTOPEN,
    "read": sqlite3.SQLITE_IOERR_READ,
    "write": sqlite3.SQLITE_IOERR_WRITE,
    "short write": sqlite3.SQLITE_FULL,
    "truncate": sqlite3.SQLITE_IOERR_TRUNCATE,
    "sync": sqlite3.SQLITE_IOERR_FSYNC,
    "remove": sqlite3.SQLITE_IOERR_DELETE,
}

#: Whether this operation on the file of this name fails now.
Fault = Callable[[Operation, str], bool]


def never(_: Operation, __: str) -> bool:
    """A disk that is well."""
    return False


def now_and_then(dice: Random, *operations: Operation, about: int) -> Fault:
    """A disk on which about every so-and-so-manieth of these fails, and never fewer than half as many."""
    left = dice.randint(1, 2 * about)

    def fails(operation: Operation, _: str) -> bool:
        nonlocal left
        left -= operation in operations
        if left > 0:
            return False
        left = dice.randint(1, 2 * about)
        return True

    return fails
