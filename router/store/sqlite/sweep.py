"""Looking for events that a purge may remove, on a connection that reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.store import sweep
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3

#: Before the first event, whatever damage made of its time.
_START: Final = (-(2**63), -1)


class Sweep(sweep.Sweep):
    """See there."""

    def __init__(self) -> None:
        super().__init__(_START)

    def next(self, connection: sqlite3.Connection, *, before: int, limit: int, largest: int) -> list[dict[str, int]]:
        """Up to `limit` events from before this time that owe nothing, of about `largest` bytes; none: there are none."""
        for place in self.places():
            rows = connection.execute(SQL["old_events"], {**place, "before": before, "limit": limit}).fetchall()
            if found := self.found(rows, largest):
                return [{"number": row["number"]} for row in found]
        return []
