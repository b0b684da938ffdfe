"""Looking for events that a purge may remove: on a connection that reads, for what still owes may be many to pass.

Where a sink is out of order for longer than events are kept, all of its events are old and none of them may go. A look
goes on behind the last one, so that it passes them once in a round, and not for every portion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3

#: Where a round begins: before the first event, by the time of its arrival in microseconds and its number.
_START: Final = (-(2**63), -1)


@dataclass(slots=True)
class Sweep:
    """The place of the event that was found last."""

    _last: tuple[int, int] = _START

    def next(self, connection: sqlite3.Connection, *, before: int, limit: int, largest: int) -> list[dict[str, int]]:
        """Up to `limit` events from before this time that owe nothing, of about `largest` bytes; none: there are none."""
        for start in dict.fromkeys((self._last, _START)):
            place = {"at": start[0], "number": start[1], "before": before, "limit": limit}
            rows = first(connection.execute(SQL["old_events"], place).fetchall(), largest)
            if rows:
                self._last = rows[-1]["received_at"], rows[-1]["number"]
                break
            self._last = _START
        return [{"number": row["number"]} for row in rows]


def first(rows: Iterable[sqlite3.Row], largest: int) -> list[sqlite3.Row]:
    """The first rows until their size is enough for one commit; one at least."""
    taken: list[sqlite3.Row] = []
    size = 0
    for row in rows:
        if taken and size + row["size"] > largest:
            break
        taken.append(row)
        size += row["size"]
    return taken
