"""The store in SQLite: each call of the contract becomes an operation for the writer, or a look for the readers.

Writes are answered when they are durable (`writer`); reads see one snapshot and never wait for writes (`readers`).
"""

from __future__ import annotations

import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import PydanticSerializationError
from typing_extensions import override

from router.errors import StoreError
from router.store.base import (
    ANY,
    Accepted,
    Arrival,
    AttemptLine,
    ChannelLine,
    Claim,
    Claims,
    DeliveryLine,
    Duplicate,
    Effort,
    EventLine,
    Owed,
    Page,
    Purged,
    Quarantined,
    QuarantinedBody,
    QuarantineLine,
    Retaken,
    Room,
    RoutedAgain,
    RoutedAs,
    Settlement,
    Store,
    StoredEvent,
    Summary,
    Wanted,
)
from router.store.sqlite import folder, keys, looking, putting_right, schema, sending_out, taking_in, trouble
from router.store.sqlite.database import Database, refuse_old_sqlite
from router.store.sqlite.queries import SQL
from router.store.sqlite.readers import Readers
from router.store.sqlite.reserve import Reserve
from router.store.sqlite.rows import micros
from router.store.sqlite.sweep import Sweep
from router.store.sqlite.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from router.delivery import DeliveryState, LaneRow

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


class SqliteStore(Store):
    """See `Store` for what each call promises, and `open_store` for how to get one."""

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
            before_close=self._leave,
            after_close=self._let_go,
            waiting=waiting,
        )
        self._key: keys.SeenKey
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
            schema.refuse_newer(connection)
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

    async def _write(self, operation: Callable[[sqlite3.Connection], T], *, weight: int = 0) -> T:
        return await self.writer.run(operation, weight=weight)

    # --- taking in ---

    @override
    async def accept(self, arrival: Arrival) -> Accepted | Duplicate:
        acceptance = self._acceptance(arrival)
        return await self.writer.run(acceptance.write, weight=acceptance.weight, intake=True)

    def _acceptance(self, arrival: Arrival) -> taking_in.Acceptance:
        try:
            return taking_in.Acceptance.of(arrival, self._key)
        except (UnicodeError, PydanticSerializationError):
            message = "a text of the call is not valid Unicode and cannot be stored"
            raise StoreError(message) from None

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
        kept = taking_in.Quarantine(source, body, digest, content_type, reason, now, room)
        return await self.writer.run(kept.write, weight=kept.weight, intake=True)

    # --- sending out ---

    @override
    async def claim(self, sink: str, *, limit: int, now: datetime, until: datetime, probe: bool = False) -> Claims:
        claim = partial(sending_out.claim, sink=sink, limit=limit, now=now, until=until, probe=probe)
        rows, next_due = await self._write(claim)
        if not rows:
            return Claims((), next_due)
        claims, damaged = await self.readers.work(partial(sending_out.claims_of, rows, until, self._parse))
        if damaged:
            await self._write(partial(sending_out.bury, damaged=damaged, now=now))
        return Claims(claims, next_due, tuple((row["id"], row["event_id"]) for row in damaged))

    @override
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        return await self._write(partial(sending_out.settle, claim=claim, settlement=settlement))

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
    async def replay(self, delivery_id: str, *, sink: str | None = None, now: datetime) -> str:
        return await self._write(partial(putting_right.replay, delivery_id=delivery_id, sink=sink, now=now))

    @override
    async def end(self, delivery_id: str, *, reason: str, now: datetime) -> None:
        await self._write(partial(putting_right.end, delivery_id=delivery_id, reason=reason, now=now))

    @override
    async def end_quarantined(self, quarantine_id: str, *, reason: str) -> None:
        await self._write(partial(putting_right.end_quarantined, quarantine_id=quarantine_id, reason=reason))

    @override
    async def read_again(self, quarantine_id: str, arrival: Arrival) -> Accepted | Duplicate:
        acceptance = self._acceptance(arrival)
        return await self._write(
            partial(putting_right.read_again, quarantine_id=quarantine_id, acceptance=acceptance),
            weight=acceptance.weight,
        )

    @override
    async def keep_unread(self, quarantine_id: str, *, reason: str) -> None:
        await self._write(partial(putting_right.keep_unread, quarantine_id=quarantine_id, reason=reason))

    @override
    async def route_again(
        self, event_id: str, *, routes: Sequence[str], rules: str, owed: Sequence[Owed], now: datetime
    ) -> RoutedAgain:
        routing = partial(putting_right.route_again, event_id=event_id, routes=routes, rules=rules, owed=owed, now=now)
        return await self._write(routing)

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
    async def summary(self) -> Summary:
        return await self.readers.read(looking.summary)

    @override
    async def backlog(self) -> dict[str, Mapping[str, int]]:
        return await self.readers.read(looking.backlog)

    @override
    async def unread(self) -> int:
        return await self.readers.read(looking.unread)

    @override
    async def oldest(self) -> dict[str, datetime]:
        return await self.readers.read(looking.oldest)

    @override
    async def room(self) -> Room:
        return await self.readers.work(lambda: self.database.room(self.reserve.left))

    @override
    async def quarantine_sizes(self) -> dict[str, int]:
        return await self.readers.read(looking.quarantine_sizes)

    @override
    async def event(self, event_id: str) -> StoredEvent | None:
        return await self.readers.read(partial(looking.event, event_id=event_id, parse=self._parse))

    @override
    async def events(
        self, *, routed: RoutedAs | None = None, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[EventLine]:
        return await self.readers.read(partial(looking.events, routed=routed, wanted=wanted, after=after, limit=limit))

    @override
    async def delivery(self, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]] | None:
        return await self.readers.read(partial(looking.delivery, delivery_id=delivery_id))

    @override
    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        sink: str | None = None,
        event_id: str | None = None,
        wanted: Wanted = ANY,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryLine]:
        if sink is not None:
            wanted = replace(wanted, sink=sink)
        look = partial(looking.deliveries, state=state, event_id=event_id, wanted=wanted, after=after, limit=limit)
        return await self.readers.read(look)

    @override
    async def quarantined(
        self, *, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[QuarantineLine]:
        return await self.readers.read(partial(looking.quarantined, wanted=wanted, after=after, limit=limit))

    @override
    async def quarantined_body(self, quarantine_id: str) -> QuarantinedBody | None:
        return await self.readers.read(partial(looking.quarantined_body, quarantine_id=quarantine_id))

    @override
    async def channels(self) -> Sequence[ChannelLine]:
        return await self.readers.read(looking.channels)

    @override
    async def heard(self, source: str) -> datetime | None:
        return await self.readers.read(partial(looking.heard, source=source))

    @override
    async def check(self) -> None:
        def count(connection: sqlite3.Connection) -> None:
            connection.execute(SQL["check"])

        await self.writer.run(count, intake=True)
