"""The store in SQLite: each call of the contract becomes an operation for the writer, or a look for the readers.

Writes are answered when they are durable (`writer`); reads see one snapshot and never wait for writes (`readers`).
"""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from router.errors import StoreError
from router.store.arrivals import Acceptance, Unread
from router.store.asked import Asked
from router.store.effort import Effort
from router.store.lines import Room, RouterLine, StoredEvent
from router.store.rows import micros
from router.store.settlements import losing, settled
from router.store.sqlite import folder, keys, looking, memos, putting_right, schema, sending_out, taking_in, trouble
from router.store.sqlite.database import Database, refuse_old_sqlite
from router.store.sqlite.queries import SQL
from router.store.sqlite.readers import Readers
from router.store.sqlite.reserve import Reserve
from router.store.sqlite.sweep import Sweep
from router.store.sqlite.writer import Writer
from router.store.values import Accepted, Arrival, Card, Claim, Duplicate, Purged, Quarantined, Retaken, Settlement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from router.delivery import LaneRow
    from router.store.keys import SeenKey

T = TypeVar("T")


@asynccontextmanager
async def open_store(
    path: Path, *, parse: Callable[[bytes], Any], name: str = "router", waiting: int = 2_000, reserve: int = 0
) -> AsyncIterator[SqliteStore]:
    """The store in this database file, until the end of the block; both the file and its folder are made if missing.

    The folder is the store's own: its lock and the key of `seen` lie there too. `parse` gives an event's `raw` from
    its body; where it raises, `raw` is None. `name`: what the router is called. `waiting` writes may wait for the disk.
    `reserve`: bytes that stay free of calls, and as many again in a file (see `reserve`). Raises `StoreInUse` where
    another process has the folder, `StoreError` where the store cannot be used as it is; the message says what to do.
    """
    store = SqliteStore(path, parse=parse, name=name, waiting=waiting, reserve=reserve)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class SqliteStore(Asked):
    """See `Store` for what each call promises, and `open_store` for how to get one."""

    is_alone = True
    has_name = keeps_house = True
    _looking = looking
    _putting_right = putting_right
    _sending_out = sending_out
    _memos = memos

    def __init__(self, path: Path, *, parse: Callable[[bytes], Any], name: str, waiting: int, reserve: int) -> None:
        super().__init__()
        self.effort = Effort()
        self._parse = parse
        self._name = name
        self._line: RouterLine | None = None
        self._folder = path.absolute().parent
        self._lock = folder.FolderLock(self._folder)
        self.database = Database(self._folder / path.name)
        self.readers = Readers(self.database)
        self.reserve = Reserve(self._folder / "reserve", reserve)
        self.writer = Writer(
            self.database,
            self.reserve,
            self.effort,
            open_first=self._open_first,
            open_again=self._open_again,
            before_close=self._leave,
            after_close=self._let_go,
            waiting=waiting,
        )
        self._key: SeenKey
        self._sweep = Sweep()
        #: Something was removed, and a copy of it may still be in the log.
        self._remains = False

    @override
    def __repr__(self) -> str:
        return f"<SqliteStore {self.database.path}>"

    # --- opening and closing ---

    async def open(self) -> None:
        """Open the folder and the database, on the writer's thread."""
        await self.writer.start()

    @override
    async def close(self) -> None:
        await self.writer.stop()

    def _open_first(self) -> sqlite3.Connection:
        try:
            refuse_old_sqlite()
            folder.make(self._folder)
            self._lock.acquire()
            return self.reserve.spend(self._open_database)
        except StoreError:
            raise
        except Exception as error:
            raise self.database.explain(error) from error

    def _open_database(self) -> sqlite3.Connection:
        self.database.create()
        self.database.make_sure()
        connection = self.database.connect()
        try:
            schema.refuse_newer(connection, self.database.path)
            schema.refuse_half_copy(connection, self.database.path)
            self._remains = not self._emptied(connection)
            schema.migrate(connection)
            self._key = keys.load(connection, self._folder)
            self.readers.open()
            folder.sync(self._folder)
            self.database.remember(self._lock.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _emptied(self, connection: sqlite3.Connection) -> bool:
        """End what a purge before a crash began: nothing of the log is left.

        A disk that is full may not keep the router from starting: it is told at the first write.
        """
        try:
            return self.database.empty_log(connection)
        except sqlite3.Error as error:
            if trouble.code(error) == sqlite3.SQLITE_FULL:
                return False
            raise

    def _leave(self, connection: sqlite3.Connection | None) -> None:
        """Leave a database file that needs no log; where that fails, the log stays, and the next start reads it.

        The last connection that closes removes the log: the writer's, after it has emptied it. Otherwise that is a
        reader's, which cannot. Where a sync failed, nobody tries it again through the descriptor on which it did.
        """
        self.readers.stop()
        if connection is not None and self.database.empty_log(connection):
            self.readers.close()

    def _let_go(self) -> None:
        try:
            self.readers.close()
        finally:
            self._lock.release()

    def _open_again(self) -> sqlite3.Connection:
        self.database.verify()
        if self.database.in_doubt:
            self.reserve.spend(self._make_sure)
        return self.database.connect()

    def _make_sure(self) -> None:
        with self.readers.away():
            self.database.make_sure()
        self.database.in_doubt = False

    # --- who is there ---

    @override
    async def beat(self, card: Card, *, now: datetime) -> None:
        self._line = RouterLine(
            name=self._name,
            alive=True,
            here=True,
            keeps_house=True,
            holds=card.holds,
            version=card.version,
            rules=card.rules,
            started_at=self._line.started_at if self._line else now,
            seen_at=now,
            ahead=card.ahead,
        )

    @override
    async def routers(self) -> Sequence[RouterLine]:
        return [self._line] if self._line else []

    @override
    async def make_ready(self, *, now: datetime) -> None:
        pass

    async def _write(self, operation: Callable[[sqlite3.Connection], T], *, weight: int = 0) -> T:
        return await self.writer.run(operation, weight=weight)

    @override
    async def _look(self, function: Any, **given: Any) -> Any:
        return await self.readers.read(partial(function, **given))

    @override
    async def _put(self, function: Any, **given: Any) -> Any:
        return await self._write(partial(function, **given))

    # --- taking in ---

    @override
    async def accept(self, arrival: Arrival) -> Accepted | Duplicate:
        acceptance = Acceptance.of(arrival, self._key)
        write = partial(taking_in.accept, acceptance=acceptance)
        return await self.writer.run(write, weight=acceptance.weight, intake=True)

    @override
    async def quarantine(
        self,
        *,
        source: str,
        body: bytes,
        digest: bytes,
        content_type: str | None,
        reason: str,
        now: datetime,
        room: int | None = None,
    ) -> Quarantined:
        unread = Unread(source, body, digest, content_type, reason, now, room)
        write = partial(taking_in.quarantine, unread=unread)
        return await self.writer.run(write, weight=unread.weight, intake=True)

    # --- sending out ---

    @override
    async def _work(self, function: Callable[[], T]) -> T:
        return await self.readers.work(function)

    @override
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        return await self._write(partial(sending_out.settle, row=settled(claim, settlement)))

    @override
    async def retake(self, *, now: datetime, over: datetime | None = None, left_behind: bool = False) -> Retaken:
        lost = losing(now, over=over or now, left_behind=left_behind)
        return await self._write(partial(sending_out.retake, lost=lost))

    @override
    async def clock_was_set(
        self, *, before: datetime, now: datetime, memo: str, was: bytes | None, content: bytes
    ) -> bool:
        kept = {"name": memo, "content": content}
        return await self._write(partial(sending_out.clock_was_set, before=before, now=now, was=was, kept=kept))

    @override
    async def lanes(self) -> dict[str, LaneRow]:
        return await self.readers.read(sending_out.lanes)

    @override
    async def set_lane(self, row: LaneRow, *, now: datetime) -> LaneRow | None:
        return await self._write(partial(sending_out.set_lane, lane=row, now=now))

    @override
    async def due(self, sinks: Collection[str], *, now: datetime) -> frozenset[str]:
        return await self.readers.read(partial(sending_out.due, sinks=sinks, now=now))

    # --- putting right ---

    @override
    async def read_again(self, quarantine_id: str, arrival: Arrival) -> Accepted | Duplicate:
        acceptance = Acceptance.of(arrival, self._key)
        return await self._write(
            partial(putting_right.read_again, quarantine_id=quarantine_id, acceptance=acceptance),
            weight=acceptance.weight,
        )

    @override
    async def purge(
        self, *, events: datetime | None, quarantine: datetime | None, seen: datetime | None, limit: int = 500
    ) -> Purged:
        def find(connection: sqlite3.Connection, before: datetime) -> Sequence[Mapping[str, int]]:
            largest = self.reserve.within(putting_right.LARGEST_PURGE)
            return self._sweep.next(connection, before=micros(before), limit=limit, largest=largest)

        old = [] if events is None or limit <= 0 else await self.readers.read(partial(find, before=events))

        def remove(connection: sqlite3.Connection) -> Purged:
            largest = self.reserve.within(putting_right.LARGEST_PURGE)
            purged = putting_right.purge(
                connection, events=old, quarantine=quarantine, seen=seen, limit=limit, largest=largest
            )
            self._remains = self._remains or bool(purged)
            return purged

        purged = await self._write(remove)
        if not purged and self._remains and not await self.writer.run(self._end_remains, alone=True):
            message = f"{self.database.log}: purged calls are still in it, because another program reads: end that"
            raise StoreError(message)
        return purged

    def _end_remains(self, connection: sqlite3.Connection) -> bool:
        emptied = self.database.empty_log(connection)
        self._remains = self._remains and not emptied
        return emptied

    # --- looking ---

    @override
    async def room(self) -> Room:
        return await self.readers.work(lambda: self.database.room(self.reserve.left))

    @override
    async def event(self, event_id: str) -> StoredEvent | None:
        return await self.readers.read(partial(looking.event, event_id=event_id, parse=self._parse))

    @override
    async def check(self) -> None:
        def count(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["check"])

        await self.writer.run(count, intake=True)
