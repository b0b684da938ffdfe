"""A store in PostgreSQL, as one end of a move."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from typing_extensions import override

from router.errors import StoreError, StoreInUse
from router.failpoints import Failpoint, reached
from router.store.moving import postgres_rows
from router.store.moving.side import LARGEST_PORTION, LARGEST_PORTION_BYTES, Counters, Line, Side
from router.store.postgres import months, schema
from router.store.postgres.codecs import value_in
from router.store.postgres.months import InTheWay
from router.store.postgres.queries import SQL, execute, fetch, only
from router.store.postgres.server import Server, Session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

    from asyncpg import Connection

    from router.store.keys import SeenKey
    from router.store.moving.tables import Table, Value
    from router.store.postgres.months import Month
    from router.store.postgres.place import Place

#: Seconds that one statement may take; some look at a whole table.
_PATIENCE: Final = 900.0


class PostgresSide(Side):
    """A database, on one connection."""

    removal = schema.REMOVAL

    def __init__(self, place: Place) -> None:
        self._server = Server(place, program="aftercall copy-store")
        self._session: Session
        self._is_open = False
        #: Months whose partitions are there.
        self._months: set[Month] = set()

    @override
    def __str__(self) -> str:
        return str(self._server.place)

    @override
    async def open_from(self) -> None:
        await self._connect()
        async with self._explained() as connection:
            if not (await only(connection, "has_schema"))["there"]:
                message = f"there is no store in {self}: name the one that a router has written"
                raise StoreError(message)
            await schema.refuse_other(connection, self)
            await schema.refuse_half_copy(connection, self)

    @override
    async def open_to(self) -> None:
        await self._connect()
        async with self._explained() as connection, schema.locked(connection):
            if not (await only(connection, "has_schema"))["there"]:
                await schema.migrate(connection, self)
            await schema.refuse_other(connection, self)

    async def _connect(self) -> None:
        self._session = await self._server.connect()
        self._is_open = True
        async with self._explained() as connection:
            if not (await only(connection, "take_for_copy", {"lock": schema.COPY_LOCK}))["taken"]:
                message = f"another copy-store is at work in {self}, or it was named twice: wait for its end, or end it"
                raise StoreInUse(message)
        await self.at_rest()

    @override
    async def close(self) -> None:
        if self._is_open:
            await self._session.close()
        self._is_open = False

    @override
    async def at_rest(self) -> None:
        async with self._explained() as connection:
            others = (await only(connection, "routers_connected"))["n"]
            if others:
                message = (
                    f"{self} is in use by a router ({others} connections of one, or of several): stop them all first"
                )
                raise StoreInUse(message)

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[Connection]:
        session = self._session
        try:
            with session.within(_PATIENCE):
                yield session.connection
        except Exception as error:  # noqa: BLE001 - told to whoever moves
            raise session.explain(error) from None

    # --- reading ---

    @override
    async def key(self) -> SeenKey:
        async with self._explained() as connection:
            return await schema.key(connection)

    @override
    async def count(self, table: Table) -> int:
        async with self._explained() as connection:
            return int(await connection.fetchval(f"SELECT count(*) FROM {_from(table)}"))  # noqa: S608 - ours

    @override
    async def lines(self, table: Table, after: Sequence[Value] | None = None) -> AsyncGenerator[list[Line]]:
        key = table.postgres_key or table.key
        places = [table.place(column) for column in key]
        while True:
            async with self._explained() as connection:
                found = await _portion(connection, table, key, after)
            if not found:
                return
            lines = [Line(tuple(row[place] for place in places), postgres_rows.read(table, row)) for row in found]
            after = lines[-1].key
            yield lines

    @override
    async def counters(self) -> Counters:
        async with self._explained() as connection:
            return await _counted(connection)

    # --- writing ---

    @override
    async def half(self) -> str | None:
        async with self._explained() as connection:
            return await schema.half_copy(connection)

    @override
    async def begin(self, noted: str, key: SeenKey) -> None:
        # A router that starts now waits for this lock, and finds half a copy; one that was faster is seen.
        async with self._explained() as connection, schema.locked(connection):
            await self.at_rest()
            async with self._transaction():
                await execute(connection, "forget_seen_key")
                await fetch(connection, "set_seen_key", {"key": key.key})
                await execute(connection, "add_half_copy")
                await fetch(connection, "begin_half_copy", {"noted": noted})

    @override
    async def write(self, table: Table, lines: Sequence[Line], note: Callable[[Sequence[Line]], str]) -> Sequence[Line]:
        if table.name == "events":
            await self._make_months(table, lines)
        left, fit = list[Line](), list[Line]()
        for line in lines:
            (fit if postgres_rows.fits(table, line.row) else left).append(line)
        async with self._transaction() as connection:
            left += await _insert(connection, table, fit)
            await fetch(connection, "note_half_copy", {"noted": note(left)})
        return left

    async def _make_months(self, table: Table, lines: Sequence[Line]) -> None:
        """Partitions for what is in the portion; what damage gave a time to that is not its own is of none."""
        id_, received_at = table.place("id"), table.place("received_at")
        found = {postgres_rows.month_of(line.row[id_], line.row[received_at]) for line in lines} - {None} - self._months
        for month in sorted(found):  # type: ignore[type-var] # none of them is None
            async with self._explained() as connection:
                with suppress(InTheWay):  # it goes into the default partition, until a router makes the month
                    await months.make(connection, month)  # type: ignore[arg-type] # as above
            self._months.add(month)  # type: ignore[arg-type] # as above

    @override
    async def finish(self, counters: Counters) -> None:
        session = self._session
        warnings = session.warnings
        async with self._transaction() as connection:
            await execute(connection, "forget_totals")
            for name in ("duplicates", "purged", "deliveries_purged"):
                await fetch(connection, "add_to_total", {"name": name, "n": counters.totals.get(name, 0)})
            await fetch(connection, "set_sequence", {"n": counters.sequence})
            if await _counted(connection) != counters:
                message = f"{self} has counted otherwise than its rows are; this is a bug in aftercall"
                raise StoreError(message)
            await execute(connection, "end_half_copy")
        if session.warnings > warnings:  # the wait for a standby was cancelled
            message = f"{self}: the server has not confirmed that a standby has all of the copy: look at its standbys"
            raise StoreError(message)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with self._explained() as connection, connection.transaction():
            yield connection
            reached(Failpoint.IN_COPY)


def _from(table: Table) -> str:
    """Where to read it from: channels are added up."""
    return f"({SQL['channels'].text.rstrip(';')}) AS channels" if table.name == "channels" else table.name


async def _portion(
    connection: Connection, table: Table, key: Sequence[str], after: Sequence[Value] | None
) -> list[Any]:
    given = [value_in(value) for value in after or ()]
    names = ", ".join(key)
    behind = f"WHERE ({names}) > ({', '.join(f'${n + 1}' for n in range(len(key)))}) " if after is not None else ""
    end = f"FROM {_from(table)} {behind}ORDER BY {names} LIMIT ${len(given) + 1}"
    limit = LARGEST_PORTION
    if table.large:
        size = " + ".join(f"octet_length({column})" for column in table.large)
        limit = _enough(await connection.fetch(f"SELECT {size} AS size {end}", *given, limit))
    return await connection.fetch(f"SELECT {', '.join(table.columns)} {end}", *given, limit)


def _enough(rows: Sequence[Any]) -> int:
    """How many of these rows are a portion."""
    size = 0
    for n, row in enumerate(rows):
        size += row["size"]
        if size >= LARGEST_PORTION_BYTES:
            return n + 1
    return len(rows)


async def _counted(connection: Connection) -> Counters:
    totals, deliveries, sizes = [
        await fetch(connection, name) for name in ("totals", "delivery_totals", "quarantine_sizes")
    ]
    return Counters.of(totals, deliveries, sizes, (await only(connection, "last_sequence"))["n"])


async def _insert(connection: Connection, table: Table, lines: Sequence[Line]) -> list[Line]:
    """Write these, by halves where one of them cannot be; those that could not."""
    if not lines:
        return []
    records = [postgres_rows.stored(table, line.row) for line in lines]
    columns = postgres_rows.columns(table)
    try:
        async with connection.transaction():
            await connection.copy_records_to_table(
                table.name, records=records, columns=columns, schema_name="aftercall"
            )
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, OverflowError):
        if len(lines) == 1:
            return list(lines)
    else:
        return []
    middle = len(lines) // 2
    return [*await _insert(connection, table, lines[:middle]), *await _insert(connection, table, lines[middle:])]
