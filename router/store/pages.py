"""A page of a list, as it is filled from the rows that an engine finds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from router.delivery import DeliveryState
from router.ids import first_id
from router.store.lines import DeliveryLine, EventLine, Page, QuarantineLine, Wanted
from router.store.rows import Damaged, Row, shown_list
from router.store.values import RoutedAs
from router.text import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A line of a list, which has an id.
Line = TypeVar("Line", EventLine, DeliveryLine, QuarantineLine)

_LONGEST_PAGE: Final = 500
#: Rows that are looked at for one page.
LONGEST_LOOK: Final = 5_000


class Filling(Generic[Line]):
    """What there is of a page. Give it the rows from `since` to below `before`, newest first, until it wants no more."""

    def __init__(
        self,
        line: Callable[[Row], Line],
        of: Mapping[str, str | None],
        wanted: Wanted,
        *,
        after: str | None,
        limit: int,
    ) -> None:
        self._line: Callable[[Row], Line] = line
        self._of = of
        self._wanted = wanted
        self._size = min(max(limit, 1), _LONGEST_PAGE)
        self._lines: list[Line] = []
        self._taken = self._looked = 0
        #: The id of the last row.
        self._last: str | None = None
        self._more = False
        #: An id that is wanted is not below this; "" is below all.
        self.since = "" if wanted.since is None else first_id(wanted.since)
        #: It is below this; None is above all.
        self.before = after
        if wanted.until is not None:
            until = first_id(wanted.until)
            self.before = until if after is None else min(after, until)

    @property
    def wants(self) -> int:
        """How many rows could fill it up, and one more to see whether the list goes on."""
        return self._size - self._taken + 1

    def add(self, row: Row) -> bool:
        """Take the next row; False where the page is complete without it."""
        if self._last is not None and (self._taken == self._size or self._looked == LONGEST_LOOK):
            self._more = True
            return False
        self._looked += 1
        self._last = row["id"]
        if _fits(self._of, self._wanted, row):
            self._taken += 1
            with suppress(Damaged):  # none of a row that is too damaged for a line
                self._lines.append(self._line(row))
        return True

    def page(self) -> Page[Line]:
        """What was found."""
        return Page(tuple(self._lines), _key(self._last) if self._more and self._last is not None else None)


def of_events(routed: RoutedAs | None, wanted: Wanted) -> tuple[str, dict[str, str | None]]:
    """The name of the statement that narrows the list down most, and what its rows have to be."""
    return (
        "events_unrouted" if routed is RoutedAs.UNROUTED else "events",
        {"routed": routed and routed.value, "sink": wanted.sink},
    )


def of_deliveries(
    state: DeliveryState | None, event_id: str | None, wanted: Wanted
) -> tuple[str, dict[str, str | None]]:
    """The same for deliveries."""
    if event_id is not None:
        name = "deliveries_of_event"
    elif state is not None and state is not DeliveryState.DELIVERED:
        name = "deliveries_in_state"
    elif wanted.sink is not None:
        name = "deliveries_of_sink"
    else:
        name = "deliveries"
    return name, {"state": state and state.value, "sink": wanted.sink, "event_id": event_id}


def counting(wanted: Wanted) -> Wanted:
    """What of it counts for quarantined bodies."""
    return Wanted(since=wanted.since, until=wanted.until, source=wanted.source, ended=wanted.ended)


def _fits(of: Mapping[str, str | None], wanted: Wanted, row: Row) -> bool:
    """Whether a row is wanted: here, and not in the query, so that what is looked at can be counted.

    What is damaged fits no question.
    """
    return (
        all(asked is None or row[column] == asked for column, asked in of.items())
        and (wanted.source is None or row["source"] == wanted.source)
        and (wanted.direction is None or row["direction"] == wanted.direction)
        and (wanted.channel is None or _same(wanted.channel, row["channel_id"], row["channel_name"]))
        and (wanted.route is None or wanted.route in shown_list(row["routes"]))
        and (wanted.reason is None or _holds(row["reason"], wanted.reason))
        and (wanted.ended is None or bool(row["ended"]) is wanted.ended)
    )


def _same(channel: str, channel_id: str | None, name: str | None) -> bool:
    return channel == channel_id or (isinstance(name, str) and name_key(name) == name_key(channel))


def _holds(text: str | None, words: str) -> bool:
    return isinstance(text, str) and words.casefold() in text.casefold()


def _key(last: str) -> str:
    """Where the next page starts: a damaged id as it is shown may stand above itself, and the list at a stand."""
    return last.replace("\ufffd", "~")
