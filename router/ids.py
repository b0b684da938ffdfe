"""Identifiers: UUIDs that sort by time (RFC 9562, section 5.7), so that a page of the newest needs no second index."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first_id(time: datetime) -> str:
    """What no id of this millisecond or of a later one is below: a list of ids can begin or end at a time."""
    milliseconds = max((time - _EPOCH) // timedelta(milliseconds=1), 0)
    return str(uuid.UUID(int=(milliseconds & ((1 << 48) - 1)) << 80))


def new_id(now: datetime, entropy: bytes | None = None) -> str:
    """A UUID version 7: milliseconds of `now`, then 74 random bits (from `entropy`, 10 bytes, where it is given)."""
    milliseconds = (now - _EPOCH) // timedelta(milliseconds=1)
    random = int.from_bytes(entropy or os.urandom(10)) & ((1 << 74) - 1)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return str(uuid.UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))
