"""The engines that the store's contract is tested on, and short ways to say what happens to a store."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import asyncpg
import pytest

from databases import rows
from router.delivery import Again, Dead, DeliveryState, Done, LaneRow
from router.event import Call, Channel, Direction
from router.store.base import Store
from router.store.lines import Page
from router.store.postgres import Place
from router.store.postgres import engine as postgres
from router.store.sqlite import open_store
from router.store.values import Accepted, Arrival, Claim, Duplicate, Owed, RoutedAs, Settlement

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from router.delivery import Decision

T = TypeVar("T")

NOW: Final = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)
DAY: Final = 86_400.0


def at(seconds: float) -> datetime:
    """So long after `NOW`."""
    return NOW + timedelta(seconds=seconds)


class Engine(Protocol):
    """A place where a store lives; opening it again is a restart."""

    def open(self, name: str = "router") -> AbstractAsyncContextManager[Store]:
        """The store that is there, for a router of this name."""

    def left_by_a_crash(self) -> Engine:
        """The place as a router leaves it that ends at this moment, while it writes nothing."""


@dataclass(frozen=True)
class Sqlite:
    """SQLite in a folder."""

    folder: Path

    def open(self, name: str = "router") -> AbstractAsyncContextManager[Store]:
        return open_store(self.folder / "aftercall.db", parse=json.loads, name=name)

    def left_by_a_crash(self) -> Engine:
        folder = self.folder.with_name(f"{self.folder.name}-again")
        shutil.copytree(self.folder, folder)
        return Sqlite(folder)


@dataclass(frozen=True)
class Postgres:
    """PostgreSQL, a database of one's own."""

    url: str

    def open(self, name: str = "router") -> AbstractAsyncContextManager[Store]:
        return postgres.open_store(place_of(self.url), parse=json.loads, name=name)

    def left_by_a_crash(self) -> Engine:
        return self


async def set_lane(store: Store, row: LaneRow, *, now: datetime) -> LaneRow:
    """Set a lane, however it was set meanwhile."""
    while True:
        known = (await store.lanes()).get(row.sink, LaneRow(row.sink))
        if now_is := await store.set_lane(replace(row, version=known.version), now=now):
            return now_is


def place_of(url: str) -> Place:
    """As an operator would write it: the password stands apart."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = quote(unquote(parts.username or ""))
    password = unquote(parts.password) if parts.password else None
    return Place.of(f"{parts.scheme}://{user}@{host}{parts.path}", password)


class Databases:
    """Databases for stores on a server. One that a test is done with is emptied for the next: that is quicker than a new one."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._made: list[str] = []
        self._free: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of one that nothing is in."""
        url = self._free.pop() if self._free else self._new()
        yield url
        elsewhere(_emptied(url))
        self._free.append(url)

    def remove(self) -> None:
        """All of them."""
        for name in self._made:
            elsewhere(rows(self._server, f'DROP DATABASE "{name}" WITH (FORCE)'))

    def _new(self) -> str:
        url = self.unmade()
        elsewhere(_made_ready(url))
        return url

    def unmade(self, settings: str = "") -> str:
        """The URL of one that no store was ever in."""
        name = f"aftercall_test_{uuid4().hex}"
        elsewhere(rows(self._server, f'CREATE DATABASE "{name}" {settings}'))
        self._made.append(name)
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()


async def _made_ready(url: str) -> None:
    async with Postgres(url).open() as store:
        await store.make_ready(now=NOW)


async def _emptied(url: str) -> None:
    """No trigger counts what goes."""
    connection = await asyncpg.connect(url)
    try:
        found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'aftercall'")
        tables = [row["tablename"] for row in found]
        deletes = "".join(f"DELETE FROM aftercall.{table};" for table in tables if table not in _KEPT)  # noqa: S608
        await connection.execute(f"SET session_replication_role = replica; {deletes}")
        await connection.execute("DROP TABLE IF EXISTS aftercall.half_copy")
    finally:
        await connection.close()
    if not {*tables} >= _MONTHS:
        await _made_ready(url)


_KEPT: Final = ("migrations", "seen_key")
#: What a store is made ready with.
_MONTHS: Final = {"events_2026_11", "events_2026_12"}


def elsewhere(doing: Coroutine[Any, Any, T]) -> T:
    """Do this beside whatever loop runs here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, doing).result()


#: By the name that a test's id shows.
KINDS: Final = ("sqlite", "postgres")


def engines(kind: str, request: pytest.FixtureRequest) -> Callable[[Path], AbstractContextManager[Engine]]:
    """Makes new places for stores of this kind, each in a folder; skips where there is no server for it."""
    if kind == "sqlite":
        return lambda folder: nullcontext(Sqlite(folder / "data"))
    databases: Databases = request.getfixturevalue("databases_of_stores")

    @contextmanager
    def place(_: Path) -> Iterator[Engine]:
        with databases.one() as url:
            yield Postgres(url)

    return place


def arrival(
    call_id: str | None = "call-1",
    text: str = "Der Preis.",
    *,
    when: float = 0.0,
    owed: tuple[Owed | str, ...] = (),
    source: str = "sipgate",
    routed: RoutedAs = RoutedAs.ROUTED,
    channel: Channel = Channel("17", "Sales Hotline"),  # noqa: B008 - frozen
) -> Arrival:
    """A call that says `text`; the text alone is its content, so the same text is the same content."""
    body = json.dumps({"summary": text}).encode()
    return Arrival(
        source=source,
        format="sipgate",
        call=Call(call_id=call_id, direction=Direction.INBOUND, channel=channel, summary=text),
        body=body,
        content_type="application/json",
        digest=hashlib.sha256(body).digest(),
        received_at=at(when),
        routed=routed,
        routes=("to sales",) if routed is RoutedAs.ROUTED else (),
        rules="rules-1",
        owed=tuple(Owed(one) if isinstance(one, str) else one for one in owed),
        raw={"summary": text},
    )


async def accepted(store: Store, arriving: Arrival) -> Accepted:
    """What became of a call that must be new."""
    answer = await store.accept(arriving)
    assert isinstance(answer, Accepted), answer
    return answer


async def quarantine(
    store: Store, body: bytes = b"{", *, when: float = 0.0, source: str = "sipgate", room: int | None = None
) -> str:
    """Keep an unreadable body; its id."""
    kept = await store.quarantine(
        source=source,
        body=body,
        digest=hashlib.sha256(body).digest(),
        content_type=None,
        reason="not JSON",
        now=at(when),
        room=room,
    )
    return kept.id


async def claim_one(store: Store, sink: str = "screen", *, when: float = 0.0, until: float = 60.0) -> Claim:
    """Claim the one delivery that must be due."""
    found = await store.claim(sink, limit=1, now=at(when), until=at(when + until))
    (claim,) = found.claims
    return claim


def settlement(
    decision: Decision, *, when: float = 1.0, recipient: str | None = None, parts: tuple[str, ...] = ()
) -> Settlement:
    """The end of an attempt that took a second."""
    outcome = {Done: "delivered", Again: "retry", Dead: "refused"}[type(decision)]
    return Settlement(
        decision=decision,
        outcome=outcome,
        started_at=at(when - 1.0),
        now=at(when),
        recipient=recipient,
        parts=parts,
    )


async def dead_one(store: Store, call_id: str = "call-1", sink: str = "screen", *, when: float = 0.0) -> str:
    """The id of a delivery that is dead."""
    await accepted(store, arrival(call_id, owed=(sink,), when=when))
    claim = await claim_one(store, sink, when=when)
    assert await store.settle(claim, settlement(Dead("no such mailbox"), when=when + 1))
    return claim.delivery.id


async def every(pages: Callable[[str | None], Awaitable[Page[T]]]) -> list[T]:
    """All lines of a list, page by page."""
    found: list[T] = []
    page = await pages(None)
    while True:
        found.extend(page.items)
        if page.next is None:
            return found
        page = await pages(page.next)


async def purge(store: Store, before: float, *, limit: int = 500) -> int:
    """Purge all that is from before, to the end; how many rows of every kind went."""
    removed = 0
    while purged := await store.purge(events=at(before), quarantine=at(before), seen=at(before), limit=limit):
        removed += purged.events + purged.deliveries + purged.quarantined + purged.seen
    return removed


OPERATIONS = (
    "accept", "claimed", "revise", "repeat", "quarantine", "claim", "probe", "done", "again", "held", "dead", "release",
    "late", "retake", "retake all", "open", "replay", "end", "read again", "route again", "purge", "purge all", "check",
)  # fmt: skip


class Life:
    """A store to which anything happens, in an order that nobody chose."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = 0.0
        self.received = 0
        self.created = 0
        self.claims: list[Claim] = []
        self.settled: list[Claim] = []

    async def happen(self, operation: str, n: int) -> None:
        self.now += n
        store, now, sink = self.store, at(self.now), f"sink-{n % 2}"
        until = at(self.now + 5)
        match operation:
            case "accept" | "claimed" | "revise":
                until_ = until if operation == "claimed" else None
                owed = tuple(Owed(f"sink-{k}", until_, once=operation == "revise") for k in range(n % 3))
                call_id = f"call-{n}" if operation == "revise" else f"call-{self.received}"
                routed = list(RoutedAs)[n % 3]
                await self._accept(
                    replace(arrival(call_id, f"{self.received}", when=self.now, routed=routed), owed=owed)
                )
            case "repeat":
                await self._accept(arrival("again", "and again", when=self.now, owed=("sink-0",)))
            case "quarantine":
                self.received += 1
                await quarantine(store, str(n).encode(), when=self.now)
            case "claim" | "probe":
                found = await store.claim(sink, limit=n, now=now, until=until, probe=operation == "probe")
                self.claims.extend(found.claims)
            case "done" | "again" | "held" | "dead" if self.claims:
                decisions: dict[str, Decision] = {
                    "done": Done(f"remote-{n}"),
                    "again": Again(at(self.now + n), "busy"),
                    "held": Again(at(self.now + n), "down", held=True, spent=False),
                    "dead": Dead("never"),
                }
                decision = decisions[operation]
                claim = self.claims.pop(n % len(self.claims))
                await store.settle(claim, settlement(decision, when=self.now))
                self.settled.append(claim)
            case "release" if self.claims:
                self.settled.append(claim := self.claims.pop())
                await store.release(claim, now=now)
            case "late" if self.settled:
                assert not await store.settle(self.settled[n % len(self.settled)], settlement(Done(), when=self.now))
            case "retake" | "retake all":
                await store.retake(now=now, left_behind=operation == "retake all")
            case "open":
                await set_lane(store, LaneRow(sink), now=now)
            case "replay":
                for line in (await store.deliveries(state=DeliveryState.DEAD, limit=1)).items:
                    await store.replay(line.id, sink=sink, now=now)
                    self.created += 1
            case "end":
                for line in (await store.deliveries(state=DeliveryState.PENDING, limit=1)).items:
                    await store.end(line.id, reason="ended", now=now)
            case "read again":
                for body in (await store.quarantined(limit=1)).items:
                    call_id = "again" if n == 1 else f"call-{body.id}"
                    said = arrival(call_id, body.id, when=self.now, owed=("sink-0",))
                    await self._count(await store.read_again(body.id, said))
            case "route again":
                for event in (await store.events(limit=1)).items:
                    to = [Owed("sink-0"), Owed("sink-1", once=True)]
                    again = await store.route_again(event.id, routes=["new"] * (n % 2), rules="r", owed=to, now=now)
                    self.created += len(again.sinks)
            case "purge" | "purge all":
                before = at(self.now - 10 if operation == "purge" else self.now + 1)
                await store.purge(events=before, quarantine=before, seen=before if n == 1 else None, limit=n)
            case "check":
                await store.check()

    async def _accept(self, arriving: Arrival) -> None:
        self.received += 1
        await self._count(await self.store.accept(arriving))

    async def _count(self, answer: Accepted | Duplicate) -> None:
        if isinstance(answer, Accepted):
            self.created += answer.deliveries
            self.claims.extend(answer.claims)
