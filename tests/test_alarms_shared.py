"""Alarms where several routers share a store: each tells its own, and the one that keeps house what is wrong for all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import structlog
from aiohttp import web

from router.alarm import WHOSE, Cause
from router.app import Router
from router.errors import StoreError
from router.listening import Listening
from router.memory import MEMO, Kept, StoreMemory
from router.standing import Standing
from router.store.base import Store
from router.store.postgres.engine import PostgresStore
from router.store.sqlite import open_store
from router.store.sqlite.engine import SqliteStore
from router.testing import Answer, FakeEndpoint, ManualClock, make_alarm
from router.timeline import Since, Timeline
from store_engines import place_of
from support import NOON, until_awaited
from test_alarms import HOUR, MINUTE, Bench, bench, causes, dead_letter, said, store_fails

__all__ = ["bench"]

QUARTER = 15 * MINUTE


@dataclass
class House:
    """Who keeps house; whatever an engine says of itself."""

    keeper: Store | None = None
    #: One that everybody keeps, as long as there is only one router.
    everybody: bool = False


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    kept = House()
    said_so = property(lambda store: kept.everybody or store is kept.keeper, lambda *_: None)
    for engine in (SqliteStore, PostgresStore):
        monkeypatch.setattr(engine, "keeps_house", said_so)

    async def beaten(*_: object, **__: object) -> None:
        """So that all go by the time that the test passes, and not by the server's."""

    monkeypatch.setattr(PostgresStore, "beat", beaten)
    return kept


def test_every_cause_is_looked_at_by_somebody() -> None:
    assert WHOSE.keys() == set(Cause)


def test_operators_read_whose_each_is() -> None:
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(\w+)` \| (router|store) \|", page, re.MULTILINE)) == {
        cause.value: whose.value for cause, whose in WHOSE.items()
    }


# --- one router, and a house that is not always its own ---


async def test_who_does_not_keep_house_tells_its_own_and_nothing_of_the_store(bench: Bench, house: House) -> None:
    bench.crm.answer(Answer(status=410))
    bench.more = ", silent_after: {s: 1h}"
    async with bench.running() as router:
        await dead_letter(router)
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        router.alarms.note(Cause.HANGS, "crm")
        for _ in range(3):
            await bench.look(router, 2 * HOUR)
        assert causes(router) == ["reload", "hangs"]
        house.keeper = router.store
        await bench.look(router)
        assert causes(router) == ["reload", "down", "hangs", "dead", "quarantine", "silent"]
    assert sorted(said(bench.it)[:2]) == [("raised", "hangs", "crm"), ("raised", "reload", "routes.yaml")]
    assert sorted(said(bench.it)[2:]) == [
        ("raised", "dead", "crm"),
        ("raised", "down", "crm"),
        ("raised", "quarantine", ""),
        ("raised", "silent", "s"),
    ]


async def test_who_loses_the_house_forgets_what_is_wrong_for_all_and_says_not_that_it_is_well(
    bench: Bench, house: House
) -> None:
    async with bench.running() as router:
        house.keeper = router.store
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.HANGS, "crm")
        await bench.look(router)
        house.keeper = None
        await bench.look(router, HOUR)
        assert causes(router) == ["hangs"]
        assert [one.cause for one in await router.alarms.all()] == ["hangs", "quarantine"], "somebody looks at it"
        house.keeper = router.store
        for _ in range(3):
            await bench.look(router, HOUR)
        assert causes(router) == ["hangs", "quarantine"]
        assert router.alarms.active[1].since == NOON
    assert sorted(said(bench.it)) == [("raised", "hangs", "crm"), ("raised", "quarantine", "")]


async def test_what_waits_for_a_sink_when_the_house_is_lost_is_told_by_who_keeps_it_then(
    bench: Bench, house: House
) -> None:
    bench.it.answer(Answer(status=500), Answer())
    async with bench.running() as router:
        house.keeper = router.store
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        house.keeper = None
        for _ in range(3):
            await bench.look(router, QUARTER)
        assert len(bench.it.requests) == 1
        house.keeper = router.store
        await bench.look(router)
        await bench.look(router, HOUR)
    assert said(bench.it) == [("raised", "quarantine", "")] * 2, "the first was not taken"
    assert len({request.headers["webhook-id"] for request in bench.it.requests}) == 1
    assert said(bench.ops) == [("raised", "quarantine", "")]


async def test_what_a_sink_is_about_to_be_told_when_the_house_is_lost_it_is_not_told(
    bench: Bench, house: House
) -> None:
    gate = asyncio.Event()

    async def slowly(_: object) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    bench.it.answer(slowly, Answer())
    async with bench.running() as router:
        house.keeper = router.store
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.HANGS, "crm")
        await router.alarms.look()
        await bench.it.received()
        house.keeper = None
        await router.alarms.look()
        gate.set()
        await bench.look(router, HOUR)
    assert said(bench.it) == [("raised", "hangs", "crm")]


async def test_what_another_router_did_in_a_moment_that_nobody_noticed_counts(bench: Bench, house: House) -> None:
    house.everybody = True
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        kept = await router.store.memo(MEMO)
        assert kept is not None
        there = json.loads(kept)
        for alarm in (there["standing"][0]["alarm"], there["standing"][0]["told"]):
            alarm |= {"count": 7, "router": "other"}
        await router.store.keep_memo(MEMO, json.dumps(there).encode())
        for number in range(6):
            await router.inbox.accept("s", b"{%d" % number)
        await bench.look(router, 2 * HOUR)
    assert said(bench.it) == [("raised", "quarantine", "")], "another told of seven"


async def test_a_store_that_fails_when_the_house_is_taken_over_leaves_all_that_is_known_as_it_is(
    bench: Bench, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.everybody = True
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
    house.everybody = False
    async with bench.running() as router:
        await bench.look(router)
        house.everybody = True
        with store_fails(router, monkeypatch):
            router.alarms.note(Cause.DOWN, "mail")
            await bench.look(router)
            assert causes(router) == []
            for _ in range(3):
                await bench.look(router, HOUR)
            assert causes(router) == ["store"]
            router.alarms.well(Cause.DOWN, "mail")
        await bench.look(router, HOUR)
        assert causes(router) == ["quarantine"]
    assert said(bench.it) == [("raised", "quarantine", ""), ("raised", "store", ""), ("cleared", "store", "")]


async def test_that_the_store_fails_is_told_once_over_restarts_while_it_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: Store) -> None:
        raise StoreError

    monkeypatch.setattr(SqliteStore, "check", fail)
    for _ in range(2):
        async with bench.running() as router:
            await bench.look(router)
            await bench.look(router, HOUR)
            assert causes(router) == ["store"]
            await bench.look(router, HOUR)
    assert said(bench.it) == said(bench.ops) == [("raised", "store", "")]


async def test_what_a_sink_took_is_kept_before_anybody_looks_again(bench: Bench) -> None:
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.HANGS, "crm")
        await bench.look(router)
        in_file = json.loads((bench.folder / "data" / "alarms.json").read_text())
        in_store = json.loads(await router.store.memo(MEMO) or b"{}")
    (own,), (shared,) = in_file["standing"], in_store["standing"]
    assert (own["alarm"]["cause"], shared["alarm"]["cause"]) == ("hangs", "quarantine")
    assert sorted(own["informed"]) == sorted(shared["informed"]) == ["it", "ops"]


# --- what is kept in the store ---


def test_who_was_never_heard_is_kept_also_before_anybody_has_listened_again() -> None:
    listening = Listening(Since(Timeline()))
    listening.remember({"other": NOON})
    assert listening.to_keep(()) == {"other": NOON}


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[StoreMemory]:
    async with open_store(tmp_path / "aftercall.db", parse=json.loads) as store:
        yield StoreMemory(store, structlog.get_logger())


def kept(count: int) -> Kept:
    return Kept((Standing(make_alarm(Cause.DEAD, count=count)),))


async def test_what_is_there_is_recalled_once_and_not_what_one_kept_oneself(memory: StoreMemory) -> None:
    assert await memory.recall() == Kept()
    assert await memory.recall() is None
    await memory.keep(kept(1))
    assert await memory.recall() is None
    assert await memory.peek() == kept(1)
    memory.leave()
    assert await memory.recall() == kept(1)


async def test_what_a_write_that_failed_left_there_is_not_taken_for_another_router_s(
    memory: StoreMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory.recall()
    await memory.keep(kept(1))
    write = memory._store.keep_memo

    async def cut(name: str, content: bytes) -> None:
        await write(name, content)
        raise StoreError

    with monkeypatch.context() as failing:
        failing.setattr(memory._store, "keep_memo", cut)
        await memory.keep(kept(2))
    assert await memory.recall() is None
    await memory.keep(kept(3))
    assert await memory.recall() is None
    assert await memory.peek() == kept(3)


async def test_a_damaged_memo_is_forgotten(memory: StoreMemory) -> None:
    await memory._store.keep_memo(MEMO, b"{")
    assert await memory.recall() == Kept()
    await memory.keep(Kept())
    assert await memory.peek() == Kept()
    assert await memory._store.memo(MEMO) != b"{"


# --- two routers, one database ---


SHARED = """
store: {url}
store_password: "${{PASSWORD:-none}}"
"""


class Pair:
    """Two routers of one store, with the same far sides and the same clock."""

    def __init__(self, folder: Path, url: str, endpoints: dict[str, FakeEndpoint], house: House) -> None:
        self.clock = ManualClock(NOON)
        self.house = house
        self.it, self.ops, self.crm = endpoints["it"], endpoints["ops"], endpoints["crm"]
        self._password = unquote(urlsplit(url).password or "")
        self.benches: list[Bench] = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            one = Bench(folder / name, endpoints)
            one.clock, one.head = self.clock, SHARED.format(url=place_of(url).url)
            one.sources = (
                "s: {token: 5d0c1f8e7b6a49d2a3f4c5b6d7e8f901}, other: {token: 5d0c1f8e7b6a49d2a3f4c5b6d7e8f902}"
            )
            self.benches.append(one)

    @asynccontextmanager
    async def running(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Router, Router]]:
        async with AsyncExitStack() as stack:
            a, b = [await stack.enter_async_context(self.one(at, monkeypatch)) for at in (0, 1)]
            yield a, b
            self.house.keeper = None

    @asynccontextmanager
    async def one(self, at: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Router]:
        """One of them, under a name of its own."""
        with monkeypatch.context() as named:
            named.setattr("socket.gethostname", lambda: f"router-{at}")
            named.setenv("PASSWORD", self._password)
            starting = self.benches[at].running()
            router = await starting.__aenter__()
        try:
            yield router
        finally:
            await starting.__aexit__(None, None, None)

    async def look(self, *routers: Router, after: timedelta = timedelta(0)) -> None:
        """So much later all of them look, one after the other, until nothing is in flight."""
        for router in routers:
            await self.benches[0].rest(router)
        self.clock.advance(after)
        for router in routers:
            await self.benches[0].look(router)
        for router in routers:
            await self.benches[0].rest(router)


@pytest.fixture
async def pair(database: str, tmp_path: Path, house: House) -> AsyncIterator[Pair]:
    async with FakeEndpoint() as it, FakeEndpoint() as ops, FakeEndpoint() as crm:
        yield Pair(tmp_path, database, {"it": it, "ops": ops, "crm": crm}, house)


async def test_a_dead_letter_is_told_once_and_all_clear_once_however_often_the_house_moves(
    pair: Pair, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.crm.answer(Answer(status=400), Answer())
    async with pair.running(monkeypatch) as both:
        a, b = both
        dead = await dead_letter(b)
        house.keeper = a.store
        await pair.look(*both)
        for keeper, other in ((b, a), (a, b), (b, a)):
            house.keeper = keeper.store
            await pair.look(*both, after=HOUR)
            assert causes(keeper) == ["dead"]
            assert causes(other) == []
            assert [one.since for one in await other.alarms.all()] == [NOON]
        await a.store.replay(dead, now=pair.clock.now())
        a.lanes["crm"].wake()
        await pair.crm.received(2)

        async def settled() -> bool:
            return (await a.store.summary()).deliveries["delivered"] == 1

        await until_awaited(settled)
        for keeper in (a, b, a):
            house.keeper = keeper.store
            await pair.look(*both, after=HOUR)
            assert causes(a) == causes(b) == []
    assert said(pair.it) == said(pair.ops) == [("raised", "dead", "crm"), ("cleared", "dead", "crm")]


async def test_a_source_that_never_called_is_silent_wherever_the_house_is(
    pair: Pair, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in pair.benches:
        one.more = ", silent_after: {other: 30m}"
    async with pair.running(monkeypatch) as both:
        for keeper in both:
            house.keeper = keeper.store
            await pair.look(*both)
            for _ in range(2):
                await pair.look(*both, after=8 * MINUTE)
        assert [(one.subject, one.since) for one in both[1].alarms.active] == [("other", NOON)]
    assert said(pair.it) == [("raised", "silent", "other")]


async def test_who_keeps_house_next_goes_on_and_each_alarm_names_who_says_so(
    pair: Pair, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair.one(1, monkeypatch) as b:
        async with pair.one(0, monkeypatch) as a:
            house.keeper = a.store
            await a.inbox.accept("s", b"{")
            a.alarms.note(Cause.RELOAD, "routes.yaml")
            b.alarms.note(Cause.RELOAD, "routes.yaml")
            await pair.look(a, b)
            house.keeper = b.store
        (line,) = (await b.store.quarantined()).items
        await b.store.end_quarantined(line.id, reason="a scanner")
        b.alarms.well(Cause.RELOAD, "routes.yaml")
        await pair.look(b, after=HOUR)
    told = [json.loads(request.body) for request in pair.it.requests]
    assert sorted((one["type"], one["data"]["cause"], one["data"]["router"]) for one in told) == [
        ("alarm.cleared", "quarantine", "router-1"),
        ("alarm.cleared", "reload", "router-1"),
        ("alarm.raised", "quarantine", "router-0"),
        ("alarm.raised", "reload", "router-0"),
        ("alarm.raised", "reload", "router-1"),
    ]
    assert len({request.headers["webhook-id"] for request in pair.it.requests}) == len(told)
