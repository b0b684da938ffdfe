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
from router.store.base import (
    Accepted,
    Arrival,
    Claim,
    Claims,
    Duplicate,
    Effort,
    Purged,
    Quarantined,
    Retaken,
    Room,
    Settlement,
    StoredEvent,
)
from router.store.rows import claims_of, micros
from router.store.settlements import buried, settled
from router.store.sqlite import folder, keys, looking, putting_right, schema, sending_out, taking_in, trouble
from router.store.sqlite.database import Database, refuse_old_sqlite
from router.store.sqlite.queries import SQL
from router.store.sqlite.readers import Readers
from router.store.sqlite.reserve import Reserve
from router.store.sqlite.sweep import Sweep
from router.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from router.delivery import LaneRow
    from router.store.keys import SeenKey

T = TypeVar("T")


@asynccontextmanager
async def open_store(
    path: Path, *, parse: Callable[[bytes], Any], waiting: int = 2_000, reserve: int = 0
) -> AsyncIterator[SqliteStore]:
    """The store in this database file, until the end of the block; both the file and its folder are made if missing.

    The folder is the store's own: its lock and the key of `seen` lie there too. `parse` gives an event's `raw` from
    its body; where it raises, `raw` is None. `waiting` writes may wait for the disk. `reserve`: bytes that stay free of calls, and
    as many again in a file (see `reserve`). Raises `StoreInUse` where
    another process has the folder, `StoreError` where the store cannot be used as it is; the message says what to do.
    """
    store = SqliteStore(path, parse=parse, waiting=waiting, reserve=reserve)
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class SqliteStore(Asked):
    """See `Store` for what each call promises, and `open_store` for how to get one."""

    is_alone = True
    keeps_house = True
    _looking = looking
    _putting_right = putting_right

    def __init__(self, path: Path, *, parse: Callable[[bytes], Any], waiting: int, reserve: int) -> None:
        self.effort = Effort()
        self._parse = parse
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
            before_close=self.readers.stop,
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
        connection = self.database.connect()
        try:
            schema.refuse_newer(connection)
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
        """What a crash left in the log is written anew, before anything is appended to it.

        After a failed fsync, the page cache may show what is not on the disk. It also ends what a purge before the
        crash began. A disk that is full may not keep the router from starting: it is told at the first write.
        """
        try:
            return self.database.empty_log(connection)
        except sqlite3.Error as error:
            if trouble.code(error) == sqlite3.SQLITE_FULL:
                return False
            raise

    def _let_go(self) -> None:
        """The last connection that closes moves what is left of the log, and removes it: a reader, not the writer.

        Where the writer failed to sync the log, it must not try that again through the descriptor on which it failed.
        """
        try:
            self.readers.close()
        finally:
            self._lock.release()

    def _open_again(self) -> sqlite3.Connection:
        self.database.verify()
        return self.database.connect()

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
    async def claim(self, sink: str, *, limit: int, now: datetime, until: datetime, probe: bool = False) -> Claims:
        claim = partial(sending_out.claim, sink=sink, limit=limit, now=now, until=until, probe=probe)
        rows, next_due = await self._write(claim)
        if not rows:
            return Claims((), next_due)
        claims, damaged = await self.readers.work(partial(claims_of, rows, until, self._parse))
        if damaged:
            await self._write(partial(_bury, damaged=damaged, now=now))
        return Claims(claims, next_due, tuple((row["id"], row["event_id"]) for row in damaged))

    @override
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        return await self._write(partial(sending_out.settle, row=settled(claim, settlement)))

    @override
    async def release(self, claim: Claim, *, now: datetime) -> bool:
        return await self._write(partial(sending_out.release, claim=claim, now=now))

    @override
    async def retake(self, *, now: datetime, everything: bool = False) -> Retaken:
        return await self._write(partial(sending_out.retake, now=now, everything=everything))

    @override
    async def clock_was_set(self, *, before: datetime, now: datetime) -> None:
        await self._write(partial(sending_out.clock_was_set, before=before, now=now))

    @override
    async def lanes(self) -> dict[str, LaneRow]:
        return await self.readers.read(sending_out.lanes)

    @override
    async def set_lane(self, row: LaneRow, *, now: datetime) -> None:
        await self._write(partial(sending_out.set_lane, lane=row, now=now))

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


def _bury(connection: sqlite3.Connection, *, damaged: Sequence[dict[str, Any]], now: datetime) -> None:
    for one in damaged:
        sending_out.settle(connection, buried(one, now))
