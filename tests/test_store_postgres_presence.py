"""Which routers have one PostgreSQL: their names, their beats, who keeps house, and whose claims are whose."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from databases import own_server, rows
from router.delivery import DeliveryState, Done
from router.errors import NameTaken, StoreError
from router.store.postgres.engine import PostgresStore, open_store
from router.store.values import Card, Owed
from store_engines import NOW, Databases, accepted, arrival, at, claim_one, place_of, settlement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from postgres_server import Server

#: Long enough for whatever a test waits for.
DEADLINE: Final = 30.0
CARD: Final = Card("1.0", "rules")


@pytest.fixture
def url(databases_of_stores: Databases) -> Iterator[str]:
    with databases_of_stores.one() as made:
        yield made


@pytest.fixture
def own() -> Iterator[Server]:
    with own_server() as made:
        yield made


@asynccontextmanager
async def opened(url: str, name: str = "berlin", **settings: Any) -> AsyncIterator[PostgresStore]:
    async with open_store(place_of(url), parse=json.loads, name=name, **settings) as store:
        yield store


async def until(true: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await true():
            await asyncio.sleep(0.02)


async def beat(*stores: PostgresStore) -> None:
    for store in stores:
        await store.beat(CARD, now=NOW)


async def beats(store: PostgresStore) -> bool:
    """Whether it can."""
    try:
        await beat(store)
    except StoreError:
        return False
    return True


async def cut(url: str, name: str) -> None:
    """End the connection by which this router is there, on the server."""
    ended = await rows(url, "SELECT pg_terminate_backend(pid, 10000) FROM aftercall.routers WHERE name = $1", name)
    assert ended == [(True,)]


async def falls_silent(url: str, name: str) -> None:
    """As if it had not beaten for as long as nobody may who is alive."""
    await rows(url, "UPDATE aftercall.routers SET beat_at = now() - interval '21 seconds' WHERE name = $1", name)


# --- who is there ---


async def test_routers_see_each_other_and_one_of_them_keeps_house(url: str) -> None:
    async with opened(url, "berlin") as berlin, opened(url, "aachen") as aachen:
        assert not berlin.keeps_house, "not before it has beaten"
        await beat(berlin, aachen)
        await aachen.beat(Card("1.1", "others", -93.0), now=NOW)
        assert (berlin.keeps_house, aachen.keeps_house) == (True, False)
        lines = await berlin.routers()
        assert [(line.name, line.here, line.alive, line.keeps_house, line.version, line.ahead) for line in lines] == [
            ("aachen", False, True, False, "1.1", -93.0),
            ("berlin", True, True, True, "1.0", 0.0),
        ]
        assert [line.here for line in await aachen.routers()] == [True, False]
    async with opened(url, "hamburg") as hamburg:
        assert list(await hamburg.routers()) == [], "who stops gracefully is not missed"


async def test_whoever_beats_next_keeps_house_when_its_keeper_has_gone(url: str) -> None:
    async with opened(url, "aachen") as aachen:
        async with opened(url, "berlin") as berlin:
            await beat(berlin, aachen)
            assert not aachen.keeps_house
        await beat(aachen)
        assert aachen.keeps_house


async def test_one_that_is_new_leaves_the_house_to_those_that_are_there_longer(url: str) -> None:
    """They know more of the clock: what it showed, and whether it was set."""
    async with opened(url, "aachen") as aachen, opened(url, "berlin") as berlin, opened(url, "celle") as celle:
        await beat(berlin, aachen, aachen)
        await cut(url, "berlin")
        await beat(celle, celle)
        assert not celle.keeps_house
        await beat(aachen, celle)
        assert (aachen.keeps_house, celle.keeps_house) == (True, False)
        await cut(url, "aachen")
        await beat(celle)
        assert celle.keeps_house


async def test_one_that_was_there_just_now_counts_as_one_that_is(url: str) -> None:
    """Where a standby has taken over, it has connected to it no later than with its next beat."""
    async with opened(url, "aachen") as aachen, opened(url, "berlin") as berlin:
        await beat(berlin)
        await cut(url, "berlin")
        await beat(aachen, aachen)
        assert not aachen.keeps_house
        await beat(aachen)
        assert aachen.keeps_house


async def test_who_sends_nothing_keeps_no_house(url: str) -> None:
    """It would tell nobody what is wrong."""
    async with opened(url) as held, opened(url, "aachen") as other:
        await held.beat(replace(CARD, holds=True), now=NOW)
        assert not held.keeps_house
        await beat(other)
        assert other.keeps_house, "it is nobody to leave the house to"
        assert [(line.name, line.holds) for line in await other.routers()] == [("aachen", False), ("berlin", True)]


async def test_a_keeper_that_lost_its_connection_keeps_house_no_more_and_is_there_again(url: str) -> None:
    async with opened(url, "aachen") as aachen, opened(url, "berlin") as berlin:
        await beat(berlin, aachen, aachen)
        await cut(url, "berlin")
        await until(lambda: asyncio.sleep(0, not berlin.keeps_house))
        await beat(aachen, berlin)
        assert (aachen.keeps_house, berlin.keeps_house) == (True, False)
        assert [line.keeps_house for line in await berlin.routers()] == [True, False]


async def test_a_keeper_that_does_not_beat_is_relieved(url: str) -> None:
    """It hangs, and its connection does not: nobody would ever keep house."""
    async with opened(url, "aachen", silent=0.2) as aachen, opened(url, "berlin") as berlin:
        await beat(berlin, aachen)
        await falls_silent(url, "berlin")
        assert [line.alive for line in await aachen.routers()] == [True, False]

        async def relieved() -> bool:
            await beat(aachen)
            return aachen.keeps_house

        await until(relieved)
        await until(partial(beats, berlin))
        assert not berlin.keeps_house
        assert [line.alive for line in await aachen.routers()] == [True, True]


async def test_a_keeper_that_beats_keeps_house_although_the_servers_clock_was_set_forward(url: str) -> None:
    async with opened(url, "aachen", silent=0.2) as aachen, opened(url, "berlin") as berlin:
        await beat(berlin, aachen)
        for _ in range(20):  # as long as it takes to relieve one that is silent
            await falls_silent(url, "berlin")
            await beat(aachen)
            await asyncio.sleep(0.02)
            await beat(berlin, aachen)
        assert (berlin.keeps_house, aachen.keeps_house) == (True, False)


async def test_a_keeper_is_not_taken_for_a_router_of_long_ago_whose_process_had_its_number(url: str) -> None:
    async with opened(url) as berlin, opened(url, "aachen") as aachen:
        await beat(berlin)
        assert berlin.keeps_house
        await rows(
            url,
            "INSERT INTO aftercall.routers SELECT 'old', run, pid, connected_at - interval '1 day', version, rules, 0, false, started_at,"
            " now() - interval '1 day' FROM aftercall.routers WHERE name = 'berlin'",
        )
        await beat(aachen, berlin)
        assert (berlin.keeps_house, aachen.keeps_house) == (True, False)
        assert [(line.name, line.keeps_house) for line in await aachen.routers()] == [
            ("aachen", False), ("berlin", True), ("old", False),
        ]  # fmt: skip


async def test_who_was_not_seen_for_a_week_is_forgotten_by_whoever_keeps_house(url: str) -> None:
    async with opened(url, "aachen") as aachen, opened(url, "berlin") as berlin:
        await beat(berlin)
        for name, days in (("old", 8), ("young", 6)):
            await rows(
                url,
                "INSERT INTO aftercall.routers SELECT $1, run, 0, connected_at, version, rules, 0, false, started_at, now() - make_interval(days => $2)"
                " FROM aftercall.routers LIMIT 1",
                name, days,
            )  # fmt: skip
        await beat(aachen)
        assert [line.name for line in await aachen.routers()] == ["aachen", "berlin", "old", "young"]
        await beat(berlin)
        assert [(line.name, line.alive) for line in await aachen.routers()] == [
            ("aachen", True), ("berlin", True), ("young", False),
        ]  # fmt: skip


async def test_the_time_that_a_beat_tells_is_the_servers(url: str) -> None:
    async with opened(url) as store:
        ((before,),) = await rows(url, "SELECT clock_timestamp()")
        time = await store.beat(CARD, now=NOW)
        ((after,),) = await rows(url, "SELECT clock_timestamp()")
        assert before < time < after


# --- names ---


async def test_a_twin_is_refused_and_told_who_has_the_name_and_what_to_do(url: str) -> None:
    told: list[str] = []
    async with opened(url) as first:
        await beat(first)
        with pytest.raises(NameTaken) as refused:
            async with opened(url, waits=0.5, told=told.append):
                pass
        (line,) = await first.routers()
        said = str(refused.value)
        assert "another router there has the name 'berlin' (" in said
        assert f"since {line.started_at:%Y-%m-%d %H:%M:%S} UTC, version 1.0)" in said
        assert "give each router a `name` of its own in routes.yaml" in said
        assert told == [said], "once"
        await beat(first)
        assert first.keeps_house


async def test_a_name_is_waited_for_while_the_connection_of_an_earlier_run_lingers(url: str) -> None:
    told = asyncio.Event()
    async with opened(url) as first:
        await beat(first)

        async def again() -> list[bool]:
            async with opened(url, told=lambda _: told.set()) as store:
                await beat(store)
                return [store.keeps_house]

        starting = asyncio.create_task(again())
        await told.wait()
    assert await starting == [True]


async def test_a_name_of_a_run_that_hangs_is_free_when_it_was_not_heard_of_for_long_enough(url: str) -> None:
    async with opened(url) as hanging:
        await beat(hanging)
        await falls_silent(url, "berlin")
        async with opened(url, silent=0.2) as store:
            await beat(store)
            with pytest.raises(NameTaken, match="another router there has the name 'berlin'"):
                await beat(hanging)
            assert not hanging.keeps_house
        await until(partial(beats, hanging))


async def test_a_name_that_was_taken_meanwhile_is_an_error_until_it_is_free(url: str) -> None:
    async with opened(url) as store:
        await beat(store)
        await cut(url, "berlin")
        async with opened(url) as twin:
            await beat(twin)
            for _ in range(2):
                with pytest.raises(NameTaken, match="give each router a `name` of its own"):
                    await beat(store)
            assert not store.keeps_house
            assert twin.keeps_house
            assert [line.here for line in await store.routers()] == [False]
            await beat(twin)
        await until(partial(beats, store))
        assert store.keeps_house


class Way:
    """A way to a server. When it is cut, the server does not hear of it, as when a cable is pulled."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._near: list[asyncio.StreamWriter] = []
        self.far: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        try:
            yield url.replace(f":{self._port}/", f":{port}/")
        finally:
            listener.close()
            for end in (*self._near, *self.far):
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._near.append(writer)
        self.far.append(far_writer)

        async def back() -> None:
            while data := await far_reader.read(65536):
                writer.write(data)

        answering = asyncio.create_task(back())
        while data := await reader.read(65536):
            far_writer.write(data)
        answering.cancel()

    def cut(self) -> None:
        for end in self._near:
            end.transport.abort()
        self._near.clear()


async def test_a_router_that_was_cut_off_is_not_its_own_twin(url: str) -> None:
    way = Way(int(place_of(url).host.rpartition(":")[2]))
    async with way.open(url) as through, opened(through) as store:
        await beat(store)
        before = len(way.far)
        way.cut()
        with pytest.raises(StoreError, match="connection"):
            await beat(store)
        await beat(store)
        assert store.keeps_house
        assert all(not end.is_closing() for end in way.far[:before]), "the server was not told"


async def test_a_beat_waits_for_no_standby(own: Server) -> None:
    """Or the name would be lost with each that takes too long."""
    async with opened(own.url, patience=2.0) as store:
        await beat(store)
        own.set(synchronous_standby_names="nobody")
        for _ in range(3):
            await beat(store)
        assert store.keeps_house


async def test_a_server_that_hangs_costs_no_name(own: Server) -> None:
    async with opened(own.url, patience=0.5) as store:
        await beat(store)
        own.pause()
        try:
            with pytest.raises(StoreError, match="does not answer"):
                await beat(store)
            assert not store.keeps_house
        finally:
            own.resume()
        await until(partial(beats, store))
        assert store.keeps_house


async def test_a_router_whose_machine_is_gone_is_not_held_to_be_there_for_long(url: str) -> None:
    """Half a minute: so long a name is waited for at a start."""
    async with opened(url) as store:

        async def set_to(name: str) -> int:
            async def ask(connection: Any) -> Any:
                return await connection.fetchval("SELECT setting::int FROM pg_settings WHERE name = $1", name)

            found: int = await store.writer.run(ask)
            return found

        idle, interval, count = [await set_to(f"tcp_keepalives_{what}") for what in ("idle", "interval", "count")]
        assert 0 < idle + interval * count <= 30
        assert 0 < await set_to("tcp_user_timeout") <= 30_000


# --- whose claims are whose ---


async def test_a_start_takes_back_what_has_its_name_and_nothing_else(url: str) -> None:
    async with opened(url, "aachen") as aachen:
        async with opened(url, "berlin") as berlin:
            await accepted(berlin, arrival("one", owed=(Owed("a", at(900)),)))
            await accepted(aachen, arrival("two", owed=(Owed("b", at(900)), "c")))
            await claim_one(berlin, "c", until=900)
        async with opened(url, "berlin") as berlin:
            taken = await berlin.retake(now=at(1), left_behind=True)
            assert (taken.lost, sorted(taken.sinks)) == (2, ["a", "c"])
            lines = (await berlin.deliveries()).items
            assert {line.sink for line in lines if line.state is DeliveryState.CLAIMED} == {"b"}
            assert (await berlin.retake(now=at(900))).sinks == {"b"}, "but what ran out"


async def test_what_is_claimed_no_more_is_nobodys(url: str) -> None:
    async with opened(url) as store:
        await accepted(store, arrival(owed=("a", "b", "c")))
        settled, released, lost = [await claim_one(store, sink, until=60) for sink in "abc"]
        assert await rows(url, "SELECT DISTINCT claimed_by FROM aftercall.deliveries") == [("berlin",)]
        assert await store.settle(settled, settlement(Done()))
        assert await store.release(released, now=NOW)
        assert (await store.retake(now=at(60))).lost == 1
        assert lost.delivery.sink == "c"
        assert await rows(url, "SELECT DISTINCT claimed_by FROM aftercall.deliveries") == [(None,)]
