"""One end of a move: a store at rest, that is read from or written to, table by table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from router.store import sums

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from router.store.keys import SeenKey
    from router.store.lines import Summary
    from router.store.moving.tables import Row, Table, Value
    from router.store.rows import Row as Found

#: A portion takes no more than this, so that little is done twice and memory has room for it.
LARGEST_PORTION: Final = 5_000
LARGEST_PORTION_BYTES: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """One row, as it was read."""

    #: What the next portion begins behind.
    key: Row
    row: Row
    #: A text in it is none any more, and has U+FFFD in place of what cannot be read.
    is_mended: bool = False


@dataclass(frozen=True, slots=True)
class Counters:
    """What a store has counted, without what it has none of."""

    #: By name: duplicates, purged and the like, and events by how they were routed.
    totals: Mapping[str, int] = field(default_factory=dict)
    #: Deliveries by sink and state.
    deliveries: Mapping[tuple[str, str], int] = field(default_factory=dict)
    #: Bytes in quarantine by source.
    quarantine: Mapping[str, int] = field(default_factory=dict)
    #: The number of the newest event that ever was.
    sequence: int = 0

    @classmethod
    def of(
        cls, totals: Sequence[Found], deliveries: Sequence[Found], sizes: Sequence[Found], sequence: int
    ) -> Counters:
        """Of the rows of an engine."""
        return cls(
            {row["name"]: row["n"] for row in totals if row["n"]},
            {(row["sink"], row["state"]): row["n"] for row in deliveries if row["n"]},
            {row["source"]: row["bytes"] for row in sizes if row["bytes"]},
            sequence,
        )

    @property
    def summary(self) -> Summary:
        """The sums of promise 3."""
        return sums.summary(
            [{"name": name, "n": n} for name, n in self.totals.items()],
            [{"sink": sink, "state": state, "n": n} for (sink, state), n in self.deliveries.items()],
        )


class Side(ABC):
    """A store that no router has open, from `open_…` to `close`. Every call raises `StoreError` with what to do."""

    #: What to do to be rid of a copy that is of no use.
    removal: ClassVar[str] = "remove it"

    @abstractmethod
    async def open_from(self) -> None:
        """To read from: nothing in it is changed. Refused where it is in use, or of another version than this program."""

    @abstractmethod
    async def open_to(self) -> None:
        """To write to: made where there is none. Refused where it is in use, or of another version than this program."""

    @abstractmethod
    async def close(self) -> None:
        """Let others have it; a repeat does nothing."""

    @abstractmethod
    async def at_rest(self) -> None:
        """Raise `StoreInUse` where a router has it open."""

    # --- reading ---

    @abstractmethod
    async def key(self) -> SeenKey:
        """The key of `seen`."""

    @abstractmethod
    async def count(self, table: Table) -> int:
        """How many rows a table has."""

    @abstractmethod
    def lines(self, table: Table, after: Sequence[Value] | None = None) -> AsyncGenerator[list[Line]]:
        """The rows of a table in portions, in the order of its key; behind this one."""

    @abstractmethod
    async def counters(self) -> Counters:
        """What it has counted."""

    # --- writing ---

    @abstractmethod
    async def half(self) -> str | None:
        """What the copy that was begun here has noted; None: none was."""

    @abstractmethod
    async def begin(self, noted: str, key: SeenKey) -> None:
        """From now on this is a copy that is not finished, which no router opens; `key` is that of `seen`."""

    @abstractmethod
    async def write(self, table: Table, lines: Sequence[Line], note: Callable[[Sequence[Line]], str]) -> Sequence[Line]:
        """Write a portion, and what is noted with it: one transaction. Those that there can be no such row of are left."""

    @abstractmethod
    async def finish(self, counters: Counters) -> None:
        """Set what rows do not tell, see that all is counted so, and be a store: one transaction, and durable."""
