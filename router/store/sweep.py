"""Looking for events that a purge may remove: where nothing is written, for what still owes may be many to pass.

Where a sink is out of order for longer than events are kept, all of its events are old and none of them may go. A look
goes on behind the last one, so that it passes them once in a round, and not for every portion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from router.store.rows import Row

R = TypeVar("R", bound="Row")


class Sweep:
    """The place of the event that was found last: the time of its arrival in microseconds, and its number."""

    def __init__(self, start: tuple[int, int]) -> None:
        #: Before every event.
        self._start = self._last = start

    def places(self) -> Iterator[dict[str, int]]:
        """Where to look, until something is `found`: behind the last one, and from the start again."""
        for place in dict.fromkeys((self._last, self._start)):
            self._last = self._start
            yield {"at": place[0], "number": place[1]}

    def found(self, rows: Iterable[R], largest: int) -> list[R]:
        """Those of these events that are enough for one commit; the next look goes on behind them."""
        taken = first(rows, largest)
        if taken:
            self._last = taken[-1]["received_at"], taken[-1]["number"]
        return taken


def first(rows: Iterable[R], largest: int) -> list[R]:
    """The first rows until their size is enough for one commit; one at least."""
    taken: list[R] = []
    size = 0
    for row in rows:
        if taken and size + row["size"] > largest:
            break
        taken.append(row)
        size += row["size"]
    return taken
