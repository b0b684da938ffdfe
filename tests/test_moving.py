"""Moving house: all that a store has is in the other, whichever engine, whatever ends the move in between."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from databases import rows
from router.delivery import Again, DeliveryState, Done, LaneRow, LaneState
from router.errors import AftercallError, StoreError, StoreInUse
from router.event import Channel
from router.store.base import Store
from router.store.lines import Summary
from router.store.moving import postgres, sqlite
from router.store.moving.comparing import Differs
from router.store.moving.copying import Moved, move
from router.store.moving.postgres import PostgresSide
from router.store.moving.side import Side
from router.store.moving.sqlite import SqliteSide
from router.store.moving.tables import LEFT_OUT, LEFT_OUT_COLUMNS, MOVED
from router.store.values import Duplicate, Owed, RoutedAs
from store_engines import (
    DAY,
    OPERATIONS,
    Databases,
    Engine,
    Life,
    Postgres,
    Sqlite,
    accepted,
    arrival,
    at,
    claim_one,
    dead_one,
    elsewhere,
    every,
    place_of,
    purge,
    quarantine,
    settlement,
)


def unheard(what: str, table: str, *, done: int, of: int) -> None:
    """Nobody wants to know how far it is."""


def side_of(engine: Engine) -> Side:
    if isinstance(engine, Sqlite):
        return SqliteSide(engine.folder / "aftercall.db")
    assert isinstance(engine, Postgres)
    return PostgresSide(place_of(engine.url))


async def moved(source: Engine, target: Engine, told: Any = unheard) -> Moved:
    return await move(side_of(source), side_of(target), told)


async def everything(folder: Path) -> None:
    """A store in which there is one of everything, and more by chance."""
    async with Sqlite(folder).open() as store:
        # Gone again, and counted.
        await accepted(store, arrival("purged", "purged", when=-400 * DAY))
        await quarantine(store, b"purged", when=-400 * DAY)
        await purge(store, -399 * DAY)
        # Several months, and channels of every kind.
        channels = [
            Channel("17", "Sales \x00 \ufdd0 Hotline"),
            Channel(None, "nur\x00Name"),
            Channel("18", None),
            Channel(),
        ]
        for n in range(12):
            one = arrival(f"old-{n}", f"old {n}", when=(n - 12) * 9 * DAY, owed=("done",), channel=channels[n % 4])
            await accepted(store, one)
            claim = await claim_one(store, "done", when=n)
            done = settlement(Done(f"remote-{n}"), when=n + 1, recipient="host \x00", parts=("summary", "note"))
            assert await store.settle(claim, done)
        # A call in three revisions, told again, and one whose body is large.
        for n in range(3):
            await accepted(
                store, arrival("revised", f"revision {n}", when=n, owed=(Owed("done"), Owed("people", once=True)))
            )
        for n in range(4):
            assert isinstance(await store.accept(arrival("revised", "revision 1", when=n)), Duplicate)
        large = replace(arrival("large", "large", when=50, owed=("slow",)), body=random.Random(1).randbytes(2**20))
        await accepted(store, large)
        for routed in (RoutedAs.UNROUTED, RoutedAs.UNMATCHED):
            await accepted(store, arrival(f"{routed}", f"{routed}", when=51, routed=routed))
        # Held, dead, replayed, ended.
        await accepted(store, arrival("held", "held", when=53, owed=("held",)))
        await store.settle(
            await claim_one(store, "held", when=53), settlement(Again(at(99), "down", held=True, spent=False), when=54)
        )
        await dead_one(store, "dead", "dead", when=55)
        replayed = await dead_one(store, "replayed", "replayed", when=58)
        await store.replay(replayed, now=at(61))
        await store.end(await dead_one(store, "ended", "ended", when=62), reason="an old number", now=at(65))
        await store.keep_memo("alarms", b'{"one": "\x00\xff"}')
        await store.set_lane(LaneRow("held", LaneState.PROBING, at(99), 3, "no answer", at(54)), now=at(72))
        await store.set_lane(LaneRow("done", LaneState.PAUSED, reason="by hand", since=at(73)), now=at(73))
        life, dice = Life(store), random.Random(7)
        life.now = 100.0
        for _ in range(150):
            await life.happen(
                dice.choice([one for one in OPERATIONS if not one.startswith("purge")]), dice.randrange(1, 6)
            )
        # Claimed by a router that ends without a word.
        await accepted(store, arrival("claimed", "claimed", when=1_000, owed=(Owed("claimed", at(1_060)),)))
        # Unreadable, twice, ended.
        for _ in range(2):
            await quarantine(store, b"unreadable", when=1_001)
        await store.end_quarantined(await quarantine(store, b"ended", when=1_002, source="other"), reason="a test")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full") / "data"
    elsewhere(everything(folder))
    return folder


@pytest.fixture
def full(template: Path, tmp_path: Path) -> Sqlite:
    """A store in SQLite with everything in it."""
    shutil.copytree(template, tmp_path / "full")
    return Sqlite(tmp_path / "full")


Places = Callable[[str], Engine]


@pytest.fixture(scope="module")
def databases_to_fill(postgres: str) -> Iterator[Databases]:
    """Not those of other tests, because more than rows is left in them."""
    made = Databases(postgres)
    yield made
    made.remove()


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Makes an empty place of this kind."""
    with ExitStack() as stack:

        def made(kind: str) -> Engine:
            if kind == "sqlite":
                return Sqlite(tmp_path / f"place-{len(list(tmp_path.iterdir()))}")
            databases: Databases = request.getfixturevalue("databases_to_fill")
            return Postgres(databases.unmade() if kind == "bare postgres" else stack.enter_context(databases.one()))

        yield made


KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgres"])


async def contents(store: Store) -> dict[str, Any]:
    """All that can be asked of a store."""
    events = await every(lambda after: store.events(after=after, limit=50))
    deliveries = await every(lambda after: store.deliveries(after=after, limit=50))
    bodies = await every(lambda after: store.quarantined(after=after, limit=50))
    return {
        "summary": await store.summary(),
        "backlog": await store.backlog(),
        "events": [await store.event(line.id) for line in events],
        "deliveries": [await store.delivery(line.id) for line in deliveries],
        "quarantine": [await store.quarantined_body(line.id) for line in bodies],
        "sizes": {source: n for source, n in (await store.quarantine_sizes()).items() if n},
        "lanes": await store.lanes(),
        "channels": sorted(await store.channels(), key=repr),
        "oldest": await store.oldest(),
        "unread": await store.unread(),
        "memo": await store.memo("alarms"),
    }


# --- all of it ---


async def test_a_store_that_moved_there_and_back_is_the_same_digest_by_digest(full: Sqlite, places: Places) -> None:
    """SQLite to PostgreSQL, to another PostgreSQL, to SQLite, to SQLite."""
    async with full.open() as store:
        before = await contents(store)
    assert {state for state, n in before["summary"].deliveries.items() if n} >= {
        "pending",
        "claimed",
        "dead",
        "replayed",
    }
    here: Engine = full
    first: Engine | None = None
    tables: Any = None
    for kind in ("bare postgres", "postgres", "sqlite", "sqlite"):
        there = places(kind)
        found = await moved(here, there)
        tables = tables or found.tables
        assert found.tables == tables
        assert found.before == found.after == before["summary"]
        assert (found.damaged.rows, found.left.rows, found.miscounted) == (0, 0, ())
        async with there.open() as store:
            assert await contents(store) == before
        first, here = first or there, there
    assert all(tally.rows for tally in found.tables.values()), found.tables
    assert isinstance(first, Postgres)
    months = await rows(first.url, "SELECT tablename FROM pg_tables WHERE tablename LIKE 'events_20%'")
    assert {("events_2026_08",), ("events_2026_10",), ("events_2026_11",)} <= {*months}
    assert await rows(first.url, "SELECT count(*) FROM aftercall.events_default") == [(0,)]


@pytest.mark.parametrize("way", ["sqlite postgres", "postgres sqlite", "postgres postgres", "sqlite sqlite"])
async def test_the_routers_go_on_from_where_they_were(full: Sqlite, places: Places, way: str) -> None:
    here: Engine = full
    for kind in way.split()[way.startswith("sqlite") :]:
        there = places(kind)
        await moved(here, there)
        here = there
    async with full.open() as store:
        newest = max(line.sequence for line in (await store.events(limit=500)).items)
    async with here.open() as store:
        await store.make_ready(now=at(2_000))
        before = await store.summary()
        # What was seen is known; what was not is the next revision, and has the next number.
        assert isinstance(await store.accept(arrival("revised", "revision 1", when=2_000)), Duplicate)
        revised = await accepted(store, arrival("revised", "revision 3", when=2_000, owed=(Owed("people", once=True),)))
        assert (revised.revision, revised.deliveries) == (4, 0)
        assert revised.sequence > newest
        # What waits goes out, with the key that it had.
        claim = await claim_one(store, "slow", when=2_000, until=2_060)
        assert len(claim.delivery.body) == 2**20
        assert await store.settle(claim, settlement(Done("there"), when=2_001))
        assert not await store.settle(claim, settlement(Done("twice"), when=2_002))
        # What was claimed is lost when its claim ends, goes out once more, and is settled once.
        assert "claimed" in (await store.retake(now=at(2_000))).sinks
        again = await claim_one(store, "claimed", when=2_000, until=2_060)
        assert (again.delivery.event.call_id, again.delivery.attempt) == ("claimed", 2)
        assert await store.settle(again, settlement(Done(), when=2_001))
        # What is dead is replayed, what is unreadable counts on.
        dead = [
            line for line in (await store.deliveries(state=DeliveryState.DEAD, limit=500)).items if line.sink == "dead"
        ]
        await store.replay(dead[0].id, now=at(2_000))
        assert (await claim_one(store, "dead", when=2_000)).delivery.replay_of == dead[0].id
        await quarantine(store, b"unreadable", when=2_000)
        after = await store.summary()
        assert after.quarantined == before.quarantined
        assert after.duplicates == before.duplicates + 2
        assert (await store.lanes())["done"].state is LaneState.PAUSED
        assert await purge(store, 3_000) > 0
        await _adds_up(store)


async def _adds_up(store: Store) -> None:
    sums: Summary = await store.summary()
    assert sums.received == sums.events + sums.duplicates + sums.quarantined + sums.purged
    assert sums.deliveries["created"] == sum(n for state, n in sums.deliveries.items() if state != "created")


@KINDS
async def test_what_was_seen_is_known_when_nothing_else_is_left(tmp_path: Path, places: Places, kind: str) -> None:
    """The number of an event is never given twice."""
    full, there = Sqlite(tmp_path / "emptied"), places(kind)
    async with full.open() as store:
        for n in range(3):
            await accepted(store, arrival(f"call-{n}", f"{n}", when=n))
        while await store.purge(events=at(99), quarantine=None, seen=None):
            pass
    assert (await moved(full, there)).tables["events"].rows == 0
    async with there.open() as store:
        assert isinstance(await store.accept(arrival("call-1", "1", when=100)), Duplicate)
        assert (await accepted(store, arrival("new", "new", when=100))).sequence == 4
        assert (await store.summary()).received == 5


@KINDS
async def test_an_empty_store_moves_too(tmp_path: Path, places: Places, kind: str) -> None:
    full, there = Sqlite(tmp_path / "empty"), places(kind)
    async with full.open():
        pass
    await moved(full, there)
    async with there.open() as store:
        assert (await accepted(store, arrival())).sequence == 1


@KINDS
async def test_a_store_that_a_router_has_opened_and_left_empty_may_be_copied_into(
    full: Sqlite, places: Places, kind: str
) -> None:
    """Its own key is given up."""
    there = places(kind)
    async with there.open():
        pass
    await moved(full, there)
    async with there.open() as store:
        assert isinstance(await store.accept(arrival("revised", "revision 1", when=2_000)), Duplicate)


@KINDS
def test_every_table_and_column_moves_or_is_named_as_left_out(kind: str, places: Places) -> None:
    """Whoever adds one has to say in `tables` what becomes of it."""
    place = places(kind)
    found: dict[str, set[str]] = {}
    for table, column in elsewhere(_columns(place)):
        found.setdefault(table, set()).add(column)
    moving = {table.name: {*table.columns} for table in MOVED}
    assert {*found} - moving.keys() <= LEFT_OUT.keys()
    assert moving.keys() <= {*found}
    made = {"sqlite": {"attempts": {"event_id"}}, "postgres": {"channels": {"id"}}}
    for table, columns in moving.items():
        aside = LEFT_OUT_COLUMNS.get(table, frozenset()) if kind == "postgres" else frozenset()
        assert found[table] - aside == columns - made[kind].get(table, set()), table


async def _columns(place: Engine) -> list[tuple[Any, ...]]:
    async with place.open():
        pass
    if isinstance(place, Postgres):
        return await rows(
            place.url,
            "SELECT relname::text, attname::text FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE relnamespace = "
            "'aftercall'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 AND NOT attisdropped",
        )
    assert isinstance(place, Sqlite)
    with closing(sqlite3.connect(place.folder / "aftercall.db")) as connection:
        return connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns "
            "WHERE tables.type = 'table'"
        ).fetchall()


# --- stopped in between ---


class Stopped(Exception):
    """The move ends here."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portions are small, so that there are many."""
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "LARGEST_PORTION", 17)
        monkeypatch.setattr(module, "LARGEST_PORTION_BYTES", 2**18)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("way", ["sqlite postgres", "postgres sqlite"])
async def test_stopped_after_every_portion_it_goes_on_and_no_router_opens_it_until_it_is_whole(
    full: Sqlite, places: Places, way: str
) -> None:
    source: Engine = full
    if way.startswith("postgres"):
        source = places("postgres")
        await moved(full, source)
    there = places(way.split()[1])
    runs, done = 0, set[tuple[str, str, int]]()

    def told(what: str, table: str, *, done: int, of: int, seen: set[tuple[str, str, int]] = done) -> None:
        if what == "copied" and (what, table, done) not in seen:
            seen.add((what, table, done))
            raise Stopped

    while True:
        try:
            found = await moved(source, there, told)
            break
        except Stopped:
            runs += 1
            with pytest.raises(
                StoreError, match="is a copy that was not finished: run copy-store again, or remove it"
            ) as no:
                async with there.open():
                    pass
            assert ("DROP SCHEMA aftercall CASCADE" in str(no.value)) == isinstance(there, Postgres)
    assert runs > 20
    assert found.was_resumed
    async with full.open() as store:
        before = await contents(store)
    async with there.open() as store:
        assert await contents(store) == before


@pytest.mark.usefixtures("small")
@KINDS
async def test_a_connection_that_breaks_in_the_middle_of_a_portion_leaves_nothing_of_it(
    full: Sqlite, places: Places, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every commit once: what was under way is done again, and nothing of it is there twice."""
    there, breaks, commits = places(kind), 0, 0

    def reached(_: object) -> None:
        nonlocal commits
        commits += 1
        if commits > 2 * breaks:
            raise Stopped

    monkeypatch.setattr(sqlite if kind == "sqlite" else postgres, "reached", reached)
    while True:
        commits = 0
        try:
            await moved(full, there)
            break
        except (Stopped, StoreError):
            breaks += 1
    assert breaks > 3
    async with full.open() as store:
        before = await contents(store)
    async with there.open() as store:
        assert await contents(store) == before


@pytest.mark.usefixtures("small")
@KINDS
async def test_a_portion_is_no_larger_than_memory_should_have_to_hold(full: Sqlite, places: Places, kind: str) -> None:
    here = places(kind)
    await moved(full, here)
    side = side_of(here)
    await side.open_from()
    (events,) = [table for table in MOVED if table.name == "events"]
    portions = [lines async for lines in side.lines(events)]
    await side.close()
    assert max(map(len, portions)) <= 17
    body = events.place("body")
    sizes = [[len(line.row[body]) for line in lines] for lines in portions]  # type: ignore[arg-type] # bytes
    assert [size[-1] for size in sizes if sum(size) >= 2**18] == [2**20]


# --- what is refused ---


async def changed(place: Postgres, statement: str) -> None:
    """Somebody changes one row there behind everybody's back."""
    connection = await asyncpg.connect(place.url, server_settings={"search_path": "aftercall"})
    try:
        assert (await connection.execute(statement)).split()[-1] == "1", statement
    finally:
        await connection.close()


async def halfway(source: Engine, target: Engine) -> None:
    """A copy that was stopped when its events were there."""

    def told(what: str, table: str, *, done: int, of: int) -> None:
        if table == "deliveries":
            raise Stopped

    with pytest.raises(Stopped):
        await moved(source, target, told)


@KINDS
async def test_a_router_that_ran_in_between_is_noticed(full: Sqlite, places: Places, kind: str) -> None:
    there = places(kind)
    await halfway(full, there)
    async with full.open() as store:
        await accepted(store, arrival("in between", "in between", when=2_000))
    with pytest.raises(StoreError, match=r"has changed since its copy was begun .*did a router run.* remove it"):
        await moved(full, there)


async def test_a_row_that_was_changed_in_between_is_noticed_at_the_end(full: Sqlite, places: Places) -> None:
    """However little it was: nothing that is counted."""
    there = places("postgres")
    await halfway(full, there)
    with closing(sqlite3.connect(full.folder / "aftercall.db", isolation_level=None)) as connection:
        assert (
            connection.execute(
                "UPDATE seen SET last_at = last_at + 1 WHERE event_id = (SELECT id FROM events WHERE sequence = 14)"
            ).rowcount
            == 1
        )
    with pytest.raises(Differs, match="seen have changed since they were copied"):
        await moved(full, there)
    with pytest.raises(StoreError, match="not finished"):
        async with there.open():
            pass


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET body = 'x' WHERE sequence = 14",
        "UPDATE events SET call = replace(call, 'old', 'new') WHERE sequence = 3",
        "DELETE FROM seen WHERE event_id = (SELECT id FROM events WHERE sequence = 14)",
        "UPDATE events SET channel_name = NULL WHERE sequence = 2",
    ],
)
async def test_a_row_that_is_not_what_was_copied_is_found(full: Sqlite, places: Places, change: str) -> None:
    there = places("postgres")
    assert isinstance(there, Postgres)
    await halfway(full, there)
    await changed(there, change)
    with pytest.raises(
        Differs, match=r"(events|seen) are not what was copied .*remove it \(DROP SCHEMA aftercall CASCADE\), and copy"
    ) as caught:
        await moved(full, there)
    assert caught.value.exit_code == 3
    with pytest.raises(StoreError, match="not finished"):
        async with there.open():
            pass


async def test_a_counter_that_is_wrong_is_found(full: Sqlite, places: Places) -> None:
    there = places("postgres")
    assert isinstance(there, Postgres)
    await halfway(full, there)
    await changed(there, "UPDATE event_totals SET n = n + 1 WHERE month = '2026-10-01'")
    with pytest.raises(StoreError, match="has counted otherwise than its rows are"):
        await moved(full, there)


@KINDS
async def test_what_is_not_empty_is_not_copied_into_and_stays_as_it_is(full: Sqlite, places: Places, kind: str) -> None:
    there = places(kind.replace("postgres", "bare postgres"))  # with a key of its own
    async with there.open() as store:
        await quarantine(store)
        before = await contents(store)
    with pytest.raises(StoreError, match="is not empty, it has bodies in quarantine, and stays as it is"):
        await moved(full, there)
    async with there.open() as store:
        assert await contents(store) == before
        await purge(store, 9)
    with pytest.raises(StoreError, match="is not empty, it has counted calls"):
        await moved(full, there)


@KINDS
async def test_a_copy_that_is_complete_is_called_so_until_one_of_the_two_changes(
    full: Sqlite, places: Places, kind: str
) -> None:
    there = places(kind)
    await moved(full, there)
    with pytest.raises(StoreError, match=r"is a copy of .* already, and this copy is complete: name it as `store`"):
        await moved(full, there)
    async with there.open() as store:
        await accepted(store, arrival("since"))
        before = await contents(store)
    with pytest.raises(StoreError, match="are one and the same store, copied before, and one has changed since"):
        await moved(full, there)
    async with there.open() as store:
        assert await contents(store) == before


@KINDS
async def test_half_a_copy_of_another_store_is_not_gone_on_with(
    full: Sqlite, tmp_path: Path, places: Places, kind: str
) -> None:
    there, another = places(kind), Sqlite(tmp_path / "another")
    await halfway(full, there)
    async with another.open() as store:
        await accepted(store, arrival())
    with pytest.raises(StoreError, match="is half a copy of another store"):
        await moved(another, there)
    with pytest.raises(StoreError, match="a copy that was not finished"):
        await moved(there, places("sqlite"))
    await moved(full, there)


@KINDS
async def test_a_store_that_a_router_has_open_is_refused(full: Sqlite, places: Places, kind: str) -> None:
    there = places(kind)
    await moved(full, there)
    async with there.open():
        with pytest.raises(StoreInUse, match=r"is in use by .*stop"):
            await moved(there, places("sqlite"))
    empty = places(kind)
    async with empty.open():
        with pytest.raises(StoreInUse, match=r"is in use by .*stop"):
            await moved(full, empty)


async def test_a_router_that_starts_meanwhile_is_seen_before_the_copy_is_a_store(full: Sqlite, places: Places) -> None:
    here, there = places("postgres"), places("sqlite")
    assert isinstance(here, Postgres)
    await moved(full, here)
    url, routers = here.url, list[asyncpg.Connection]()

    async def lines(self: PostgresSide, table: Any, after: Any = None) -> Any:
        if not routers:
            routers.append(await asyncpg.connect(url, server_settings={"application_name": "aftercall"}))
        async for portion in read(self, table, after):
            yield portion

    read = PostgresSide.lines
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PostgresSide, "lines", lines)
        with pytest.raises(StoreError, match="is in use by a router"):
            await moved(here, there)
    await routers[0].close()
    assert (await moved(here, there)).was_resumed


@pytest.mark.parametrize("kind", ["sqlite", "bare postgres"])
async def test_what_is_no_store_is_refused(places: Places, kind: str) -> None:
    nowhere, there = places(kind), places("sqlite")
    with pytest.raises(StoreError, match=r"there is no (database|store)"):
        await moved(nowhere, there)
    assert isinstance(there, Sqlite)
    assert not there.folder.exists()
    if isinstance(nowhere, Sqlite):
        assert not nowhere.folder.exists()


async def test_a_store_of_another_version_is_left_to_its_own_program(full: Sqlite, places: Places) -> None:
    there = places("bare postgres")
    assert isinstance(there, Postgres)
    with closing(sqlite3.connect(full.folder / "aftercall.db")) as connection:
        connection.execute("PRAGMA user_version = 3")
    with pytest.raises(StoreError, match=r"aftercall\.db has version 3, and this aftercall writes version"):
        await moved(full, there)
    async with there.open():
        pass
    await rows(there.url, "UPDATE aftercall.migrations SET version = 99 WHERE version = 1")
    for source, target in ((there, places("sqlite")), (full, there)):
        with pytest.raises(StoreError, match="has version"):
            await moved(source, target)


async def test_a_copy_needs_the_key_of_what_was_seen(full: Sqlite, places: Places) -> None:
    key = full.folder / "seen.key"
    key.write_bytes(b"x" * 32)
    with pytest.raises(StoreError, match=r"seen\.key is not the key that the database was filled with"):
        await moved(full, places("sqlite"))
    key.unlink()
    with pytest.raises(StoreError, match=r"seen\.key is missing"):
        await moved(full, places("sqlite"))
    assert not key.exists()


async def test_two_copies_at_once_are_refused(full: Sqlite, places: Places) -> None:
    there = places("postgres")
    first = side_of(there)
    await first.open_to()
    with pytest.raises(StoreInUse, match="another copy-store is at work in postgresql://"):
        await moved(full, there)
    await first.close()


async def test_what_it_noted_must_be_readable(full: Sqlite, places: Places) -> None:
    there = places("postgres")
    assert isinstance(there, Postgres)
    await halfway(full, there)
    await rows(there.url, "UPDATE aftercall.half_copy SET noted = '{\"form\": 99}'")
    with pytest.raises(StoreError, match="what it has noted of its copy cannot be read: remove it"):
        await moved(full, there)


# --- damage ---


def damage(full: Sqlite, *statements: str) -> None:
    """Change the database as a failing disk would: past every constraint."""
    with closing(sqlite3.connect(full.folder / "aftercall.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement


@KINDS
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE events SET body = x'00' WHERE sequence = 14", "events 0.*: its bytes are not those that were stored"),
        ("UPDATE events SET call = CAST(x'ff' AS TEXT) WHERE sequence = 14", "events 0.*: its bytes are not those"),
        ("UPDATE events SET rules = CAST(x'ff' AS TEXT) WHERE sequence = 14", "events 0.*: a text in it is no UTF-8"),
        (
            "UPDATE events SET received_at = 9223372036854775807 WHERE sequence = 14",
            "events 0.*: its bytes are not those",
        ),
        ("UPDATE events SET received_at = received_at + 1 WHERE sequence = 14", "events 0.*: its bytes are not those"),
        (
            "UPDATE quarantine SET body = x'' WHERE rowid = (SELECT max(rowid) FROM quarantine)",
            "quarantine 0.*: its body has not as many bytes",
        ),
        (
            "UPDATE deliveries SET remote_id = CAST(x'ff' AS TEXT) WHERE remote_id = 'remote-1'",
            "deliveries 0.*: a text",
        ),
    ],
)
async def test_a_damaged_row_is_copied_as_it_is_and_named(
    full: Sqlite, places: Places, kind: str, statement: str, said: str
) -> None:
    there = places(kind)
    damage(full, statement)
    found = await moved(full, there)
    assert (found.damaged.rows, found.left.rows) == (1, 0)
    (name,) = found.damaged.names
    assert re.fullmatch(f"{said}.*", name), name
    assert found.before == found.after
    async with there.open() as store:
        assert await store.summary() == found.before


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("UPDATE events SET id = 'other' WHERE sequence = 14", ["events other"]),
        ("UPDATE events SET id = upper(id) WHERE sequence = 14", ["events 0"]),
        ("UPDATE events SET id = CAST(x'ff' || substr(id, 2) AS TEXT) WHERE sequence = 14", [r"events \ufffd"]),
        ("UPDATE events SET received_at = -9223372036854775807 WHERE sequence = 14", ["events 0"]),
        ("UPDATE events SET revision = 1099511627776 WHERE sequence = 14", ["events 0"]),
        ("UPDATE deliveries SET attempt = 1099511627776 WHERE remote_id = 'remote-1'", ["deliveries 0"]),
        ("UPDATE deliveries SET held = 7 WHERE remote_id = 'remote-1'", ["deliveries 0"]),
        ("UPDATE deliveries SET event_id = 'other' WHERE remote_id = 'remote-1'", ["deliveries 0", "attempts 0"]),
        (
            "UPDATE quarantine SET last_at = -9223372036854775807 WHERE rowid = (SELECT max(rowid) FROM quarantine)",
            ["quarantine 0"],
        ),
    ],
)
async def test_what_can_be_no_row_there_is_left_and_named_and_all_others_move(
    full: Sqlite, places: Places, statement: str, left: list[str]
) -> None:
    """The sums hold: it counts as purged."""
    there = places("postgres")
    damage(full, statement)
    found = await moved(full, there)
    assert found.left.rows == len(left)
    assert [name.startswith(start) for name, start in zip(found.left.names, left, strict=True)] == [True] * len(left)
    assert found.after.received == found.before.received
    assert found.after.deliveries["created"] == found.before.deliveries["created"]
    async with there.open() as store:
        assert await store.summary() == found.after
        await _adds_up(store)


async def test_what_belongs_to_no_event_is_not_taken_by_sqlite(full: Sqlite, places: Places) -> None:
    """PostgreSQL has no foreign keys. What is left counts as purged; the counter of events was right."""
    here, there = places("postgres"), places("sqlite")
    assert isinstance(here, Postgres)
    await moved(full, here)
    await changed(here, "DELETE FROM events WHERE sequence = 3")
    found = await moved(here, there)
    assert [name.partition(" ")[0] for name in found.left.names] == ["deliveries", "attempts"]
    assert found.miscounted == ()
    assert found.after.deliveries["created"] == found.before.deliveries["created"]
    async with there.open() as store:
        await _adds_up(store)


async def test_a_counter_that_was_wrong_is_right_then_and_named(full: Sqlite, places: Places) -> None:
    there = places("postgres")
    async with full.open() as store:
        before = await store.summary()
    damage(full, "UPDATE event_totals SET n = n + 3 WHERE routed = 'routed'")
    damage(full, "DELETE FROM delivery_totals WHERE sink = 'slow'")
    found = await moved(full, there)
    assert found.miscounted == (
        f"routed: {before.routed + 3} were counted, {before.routed} are there",
        "deliveries 'slow' 'pending': 0 were counted, 1 are there",
    )
    async with there.open() as store:
        assert await store.summary() == found.after == before


async def test_no_message_has_anything_of_a_call(full: Sqlite, places: Places) -> None:
    there = places("postgres")
    damage(full, "UPDATE events SET call = 'revealed', id = 'other' WHERE sequence = 14")
    found = await moved(full, there)
    assert "revealed" not in json.dumps([*found.damaged.names, *found.left.names, *found.miscounted])


def test_passwords_are_in_no_name() -> None:
    url = "postgresql://me@localhost/x"
    assert str(PostgresSide(place_of(urlsplit(url)._replace(netloc="me:secret@localhost").geturl()))) == url
    assert issubclass(Differs, AftercallError)
