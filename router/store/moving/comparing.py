"""Whether a copy is one: both sides are read again as a whole, and what was counted is counted anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from router.errors import AftercallError
from router.store.moving.side import Counters
from router.store.moving.tables import MOVED
from router.store.moving.tally import Tally

if TYPE_CHECKING:
    from router.store.moving.side import Side
    from router.store.moving.state import State
    from router.store.moving.tables import Row, Table

#: What a quarantined body counts for besides its bytes.
_BESIDES = 1024


class Differs(AftercallError):
    """The two are not the same."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides that are the same."""

    #: As the one had counted.
    before: Counters
    #: As the copy has to count.
    counters: Counters
    #: What the one had counted wrong.
    miscounted: tuple[str, ...]


@dataclass(slots=True)
class _Counted:
    """What the rows of one side come to."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    deliveries: Counter[tuple[str, str]] = field(default_factory=Counter)
    quarantine: Counter[str] = field(default_factory=Counter)

    def add(self, table: Table, row: Row) -> None:
        self.tallies[table.name].add(row)
        match table.name:
            case "events":
                self.totals[str(row[table.place("routed")])] += 1
            case "deliveries":
                self.deliveries[str(row[table.place("sink")]), str(row[table.place("state")])] += 1
            case "quarantine":
                size = row[table.place("size")]
                self.totals["quarantined"] += 1
                self.quarantine[str(row[table.place("source")])] += _BESIDES + (size if isinstance(size, int) else 0)


async def compare(
    source: Side, target: Side, state: State, counts: Mapping[str, int], told: Callable[..., None]
) -> Compared:
    """Raise `Differs` where a row is not the same on both sides, or has changed since it was copied."""
    if (await source.key()).key != (await target.key()).key:
        message = (
            f"{target}: its key of `seen` is not that of {source}, so no call would be known again: remove it, and copy "
            "again from the start"
        )
        raise Differs(message)
    of_source, of_target = _Counted(), _Counted()
    for table in MOVED:
        rows = counts[table.name]
        await _read(source, table, of_source, partial(told, table.name, of=2 * rows))
        await _read(target, table, of_target, partial(told, table.name, of=2 * rows), rows)
        _compare(source, target, table, state, of_source, of_target, rows)
    before = await source.counters()
    return Compared(before, _due(before, of_target, state), tuple(_wrong(before, of_source)))


async def _read(side: Side, table: Table, counted: _Counted, told: Callable[..., None], before: int = 0) -> None:
    tally = counted.tallies[table.name] = Tally()
    async with aclosing(side.lines(table)) as portions:
        async for lines in portions:
            for line in lines:
                counted.add(table, line.row)
            told(done=before + tally.rows)


def _compare(
    source: Side, target: Side, table: Table, state: State, of_source: _Counted, of_target: _Counted, rows: int
) -> None:
    part, found, copy = state.parts[table.name], of_source.tallies[table.name], of_target.tallies[table.name]
    if found.rows != rows:
        message = (
            f"{source}: of {rows} rows of {table.name} {found.rows} can be found in their order: the database is damaged, "
            f"or was changed meanwhile. {target} is no store"
        )
        raise Differs(message)
    if found != part.copied + part.left:
        message = (
            f"{source}: {table.name} have changed since they were copied (did a router run?), so {target} is of no use: "
            f"{target.removal}, stop every router, and copy again from the start"
        )
        raise Differs(message)
    if copy != part.copied:
        message = (
            f"{target}: {table.name} are not what was copied ({copy.rows} rows, digest {copy}; copied: {part.copied.rows}, "
            f"digest {part.copied}): somebody changed them, or a disk fails: {target.removal}, and "
            "copy again from the start"
        )
        raise Differs(message)


def _due(before: Counters, counted: _Counted, state: State) -> Counters:
    """What the copy has to count: its rows, and what no row tells. What was not copied counts as purged."""
    left = {name: part.left.rows for name, part in state.parts.items()}
    more = Counter({name: before.totals.get(name, 0) for name in ("duplicates", "purged", "deliveries_purged")})
    more["purged"] += left["events"] + left["quarantine"]
    more["deliveries_purged"] += left["deliveries"]
    return Counters(+(counted.totals + more), dict(counted.deliveries), dict(counted.quarantine), before.sequence)


def _wrong(before: Counters, counted: _Counted) -> list[str]:
    """The counters that differ from the rows that they count."""
    told = {name: before.totals.get(name, 0) for name in ("routed", "unmatched", "unrouted", "quarantined")}
    found = {name: counted.totals[name] for name in told}
    pairs = [(name, told[name], found[name]) for name in told]
    for what, one, other in (
        ("deliveries", before.deliveries, counted.deliveries),
        ("bytes in quarantine", before.quarantine, counted.quarantine),
    ):
        names = sorted({*one, *other}, key=repr)
        pairs += [(f"{what} {_of(name)}", one.get(name, 0), other[name]) for name in names]
    return [f"{name}: {n} were counted, {m} are there" for name, n, m in pairs if n != m]


def _of(name: str | tuple[str, str]) -> str:
    return ascii(name) if isinstance(name, str) else " ".join(map(ascii, name))
