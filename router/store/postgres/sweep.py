"""Looking for events that a purge may remove, on a connection that reads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from router.store import sweep
from router.store.postgres.queries import fetch
from router.store.rows import micros

if TYPE_CHECKING:
    from asyncpg import Connection

#: Before the first event that there can be.
_START: Final = (micros(datetime.min.replace(tzinfo=UTC)), -1)


class Sweep(sweep.Sweep):
    """See there."""

    def __init__(self) -> None:
        super().__init__(_START)

    async def next(self, connection: Connection, *, before: datetime, limit: int, largest: int) -> list[str]:
        """The ids of up to `limit` events from before this time that owe nothing, of about `largest` bytes."""
        for place in self.places():
            rows = await fetch(connection, "old_events", {**place, "before": micros(before), "limit": limit})
            if found := self.found(rows, largest):
                return [row["id"] for row in found]
        return []
