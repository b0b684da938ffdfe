"""The months that calls are partitioned by: made before they begin, dropped when they are old enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import asyncpg

from router.errors import AftercallError
from router.ids import first_id
from router.store.postgres.queries import fetch, first, only
from router.store.values import Purged

if TYPE_CHECKING:
    from asyncpg import Connection


class InTheWay(AftercallError):
    """Somebody uses the tables for longer than others may be made to wait."""


class StillOwed(AftercallError):
    """Something of the month is owed after all."""


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One month, in UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, time: datetime) -> Month:
        """The month of this time."""
        time = time.astimezone(UTC)
        return cls(time.year, time.month)

    @classmethod
    def named(cls, label: str) -> Month:
        """Of the end of a partition's name."""
        year, month = label.split("_")
        return cls(int(year), int(month))

    @property
    def next(self) -> Month:
        """The month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def first(self) -> datetime:
        """When it begins."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def label(self) -> str:
        """The end of its partitions' names."""
        return f"{self.year:04}_{self.month:02}"


async def make(connection: Connection, month: Month) -> None:
    """Make the partitions of a month; a repeat does nothing."""
    row = {"label": month.label, "first": first_id(month.first), "beyond": first_id(month.next.first)}
    try:
        await only(connection, "make_month", row)
    except asyncpg.LockNotAvailableError:
        raise InTheWay from None


async def old(connection: Connection, before: datetime) -> list[Month]:
    """The months that were over before this time and owe nothing, oldest first."""
    months = [Month.named(row["label"]) for row in await fetch(connection, "months") if not row["owes"]]
    return [month for month in months if month.next.first <= before]


async def drop(connection: Connection, month: Month) -> Purged:
    """Drop a month, unless another router was faster. Raises `InTheWay` and `StillOwed`, with nothing changed."""
    asked = {"label": month.label, "month": month.first.date().isoformat()}
    try:
        row = await first(connection, "drop_month", asked)
    except asyncpg.LockNotAvailableError:
        raise InTheWay from None
    except asyncpg.ObjectInUseError:
        raise StillOwed from None
    return Purged() if row is None else Purged(events=row["events"], deliveries=row["deliveries"])
