"""Fills a store with calls that were delivered long ago: a few go through the store itself, the rest are copies of them.

The copies lie in the real tables, by month, as if each had come at its own time: with ids, digests and hashes of their
own, with their deliveries, attempts and what was seen of them, and they are counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import asyncpg

from bodies import body
from database import Database
from router import formats
from router.delivery import Again, Dead, Decision, Done
from router.event import Channel
from router.formats import body as bodies
from router.ids import first_id
from router.store.postgres import engine
from router.store.postgres.months import Month
from router.store.values import Arrival, Claim, Owed, RoutedAs, Settlement

#: When it is: late in a month, so that the newest month has as many calls as the others.
NOW: Final = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
#: The months that the calls are from.
MONTHS: Final = tuple(Month(2026, month) for month in range(1, 7))
SINKS: Final = tuple(f"sink-{n}" for n in range(10))
#: How many of the calls go through the store.
SAMPLES: Final = 1_000
_SQL: Final = Path(__file__).with_suffix(".sql")
_MILLISECOND: Final = timedelta(milliseconds=1)


@asynccontextmanager
async def opened(database: Database, **more: Any) -> AsyncIterator[engine.PostgresStore]:
    """The store there, as a router opens it."""
    async with engine.open_store(database.place(), parse=json.loads, **more) as store:
        yield store


def arrival(number: int, when: datetime, *owed: Owed) -> Arrival:
    """A call as an inbox hands it to the store; most fire a route."""
    received = _shortened(body(number, round(when.timestamp()) * 1_000_000_000))
    parsed = bodies.parse(received)
    found = formats.find(parsed.value)
    routed = RoutedAs.UNROUTED if number % 500 == 17 else RoutedAs.UNMATCHED if number % 10 == 3 else RoutedAs.ROUTED
    return Arrival(
        source="sipgate",
        format=found.format,
        call=replace(found.call, channel=Channel(f"channel-{number % 40}", f"Kundendienst {number % 40}")),
        body=received,
        content_type="application/json",
        digest=parsed.digest,
        received_at=when,
        routed=routed,
        routes=("Kündigungen an den Vertrieb",) if routed is RoutedAs.ROUTED else (),
        rules="0123456789abcdef",
        owed=owed,
        raw=found.raw,
    )


def _shortened(received: bytes) -> bytes:
    """A call that was soon over, of less than 1 KB, so that ten million go onto a small disk."""
    call = json.loads(received)
    shorter = {"transcriptions": [], "smallTalkItems": [], "smartAnswers": [], "actionItems": call["actionItems"][:1]}
    return json.dumps({**call, **shorter}, ensure_ascii=False, separators=(",", ":")).encode()


def ended(now: datetime, decision: Decision | None = None) -> Settlement:
    """An attempt that took a fifth of a second."""
    decision = decision or Done()
    return Settlement(
        decision=decision,
        outcome={Done: "delivered", Again: "retry", Dead: "refused"}[type(decision)],
        started_at=now - timedelta(seconds=0.2),
        now=now,
        recipient="crm.example.com",
        parts=("headline", "summary", "action_items", "note"),
    )


async def accepted(store: engine.PostgresStore, calls: Iterator[Arrival], at_once: int = 200) -> None:
    """Take all of them in."""

    async def some() -> None:
        for call in calls:
            await store.accept(call)

    await asyncio.gather(*(some() for _ in range(at_once)))


async def fill(database: Database, calls: int) -> None:
    """As many calls, in equal parts of the months; the database has nothing of ours yet."""
    async with opened(database) as store:
        if calls < SAMPLES:
            return
        begin = NOW - timedelta(hours=1)
        await accepted(store, (arrival(n, begin + n * _MILLISECOND, Owed(SINKS[n % 10])) for n in range(SAMPLES)))
        await _deliver(store, begin + timedelta(minutes=1))
        await database.on(lambda connection: _copy(store, connection, calls))


async def _deliver(store: engine.PostgresStore, now: datetime) -> None:
    """Most calls at once, some at the second time, a few never."""
    for attempt in (1, 2, 3):
        now += timedelta(minutes=1)
        for sink in SINKS:
            while found := (await store.claim(sink, limit=50, now=now, until=now + timedelta(minutes=1))).claims:
                await asyncio.gather(*(store.settle(one, ended(now, _decision(one, attempt, now))) for one in found))


def _decision(claim: Claim, attempt: int, now: datetime) -> Decision:
    number = claim.delivery.event.sequence
    if number % 49 == 0:
        return Dead("HTTP 410: gone") if attempt == 3 else Again(now + timedelta(seconds=30), "HTTP 503")
    return Again(now + timedelta(seconds=30), "HTTP 503") if number % 24 == 0 and attempt == 1 else Done()


async def _copy(store: engine.PostgresStore, connection: asyncpg.Connection, calls: int) -> None:
    """Put copies of what is in the store in its place."""
    await connection.execute("SET search_path = aftercall; SET timezone = 'UTC'; SET jit = off; SET work_mem = '64MB'")
    await connection.execute(_SQL.read_text(encoding="utf-8"))
    while await store.purge(events=NOW, quarantine=None, seen=NOW):
        pass  # the samples themselves
    await connection.execute(
        "DELETE FROM totals; DELETE FROM channels; DELETE FROM event_totals; DELETE FROM delivery_totals"
    )
    await connection.execute("SELECT pg_temp.put_indexes_aside('seen')")
    shares = [round(calls * at / len(MONTHS)) for at in range(len(MONTHS) + 1)]
    for month, (low, high) in zip(MONTHS, pairwise(shares), strict=True):
        end = min(month.next.first, NOW - timedelta(hours=1))
        await connection.execute(
            "SELECT pg_temp.fill_month($1, $2, $3, $4, $5, $6, $7, $8)",
            month.label, month.first.date(), first_id(month.first), first_id(month.next.first),
            round(month.first.timestamp() * 1000), (end - month.first) / _MILLISECOND / (high - low), low, high - 1,
        )  # fmt: skip
    await connection.execute("SELECT pg_temp.put_indexes_back()")


async def wait(store: engine.PostgresStore, deliveries: int) -> int:
    """Owe so many deliveries, of calls of the last day, half of the sinks each; how many calls that is."""
    calls = deliveries * 2 // len(SINKS)
    day = timedelta(days=1)

    def waiting() -> Iterator[Arrival]:
        for n in range(calls):
            owed = (Owed(sink) for at, sink in enumerate(SINKS) if at % 2 == n % 2)
            yield arrival(100_000_000 + n, NOW - day + n * (day / calls), *owed)

    await accepted(store, waiting())
    return calls
