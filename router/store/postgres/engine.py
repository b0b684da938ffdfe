"""The store in PostgreSQL: each call of the contract becomes a write for the writer, or a look for the readers.

Writes are answered when they are durable (`writer`); reads see one snapshot and never wait for writes (`readers`). Any
number of routers may have the same database: what must be so among them, its constraints and locks decide.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from typing_extensions import override

from router.store.arrivals import Acceptance, Unread
from router.store.asked import Asked
from router.store.effort import Effort
from router.store.lines import RouterLine, StoredEvent
from router.store.postgres import looking, memos, months, presence, putting_right, schema, sending_out, taking_in
from router.store.postgres.months import Month
from router.store.postgres.presence import Presence
from router.store.postgres.readers import Readers
from router.store.postgres.server import Server
from router.store.postgres.sweep import Sweep
from router.store.postgres.writer import CONNECTIONS, Writer, check
from router.store.rows import stored_event
from router.store.settlements import losing, settled
from router.store.values import Accepted, Arrival, Card, Claim, Duplicate, Purged, Quarantined, Retaken, Settlement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from datetime import datetime

    from asyncpg import Connection

    from router.delivery import LaneRow
    from router.store.keys import SeenKey
    from router.store.postgres.place import Place

T = TypeVar("T")

#: Seconds that what changes many rows may take.
_PATIENCE: Final = 60.0
#: Seconds that migrations may take, and the wait for another router's: cut short, the next start would begin anew.
_MIGRATING: Final = 3600.0
#: How long a month waits to be made or dropped that somebody was in the way of: everybody waits while it is tried.
TRY_AGAIN: Final = timedelta(minutes=1)


@asynccontextmanager
async def open_store(
    place: Place,
    *,
    parse: Callable[[bytes], Any],
    name: str = "router",
    waits: float = presence.WAITS,
    silent: float = presence.SILENT,
    told: Callable[[str], object] = lambda _: None,
    waiting: int = 2_000,
    patience: float = 5.0,
    connections: int = CONNECTIONS,
) -> AsyncIterator[PostgresStore]:
    """The store in this database, until the end of the block; its tables are made if missing.

    `parse` gives an event's `raw` from its body; where it raises, `raw` is None. Nobody else may have `name` in this
    database: where somebody does, `told` hears of it, and after `waits` seconds `NameTaken` is raised, unless that was
    not seen to beat for `silent` seconds. `waiting` writes may wait for a commit, which may take `patience` seconds:
    then it is not known to be stored. `connections` of the store write. Raises `StoreError` where the store cannot be
    used as it is; the message says what to do.
    """
    store = PostgresStore(
        place,
        parse=parse,
        name=name,
        waits=waits,
        silent=silent,
        told=told,
        waiting=waiting,
        patience=patience,
        connections=connections,
    )
    try:
        await store.open()
        yield store
    finally:
        await store.close()


class PostgresStore(Asked):
    """See `Store` for what each call promises, and `open_store` for how to get one."""

    is_alone = False
    _looking = looking
    _putting_right = putting_right
    _sending_out = sending_out
    _memos = memos

    def __init__(
        self,
        place: Place,
        *,
        parse: Callable[[bytes], Any],
        name: str,
        waits: float,
        silent: float,
        told: Callable[[str], object],
        waiting: int,
        patience: float,
        connections: int,
    ) -> None:
        super().__init__()
        self.effort = Effort()
        self._parse = parse
        self.server = Server(place, name)
        self.presence = Presence(self.server, waits=waits, silent=silent, patience=patience, waiting=told)
        self.readers = Readers(self.server)
        self.writer = Writer(self.server, self.effort, waiting=waiting, patience=patience, connections=connections)
        self._key: SeenKey
        self._sweep = Sweep()
        #: Months whose partitions are there.
        self._months = set[Month]()
        #: When somebody was in the way of making one: it is made ahead, so that it has time.
        self._not_made_at: datetime | None = None
        #: Somebody was in the way of dropping one, which waits until this time of the loop.
        self._not_dropped_until = 0.0

    @override
    def __repr__(self) -> str:
        return f"<PostgresStore {self.server.place}>"

    # --- opening and closing ---

    async def open(self) -> None:
        """Open the first connection, and bring the database to the newest version."""
        session = await self.server.connect()
        try:
            with session.within(_MIGRATING):
                async with schema.locked(session.connection):
                    await schema.refuse_half_copy(session.connection, self.server.place)
                    await schema.migrate(session.connection, self.server.place)
                    self._key = await schema.key(session.connection)
        except Exception as error:  # noqa: BLE001 - told to whoever opens the store
            session.give_up()
            raise session.explain(error) from None
        try:
            await self.presence.begin()
        except BaseException:
            session.give_up()
            raise
        await self.writer.start(session)

    @override
    async def close(self) -> None:
        await self.writer.stop()
        await self.readers.close()
        await self.presence.end()  # last: whoever gets the name takes back what is claimed by it

    # --- who is there ---

    @property
    @override
    def keeps_house(self) -> bool:
        return self.presence.keeps_house

    @property
    @override
    def has_name(self) -> bool:
        return self.presence.has_name

    @override
    async def beat(self, card: Card, *, now: datetime) -> datetime:
        return await self.presence.beat(card)

    @override
    async def routers(self) -> Sequence[RouterLine]:
        return await self.readers.read(partial(presence.routers, here=self.presence.run))

    @override
    async def make_ready(self, *, now: datetime) -> None:
        missing = [month for month in (Month.of(now), Month.of(now).next) if month not in self._months]
        if not missing or (self._not_made_at and self._not_made_at <= now < self._not_made_at + TRY_AGAIN):
            return
        self._not_made_at = None
        for month in missing:
            try:
                await self._write(partial(months.make, month=month))
            except months.InTheWay:  # what comes goes into the default partition, until the next time
                self._not_made_at = now
                return
            self._months.add(month)

    async def _write(self, operation: Callable[[Connection], Awaitable[T]], *, large: bool = False) -> T:
        return await (self.writer.run(operation, patience=_PATIENCE) if large else self.writer.run(operation))

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
        answer: Accepted | Duplicate = await self.writer.write(
            taking_in.ACCEPT, acceptance, weight=acceptance.weight, intake=True
        )
        return answer

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
        return await self.writer.run(partial(taking_in.quarantine, unread=unread), weight=unread.weight, intake=True)

    # --- sending out ---

    @override
    async def _work(self, function: Callable[[], T]) -> T:
        return await self.readers.work(function)

    @override
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        in_time: bool = await self.writer.write(sending_out.SETTLE, settled(claim, settlement))
        return in_time

    @override
    async def retake(self, *, now: datetime, over: datetime | None = None, left_behind: bool = False) -> Retaken:
        lost = losing(now, over=over or now, left_behind=left_behind)
        return await self._write(partial(sending_out.retake, lost=lost), large=True)

    @override
    async def clock_was_set(
        self, *, before: datetime, now: datetime, memo: str, was: bytes | None, content: bytes
    ) -> bool:
        kept = {"name": memo, "content": content}
        return await self._write(
            partial(sending_out.clock_was_set, before=before, now=now, was=was, kept=kept), large=True
        )

    @override
    async def lanes(self) -> dict[str, LaneRow]:
        return await self.readers.read(sending_out.lanes)

    @override
    async def set_lane(self, row: LaneRow, *, now: datetime) -> LaneRow | None:
        return await self._write(partial(sending_out.set_lane, lane=row, now=now), large=True)

    @override
    async def due(self, sinks: Collection[str], *, now: datetime) -> frozenset[str]:
        return await self.readers.read(partial(sending_out.due, sinks=sinks, now=now))

    # --- putting right ---

    @override
    async def read_again(self, quarantine_id: str, arrival: Arrival) -> Accepted | Duplicate:
        acceptance = Acceptance.of(arrival, self._key)
        again = partial(putting_right.read_again, quarantine_id=quarantine_id, acceptance=acceptance)
        return await self.writer.run(again, weight=acceptance.weight)

    @override
    async def purge(
        self, *, events: datetime | None, quarantine: datetime | None, seen: datetime | None, limit: int = 500
    ) -> Purged:
        before, put_off = events if limit > 0 else None, asyncio.get_running_loop().time() < self._not_dropped_until
        if before is not None and not put_off and (purged := await self._drop_months(before)):
            return purged
        old: list[str] = []
        if before is not None:
            find = partial(self._sweep.next, before=before, limit=limit, largest=putting_right.LARGEST_PURGE)
            old = await self.readers.read(find)
        remove = partial(putting_right.purge, events=old, quarantine=quarantine, seen=seen, limit=limit)
        purged = await self._write(remove, large=True)
        if before is not None and put_off and not purged:
            return await self._drop_months(before)
        return purged

    async def _drop_months(self, before: datetime) -> Purged:
        """Drop the first month that is old enough and had anything, and those before it that had nothing.

        Where somebody reads it, its rows are removed one by one for a minute, or until there are none, before it is tried
        again: while a drop waits for its locks, everybody waits behind it.
        """
        self._not_dropped_until = 0.0
        for month in await self.readers.read(partial(months.old, before=before)):
            try:
                purged = await self._write(partial(months.drop, month=month), large=True)
            except months.InTheWay:
                self._not_dropped_until = asyncio.get_running_loop().time() + TRY_AGAIN.total_seconds()
                break
            except months.StillOwed:
                continue
            self._months.discard(month)
            if purged:
                return purged
        return Purged()

    # --- looking ---

    @override
    async def room(self) -> None:
        return None

    @override
    async def event(self, event_id: str) -> StoredEvent | None:
        row = await self.readers.read(partial(looking.event, event_id=event_id))
        return None if row is None else await self.readers.work(partial(stored_event, row, self._parse))

    @override
    async def check(self) -> None:
        await self.writer.run(check, intake=True)
