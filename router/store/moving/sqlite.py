"""A store in SQLite, as one end of a move."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from router.errors import StoreError
from router.failpoints import Failpoint, reached
from router.store.moving.side import LARGEST_PORTION, LARGEST_PORTION_BYTES, Counters, Line, Side
from router.store.sqlite import folder, keys, schema
from router.store.sqlite.database import Database, refuse_old_sqlite
from router.store.sqlite.queries import SQL
from router.store.sqlite.trouble import explain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from pathlib import Path

    from router.store.keys import SeenKey
    from router.store.moving.tables import Table, Value

#: Columns that SQLite has in another table.
_ELSEWHERE: Final = {
    ("attempts", "event_id"): "(SELECT event_id FROM deliveries WHERE deliveries.id = attempts.delivery_id)",
}


class SqliteSide(Side):
    """A database file, and the folder that is its own."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._folder = self.path.parent
        self._lock = folder.FolderLock(self._folder)
        self._database = Database(self.path)
        self._texts = _Texts()
        self._reader: sqlite3.Connection
        self._writer: sqlite3.Connection
        self._open: list[sqlite3.Connection] = []

    @override
    def __str__(self) -> str:
        return f"sqlite:///{self.path}"

    @override
    async def open_from(self) -> None:
        if not self.path.exists():
            message = f"there is no database {self.path}: name the one that a router has written"
            raise StoreError(message)
        with self._explained():
            refuse_old_sqlite()
            self._lock.acquire()
            self._read_from()
            schema.refuse_other(self._reader, self)
            schema.refuse_half_copy(self._reader, self)

    @override
    async def open_to(self) -> None:
        with self._explained():
            refuse_old_sqlite()
            folder.make(self._folder)
            self._lock.acquire()
            self._database.create()
            self._writer = self._database.connect()
            self._open.append(self._writer)
            if schema.is_new(self._writer):
                schema.migrate(self._writer)
            schema.refuse_other(self._writer, self)
            self._read_from()
            folder.sync(self._folder)

    def _read_from(self) -> None:
        self._reader = self._database.connect(only_reads=True)
        self._open.append(self._reader)
        self._reader.text_factory = self._texts

    @override
    async def close(self) -> None:
        while self._open:
            self._open.pop().close()
        self._lock.release()

    @override
    async def at_rest(self) -> None:
        """The lock on the folder says so."""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise explain(error, self.path) from error

    # --- reading ---

    @override
    async def key(self) -> SeenKey:
        with self._explained():
            return keys.found(self._reader, self._folder)

    @override
    async def count(self, table: Table) -> int:
        with self._explained():
            return int(self._reader.execute(f"SELECT count(*) FROM {table.name}").fetchone()[0])  # noqa: S608 - ours

    @override
    async def lines(self, table: Table, after: Sequence[Value] | None = None) -> AsyncGenerator[list[Line]]:
        """One statement for all of them: what damage made of a key is found all the same, where it lies."""
        key = ", ".join(f"{table.name}.{column}" for column in table.key)
        behind = f"WHERE ({key}) > ({', '.join('?' * len(table.key))}) " if after is not None else ""
        columns = ", ".join(_ELSEWHERE.get((table.name, column), column) for column in table.columns)
        statement = f"SELECT {key}, {columns} FROM {table.name} {behind}ORDER BY {key}"  # noqa: S608 - ours
        with self._explained(), closing(self._reader.execute(statement, tuple(after or ()))) as cursor:
            while lines := await asyncio.to_thread(self._portion, cursor, len(table.key)):
                yield lines

    def _portion(self, cursor: sqlite3.Cursor, keys: int) -> list[Line]:
        lines: list[Line] = []
        size = 0
        while len(lines) < LARGEST_PORTION and size < LARGEST_PORTION_BYTES:
            self._texts.mended = False
            found = cursor.fetchone()
            if found is None:
                break
            row = tuple(found)
            lines.append(Line(row[:keys], row[keys:], is_mended=self._texts.mended))
            size += sum(len(value) for value in row if isinstance(value, str | bytes))
        return lines

    @override
    async def counters(self) -> Counters:
        with self._explained():
            return self._counted(self._reader)

    def _counted(self, connection: sqlite3.Connection) -> Counters:
        totals, deliveries, sizes = (
            connection.execute(SQL[name]).fetchall() for name in ("totals", "delivery_totals", "quarantine_sizes")
        )
        return Counters.of(totals, deliveries, sizes, connection.execute(SQL["last_sequence"]).fetchone()["n"])

    # --- writing ---

    @override
    async def half(self) -> str | None:
        with self._explained():
            return schema.half_copy(self._writer)

    @override
    async def begin(self, noted: str, key: SeenKey) -> None:
        with self._explained():
            keys.take_over(self._folder, key)
            with self._transaction() as connection:
                keys.prove(connection, key)
                connection.execute(SQL["add_half_copy"])
                connection.execute(SQL["begin_half_copy"], {"noted": noted})

    @override
    async def write(self, table: Table, lines: Sequence[Line], note: Callable[[Sequence[Line]], str]) -> Sequence[Line]:
        columns = [column for column in table.columns if (table.name, column) not in _ELSEWHERE]
        places = [table.place(column) for column in columns]
        statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - ours
        with self._explained():
            with self._transaction() as connection:
                left = _insert(connection, statement, places, lines)
                connection.execute(SQL["note_half_copy"], {"noted": note(left)})
            connection.execute(SQL["move_log"]).fetchall()
        return left

    @override
    async def finish(self, counters: Counters) -> None:
        with self._explained():
            with self._transaction() as connection:
                for name in ("duplicates", "purged", "deliveries_purged"):
                    connection.execute(SQL["set_total"], {"name": name, "n": counters.totals.get(name, 0)})
                connection.execute(SQL["forget_sequence"])
                connection.execute(SQL["set_sequence"], {"n": counters.sequence})
                if self._counted(connection) != counters:
                    message = f"{self} has counted otherwise than its rows are; this is a bug in aftercall"
                    raise StoreError(message)
                connection.execute(SQL["end_half_copy"])
            with suppress(StoreError):
                self._database.empty_log(connection)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._writer
        connection.execute(SQL["begin"])
        try:
            yield connection
            reached(Failpoint.IN_COPY)
            connection.execute(SQL["commit"])
        except BaseException:
            if connection.in_transaction:
                connection.execute(SQL["rollback"])
            raise


class _Texts:
    """Reads texts as the router does, and knows whether one was none."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, stored: bytes) -> str:
        try:
            return stored.decode()
        except UnicodeDecodeError:
            self.mended = True
            return stored.decode(errors="replace")


def _insert(connection: sqlite3.Connection, statement: str, places: Sequence[int], lines: Sequence[Line]) -> list[Line]:
    """Write these, by halves where one of them cannot be; those that could not."""
    connection.execute(SQL["begin_operation"])
    try:
        connection.executemany(statement, ([line.row[place] for place in places] for line in lines))
    except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError):
        connection.execute(SQL["undo_operation"])
    else:
        connection.execute(SQL["end_operation"])
        return []
    connection.execute(SQL["end_operation"])
    if len(lines) == 1:
        return list(lines)
    middle = len(lines) // 2
    return [
        *_insert(connection, statement, places, lines[:middle]),
        *_insert(connection, statement, places, lines[middle:]),
    ]
