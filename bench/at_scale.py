"""What is measured beside so many stored calls, all of it through the engine, as a router asks it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Final

import asyncpg

from database import Database
from filling import MONTHS, NOW, SINKS, arrival, ended, opened, wait
from router.delivery import DeliveryState
from router.store.lines import Wanted
from router.store.postgres import months
from router.store.postgres.engine import TRY_AGAIN, PostgresStore
from router.store.postgres.months import Month
from router.store.values import Accepted, Duplicate, Owed, RoutedAs

#: How many calls are taken in, and by how many at once.
_CALLS: Final = 6_000
_AT_ONCE: Final = 64
#: How many deliveries are claimed and settled, in portions as a busy lane claims them.
_DELIVERIES: Final = 10_000
_PORTION: Final = 10
#: How often each list is looked at.
_LOOKS: Final = 30
#: Calls a second while months go.
_RATE: Final = 100


@dataclass(frozen=True, slots=True)
class Times:
    """How long each of many took, in seconds, and how many of what matters were done in a second."""

    rate: float
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: list[float], done: int, lasted: float) -> Times:
        ordered = sorted(seconds)
        return cls(done / lasted, median(ordered), ordered[int(0.99 * len(ordered))])

    def cells(self) -> tuple[str, str, str]:
        return f"{self.rate:,.0f}", f"{1000 * self.p50:.1f}", f"{1000 * self.p99:.1f}"


@dataclass(frozen=True, slots=True)
class Going:
    """How old months go; seconds."""

    calls: int
    drops: tuple[float, ...]
    #: What a call waited for its answer, at most: while months go, and while somebody reads who is in their way.
    longest: float
    longest_beside_a_look: float
    one_by_one: float
    makes: float

    def cells(self) -> list[str]:
        seconds = (median(self.drops), self.longest, self.longest_beside_a_look, self.one_by_one, self.makes)
        return [f"{self.calls:,}", *(f"{1000 * one:.0f}" for one in seconds)]


@dataclass(frozen=True, slots=True)
class Size:
    """What it is like beside so many stored calls."""

    calls: int
    gib: float
    accepts: Times
    #: KiB that the server's log grew by, for a call that comes, is claimed and delivered.
    wal: float
    #: Calls that came before.
    again: Times
    claims: Times
    #: The same while somebody looks at one snapshot all the time, as pg_dump does.
    beside_a_look: Times
    looks: Mapping[str, float]
    going: Going


async def measured(database: Database, calls: int, pending: int) -> Size:
    gib = await database.ask("SELECT pg_database_size(current_database())") / 2**30
    async with opened(database) as store:
        await store.make_ready(now=NOW)
        waiting = await wait(store, pending)
        await _adds_up(store, calls + waiting, pending)
        await database.ask("CHECKPOINT")
        logged = await database.ask("SELECT pg_current_wal_lsn() - '0/0'")
        taken = await accepts(store)
        wal = float(await database.ask("SELECT pg_current_wal_lsn() - '0/0'") - logged) / _CALLS / 1024
        again = await accepts(store, known=True)
        claimed = await claims(store)
        async with _looking(database):
            beside = await claims(store)
        looks = await _looks(database, store)
        going = await _going(database, store, calls)
    return Size(calls, gib, taken, wal, again, claimed, beside, looks, going)


async def _adds_up(store: PostgresStore, calls: int, pending: int) -> None:
    found = await store.summary()
    if (found.received, found.events, found.deliveries["pending"]) != (calls, calls, pending):
        raise SystemExit(f"The database was not filled as it should be: {found}")


async def accepts(store: PostgresStore, *, known: bool = False) -> Times:
    """Calls that come, and are delivered at once: what a router does most of the time. Again, where they are known."""
    begin, until = NOW + timedelta(seconds=1), NOW + timedelta(hours=1)
    calls = [
        arrival(200_000_000 + n, begin + n * timedelta(milliseconds=1), Owed(SINKS[n % 10], claim_until=until))
        for n in range(_CALLS // 4 if known else _CALLS)
    ]
    waiting, seconds = iter(calls), list[float]()

    async def some() -> None:
        for call in waiting:
            began = time.perf_counter()
            answer = await store.accept(call)
            seconds.append(time.perf_counter() - began)
            if known != isinstance(answer, Duplicate):
                raise SystemExit(f"A call was not taken as what it is: {answer}")
            if isinstance(answer, Accepted):
                await asyncio.gather(*(store.settle(claim, ended(NOW)) for claim in answer.claims))

    began = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
    return Times.of(seconds, len(calls), time.perf_counter() - began)


async def claims(store: PostgresStore) -> Times:
    """Claim and settle what waits; the times are those of claims."""
    seconds, done = list[float](), 0

    async def lane(sink: str) -> None:
        nonlocal done
        while done < _DELIVERIES:
            began = time.perf_counter()
            found = await store.claim(sink, limit=_PORTION, now=NOW, until=NOW + timedelta(hours=1))
            seconds.append(time.perf_counter() - began)
            if not found.claims:
                return
            done += len(found.claims)
            await asyncio.gather(*(store.settle(claim, ended(NOW)) for claim in found.claims))

    began = time.perf_counter()
    await asyncio.gather(*(lane(sink) for sink in SINKS))
    return Times.of(seconds, done, time.perf_counter() - began)


@asynccontextmanager
async def _looking(database: Database) -> AsyncIterator[None]:
    """Somebody looks at everything as it was at one time, until the end of the block."""
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(
                "LOCK TABLE aftercall.events, aftercall.deliveries, aftercall.attempts IN ACCESS SHARE MODE"
            )
            await connection.fetch("SELECT 1")
            yield
    finally:
        await connection.close()


async def _looks(database: Database, store: PostgresStore) -> dict[str, float]:
    """What the admin listener asks: the median of many times."""
    oldest = await database.ask(_EARLY.format(table="events", column="id"))
    delivery = await database.ask(_EARLY.format(table="deliveries", column="id"))
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "calls": lambda: store.events(limit=50),
        "calls of one channel of 40": lambda: store.events(limit=50, wanted=Wanted(channel="channel-7")),
        "calls that routing failed for": lambda: store.events(limit=50, routed=RoutedAs.UNROUTED),
        "one call of the first month": lambda: store.event(oldest),
        "deliveries": lambda: store.deliveries(limit=50),
        "deliveries of a sink": lambda: store.deliveries(limit=50, wanted=Wanted(sink=SINKS[3])),
        "dead letters": lambda: store.deliveries(limit=50, state=DeliveryState.DEAD),
        "deliveries that wait": lambda: store.deliveries(limit=50, state=DeliveryState.PENDING),
        "one delivery of the first month": lambda: store.delivery(delivery),
        "quarantine": lambda: store.quarantined(limit=50),
        "channels": store.channels,
        "`summary`": store.summary,
        "deliveries by sink and state": store.backlog,
        "the oldest of each sink": store.oldest,
        "the newest of a source": lambda: store.heard(source="sipgate"),
    }
    return {name: await _median(look) for name, look in asked.items()}


_EARLY: Final = "SELECT {column}::text FROM aftercall.{table} ORDER BY {column} OFFSET 77 LIMIT 1"


async def _median(look: Callable[[], Awaitable[object]]) -> float:
    seconds = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        await look()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


async def _going(database: Database, store: PostgresStore, calls: int) -> Going:
    first = MONTHS[0].first
    one_by_one = 0.0
    if calls:
        seconds = []
        for _ in range(10):
            began = time.perf_counter()
            await store.purge(events=first + timedelta(days=15), quarantine=None, seen=None)
            seconds.append(time.perf_counter() - began)
        one_by_one = median(seconds)
    began = time.perf_counter()
    await store.writer.run(lambda connection: months.make(connection, MONTHS[-1].next.next))
    makes = time.perf_counter() - began
    drops = list[float]()
    async with _calling(store, 400_000_000) as meanwhile:
        for month in MONTHS[:3] if calls else ():
            drops.append(await _dropped(database, store, month))
        await asyncio.sleep(1)
    async with _calling(store, 300_000_000) as beside_a_look, _looking(database):
        for _ in range(3 if calls else 0):  # it goes row by row
            await store.purge(events=MONTHS[3].next.first, quarantine=None, seen=None)
    return Going(calls // len(MONTHS), tuple(drops) or (0.0,), max(meanwhile), max(beside_a_look), one_by_one, makes)


async def _dropped(database: Database, store: PostgresStore, month: Month) -> float:
    """How long it took at the time when nobody was in the way; the server's own chores may be, for a moment."""
    for _ in range(5):
        await asyncio.sleep(1)
        began = time.perf_counter()
        await store.purge(events=month.next.first, quarantine=None, seen=None)
        lasted = time.perf_counter() - began
        if await database.ask("SELECT to_regclass($1)", f"aftercall.events_{month.label}") is None:
            return lasted
        print(f"{month} could not be dropped, and is tried again", file=sys.stderr)
        await asyncio.sleep(TRY_AGAIN.total_seconds())
    raise SystemExit(f"{month} was not dropped")


@asynccontextmanager
async def _calling(store: PostgresStore, number: int) -> AsyncIterator[list[float]]:
    """Calls come in at an even rate, until the end of the block; what each waited for its answer."""
    seconds = list[float]()
    tasks = set[asyncio.Task[None]]()

    async def call(n: int) -> None:
        began = time.perf_counter()
        await store.accept(arrival(number + n, NOW + n * timedelta(milliseconds=10), Owed(SINKS[n % 10])))
        seconds.append(time.perf_counter() - began)

    async def calling() -> None:
        n = 0
        while True:
            tasks.add(task := asyncio.create_task(call(n)))
            task.add_done_callback(tasks.discard)
            n += 1
            await asyncio.sleep(1 / _RATE)

    caller = asyncio.create_task(calling())
    try:
        await asyncio.sleep(1)
        yield seconds
    finally:
        caller.cancel()
        await asyncio.gather(caller, *tasks, return_exceptions=True)
