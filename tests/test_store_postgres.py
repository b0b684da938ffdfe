"""What PostgreSQL does beside the contract: several routers at once, a server in trouble, months, and what grows."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import asyncpg
import pytest
import trustme

from databases import own_server, rows
from ports import free_port
from postgres_server import PASSWORD
from router.delivery import Again, Dead, DeliveryState, Done, LaneRow
from router.errors import StoreBusy, StoreError
from router.event import Channel
from router.store.base import Store
from router.store.migrations import Migration
from router.store.postgres import Place, schema, server
from router.store.postgres.engine import PostgresStore, open_store
from router.store.postgres.months import Month
from router.store.postgres.queries import SQL
from router.store.postgres.writer import CONNECTIONS
from router.store.statements import named
from router.store.values import DAMAGED, LOOK_AGAIN, Accepted, Claims, Duplicate, Owed, Purged, RoutedAs
from store_engines import (
    DAY,
    NOW,
    Databases,
    accepted,
    arrival,
    at,
    claim_one,
    dead_one,
    every,
    place_of,
    purge,
    quarantine,
    settlement,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from postgres_server import Server

PACKAGE: Final = Path(server.__file__).parent
#: What the engines share.
_SHARED = (PACKAGE.parent, PACKAGE.parent / "moving")
#: Long enough for whatever a test waits for.
DEADLINE: Final = 30.0


@pytest.fixture
def url(databases_of_stores: Databases) -> Iterator[str]:
    with databases_of_stores.one() as made:
        yield made


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[PostgresStore]:
    async with open_store(place_of(url), parse=json.loads, **settings) as store:
        yield store


@pytest.fixture
def vacuums() -> Iterator[Server]:
    """A server that looks every second what to vacuum."""
    with own_server(autovacuum_naptime="1s") as server:
        yield server


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def routers(url: str) -> AsyncIterator[list[Store]]:
    """The stores of three routers that have the same database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(opened(url, name=f"router-{n}")) for n in range(3)]


async def until(true: Callable[[], Any]) -> None:
    """Wait for it."""
    async with asyncio.timeout(DEADLINE):
        while not await true():
            await asyncio.sleep(0.02)


async def takes_calls(store: Store) -> bool:
    try:
        await store.check()
    except StoreError:
        return False
    return True


# --- several routers ---


@pytest.mark.case("DUR-16")
async def test_the_same_call_at_several_routers_at_once_is_one_event(routers: list[Store]) -> None:
    for n in range(10):
        call = arrival(f"call-{n}", owed=("screen",))
        answers = await asyncio.gather(*(store.accept(call) for store in routers for _ in range(5)))
        (event,) = [answer for answer in answers if isinstance(answer, Accepted)]
        assert {answer.event_id for answer in answers} == {event.event_id}
    summary = await routers[0].summary()
    assert (summary.events, summary.duplicates, summary.deliveries["created"]) == (10, 140, 10)
    assert [await store.summary() for store in routers] == [summary] * 3


async def test_revisions_that_come_to_several_routers_at_once_are_numbered_without_a_gap(routers: list[Store]) -> None:
    owed = (Owed("boss", once=True), Owed("file"))
    answers = await asyncio.gather(
        *(store.accept(arrival(text=f"{n}-{k}", owed=owed)) for n, store in enumerate(routers) for k in range(7))
    )
    assert sorted(answer.revision for answer in answers if isinstance(answer, Accepted)) == list(range(1, 22))
    assert Counter(line.sink for line in await every(lambda after: routers[0].deliveries(after=after))) == {
        "boss": 1, "file": 21,
    }  # fmt: skip


async def test_routers_that_see_the_same_calls_in_another_order_do_not_wait_for_each_other(own: Server) -> None:
    async with opened(own.url) as one, opened(own.url, name="other") as other:
        for round_ in range(4):
            calls = [arrival(f"call-{round_}-{n}") for n in range(200)]
            for _ in range(2):  # new, and then known already
                await asyncio.gather(*map(one.accept, calls), *map(other.accept, reversed(calls)))
        summary = await one.summary()
    assert (summary.events, summary.duplicates) == (800, 2400)
    assert "deadlock" not in own.log


async def test_no_delivery_is_claimed_by_two_routers(routers: list[Store]) -> None:
    await asyncio.gather(*(routers[0].accept(arrival(f"call-{n}", owed=("screen",))) for n in range(60)))
    found = await asyncio.gather(
        *(store.claim("screen", limit=3, now=at(1), until=at(60)) for store in routers for _ in range(8))
    )
    ids = [claim.delivery.id for one in found for claim in one.claims]
    assert len(ids) == len(set(ids)) == 60
    settled = await asyncio.gather(
        *(store.settle(claim, settlement(Done())) for one in found for claim in one.claims for store in routers)
    )
    assert settled.count(True) == 60, "each once, whoever is asked"
    assert (await routers[1].summary()).deliveries["delivered"] == 60


async def test_two_routers_never_hold_two_suspects(routers: list[Store]) -> None:
    for n in range(6):
        await accepted(routers[0], arrival(f"call-{n}", owed=(f"sink-{n % 3}",)))
    for when in (1, 3):
        for n in range(3):
            await routers[n].claim(f"sink-{n}", limit=9, now=at(when), until=at(when + 1))
        assert (await routers[0].retake(now=at(when + 1))).lost == 6
    found = await asyncio.gather(
        *(store.claim(f"sink-{n}", limit=9, now=at(5), until=at(60)) for store in routers for n in range(3))
    )
    assert sum(len(one.claims) for one in found) == 1


async def test_a_claim_that_another_router_takes_back_is_taken_back_once(routers: list[Store]) -> None:
    for n in range(20):
        await accepted(routers[0], arrival(f"call-{n}", owed=(Owed("screen", at(5)),)))
    taken = await asyncio.gather(*(store.retake(now=at(6)) for store in routers))
    assert sum(one.lost for one in taken) == 20
    (line, *_) = (await routers[0].deliveries()).items
    assert line.lost == 1


async def test_a_purge_takes_nothing_that_another_router_owes_meanwhile(routers: list[Store]) -> None:
    dead = [await dead_one(routers[0], f"call-{n}") for n in range(20)]

    async def replayed(id_: str) -> bool:
        try:
            await routers[1].replay(id_, now=at(DAY))
        except LookupError:
            return False
        return True

    owed, removed = await asyncio.gather(
        asyncio.gather(*map(replayed, dead)),
        asyncio.gather(*(store.purge(events=at(DAY), quarantine=None, seen=None, limit=5) for store in routers)),
    )
    assert sum(one.events for one in removed) + sum(owed) == 20
    summary = await routers[2].summary()
    assert (summary.events, summary.deliveries["pending"]) == (sum(owed), sum(owed))


async def test_routers_that_start_at_once_make_one_database(databases_of_stores: Databases) -> None:
    url = databases_of_stores.unmade()
    async with AsyncExitStack() as stack:
        stores = await asyncio.gather(*(stack.enter_async_context(opened(url, name=f"router-{n}")) for n in range(4)))
        await asyncio.gather(*(store.make_ready(now=NOW) for store in stores))
        event = await accepted(stores[0], arrival())
        assert await stores[3].accept(arrival()) == Duplicate(event.event_id), "they have the same key"
    assert await rows(url, "SELECT count(*) FROM aftercall.migrations") == [(len(schema.KNOWN),)]


# --- a server in trouble ---


@pytest.fixture
def own() -> Iterator[Server]:
    with own_server() as made:
        yield made


async def test_while_the_server_is_away_a_call_is_refused_at_once_and_taken_again_when_it_is_back(own: Server) -> None:
    async with opened(own.url) as store:
        first = await accepted(store, arrival("before"))
        await asyncio.to_thread(own.stop)
        waits = [asyncio.create_task(store.accept(arrival(f"call-{n}"))) for n in range(50)]
        for refused in await asyncio.gather(*waits, return_exceptions=True):
            assert isinstance(refused, StoreError)
            assert str(own.port) in str(refused)
        with pytest.raises(StoreError, match=r"connection|listens|starting"):
            await store.summary()
        await asyncio.to_thread(own.start)
        await until(partial(takes_calls, store))
        assert await store.accept(arrival("before")) == Duplicate(first.event_id)
        assert (await store.summary()).events == 1


async def test_what_was_answered_is_there_after_the_server_was_killed(own: Server) -> None:
    async with opened(own.url) as store:
        answered: set[str] = set()

        async def send(n: int) -> None:
            try:
                answered.add((await accepted(store, arrival(f"call-{n}"))).event_id)
            except StoreError:
                return

        sending = asyncio.gather(*(send(n) for n in range(600)))
        await until(lambda: asyncio.sleep(0, len(answered) > 50))
        await asyncio.to_thread(own.kill)
        await sending
        await asyncio.to_thread(own.start)
        await until(partial(takes_calls, store))
        there = {line.id for line in await every(lambda after: store.events(after=after, limit=500))}
        assert answered <= there
        assert (await store.summary()).events == len(there)


async def test_a_server_that_hangs_is_given_up_and_not_waited_for_again(own: Server) -> None:
    async with opened(own.url, patience=0.5) as store:
        await accepted(store, arrival("before"))
        own.pause()
        try:
            refused = await asyncio.gather(
                *(store.accept(arrival(f"call-{n}")) for n in range(9)), return_exceptions=True
            )
            assert {type(one) for one in refused} == {StoreError}
            assert "does not answer" in str(refused[0])
            await until(lambda: asyncio.sleep(0, store.writer.connections == 0))
            with pytest.raises(StoreError):  # without a transaction that would take its time
                await asyncio.wait_for(store.accept(arrival("at once")), 0.2)
        finally:
            own.resume()
        await until(partial(takes_calls, store))
        await accepted(store, arrival("after"))


async def first_refusal(store: Store) -> str:
    """Of calls that come one after the other: when settings change, the server may let one more pass."""
    for n in range(1000):
        try:
            await store.accept(arrival(f"call-{n}"))
        except StoreError as error:
            return str(error)
    raise AssertionError("all were taken")


@pytest.mark.case("PG-03")
async def test_a_commit_that_no_standby_confirms_is_no_commit_and_holds_nothing_for_long(own: Server) -> None:
    """The server's processes wait on, also when nobody is there any more; they are ended by whoever comes next."""
    async with opened(own.url, patience=0.5) as store:
        own.set(synchronous_standby_names="nobody")
        refused = await asyncio.gather(*(first_refusal(store) for _ in range(9)))
        assert "does not answer" in refused[0]
        with pytest.raises(StoreError, match="does not answer"):
            async with opened(own.url, name="other", patience=0.5):
                pass
        seen = set[int]()

        async def many_were_seen() -> bool:
            waiting = await rows(own.url, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            assert len(waiting) <= 2 * CONNECTIONS + 1
            seen.update(pid for (pid,) in waiting)
            return len(seen) > 3 * CONNECTIONS

        await until(many_were_seen)
        own.set(synchronous_standby_names="")
        await until(partial(takes_calls, store))


async def test_a_wait_for_a_standby_that_somebody_cancels_is_no_commit(own: Server) -> None:
    """The server says that it is done, with a warning."""
    async with opened(own.url, patience=DEADLINE) as store:
        own.set(synchronous_standby_names="nobody")
        refused = asyncio.create_task(first_refusal(store))

        async def cancelled() -> bool:
            await rows(own.url, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            return refused.done()

        await until(cancelled)
        assert "wait for a standby was cancelled" in await refused
        own.set(synchronous_standby_names="")
        await until(partial(takes_calls, store))


@pytest.mark.case("PG-01")
async def test_what_was_answered_is_there_when_a_standby_has_taken_over(own: Server) -> None:
    with own.standby() as copy:
        place = place_of(own.url)
        both = replace(
            place, url=place.url.replace(f"127.0.0.1:{own.port}", f"127.0.0.1:{own.port},127.0.0.1:{copy.port}")
        )
        async with open_store(both, parse=json.loads) as store:
            answered: list[str] = []
            refused = asyncio.Event()

            async def send(number: int) -> None:
                for n in range(10_000):
                    try:
                        answered.append((await accepted(store, arrival(f"call-{number}-{n}"))).event_id)
                    except StoreError:
                        refused.set()
                        return

            async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as senders:
                for number in range(20):
                    senders.create_task(send(number))
                await until(lambda: asyncio.sleep(0, len(answered) > 200))
                await asyncio.to_thread(own.kill)
                await refused.wait()
            await asyncio.to_thread(copy.promote)
            copy.set(synchronous_standby_names="")
            await until(partial(takes_calls, store))
            await accepted(store, arrival("after"))
            there = {line.id for line in await every(lambda after: store.events(after=after, limit=500))}
            assert set(answered) <= there


class Cutter:
    """A way to a server that cuts connections in the middle of a commit."""

    def __init__(self, port: int) -> None:
        self._port = port
        #: Cut before the server has it, or after it has answered.
        self.cut: str | None = None
        self.times = 0

    @asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[str]:
        listener = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener:
            yield url.replace(f":{self._port}/", f":{port}/")
            listener.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        committing = False

        async def there() -> None:
            nonlocal committing
            while data := await reader.read(65536):
                committing = b"COMMIT" in data
                if committing and self.cut == "before":
                    break
                far_writer.write(data)

        async def back() -> None:
            while data := await far_reader.read(65536):
                if committing and self.cut == "after":
                    break
                writer.write(data)

        ways = [asyncio.create_task(there()), asyncio.create_task(back())]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.times += committing and self.cut is not None
        for way in ways:
            way.cancel()
        for end in (writer, far_writer):
            end.transport.abort()


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_a_connection_that_is_cut_in_the_middle_of_a_commit_answers_nothing(url: str, cut: str) -> None:
    port = Place.of(place_of(url).url).host.rpartition(":")[2]
    cutter = Cutter(int(port))
    async with cutter.listening(url) as through, opened(through) as store, opened(url, name="other") as other:
        await until(lambda: asyncio.sleep(0, store.writer.connections == CONNECTIONS))
        cutter.cut = cut
        with pytest.raises(StoreError):
            await store.accept(arrival("cut"))
        assert cutter.times >= 1
        cutter.cut = None
        assert (await other.summary()).events == (cut == "after")
        await until(partial(takes_calls, store))
        answer = await store.accept(arrival("cut"))
        assert isinstance(answer, Duplicate if cut == "after" else Accepted), (
            "sent again, it is known or new, not twice"
        )
        assert (await other.summary()).events == 1


async def test_a_store_that_is_closed_while_the_server_is_away_ends(own: Server) -> None:
    async with opened(own.url) as store:
        await asyncio.to_thread(own.stop)
        with pytest.raises(StoreError):
            await store.accept(arrival())
    with pytest.raises(StoreError, match="closed"):
        await store.accept(arrival())


async def test_no_more_waits_than_may(url: str) -> None:
    async with opened(url, waiting=5) as store:
        answers = await asyncio.gather(*(store.accept(arrival(f"call-{n}")) for n in range(30)), return_exceptions=True)
        assert Counter(type(answer) for answer in answers) == {Accepted: 5, StoreBusy: 25}
        await accepted(store, arrival("after"))


# --- what is wrong with a place ---


async def refusal(place: Place) -> str:
    with pytest.raises(StoreError) as error:
        async with open_store(place, parse=json.loads, patience=2.0):
            pass
    assert PASSWORD not in str(error.value)
    assert error.value.__cause__ is None, "it would quote what the server says"
    return str(error.value)


async def test_each_wrong_place_says_what_is_wrong_and_what_to_do(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = place_of(postgres)
    host = good.host
    other = partial(Place.of, password=good.password)
    assert "refuses user 'nobody'" in await refusal(Place.of(f"postgresql://nobody@{host}/postgres", "wrong"))
    if good.password:
        assert "`store_password`, and what" in await refusal(Place.of(good.url, "wrong"))
        assert "`store_password` (or PGPASSWORD, or ~/.pgpass, of" in await refusal(Place.of(good.url))
    assert "CREATE DATABASE" in await refusal(other(f"postgresql://{good.user}@{host}/nowhere"))
    assert "no host has that name" in await refusal(other("postgresql://me@no-such-host.invalid/db"))
    assert "nothing listens there" in await refusal(other(f"postgresql://me@127.0.0.1:{free_port()}/db"))
    monkeypatch.setattr(server, "OLDEST_SERVER", 99)
    assert re.search(r"PostgreSQL 99 or newer is needed, and the server has \d+", await refusal(good))


async def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "does not answer" in await refusal(Place.of(f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/db"))


async def test_a_database_that_may_only_be_read_is_refused(postgres: str, databases_of_stores: Databases) -> None:
    url = databases_of_stores.unmade()
    name = place_of(url).database
    await rows(postgres, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert "RESET default_transaction_read_only" in await refusal(place_of(url))


@pytest.mark.case("PG-07")
async def test_a_standby_is_refused(own: Server) -> None:
    with own.standby() as copy:
        assert "name the primary" in await refusal(place_of(copy.url))


async def test_a_database_in_which_not_every_text_fits_is_refused(url: str, databases_of_stores: Databases) -> None:
    [[version]] = await rows(url, "SELECT current_setting('server_version_num')::integer")
    provider = "LOCALE_PROVIDER 'libc'" if version >= 150_000 else ""  # 14 has no other
    url = databases_of_stores.unmade(f"ENCODING 'LATIN1' LOCALE 'C' {provider} TEMPLATE template0")
    assert "texts as LATIN1" in await refusal(place_of(url))


@pytest.mark.case("PG-04")
@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_may_lose_what_it_has_confirmed_is_refused(setting: str) -> None:
    with own_server(**{setting: "off"}) as careless:
        assert f"{setting} = off" in await refusal(place_of(careless.url))


@pytest.mark.case("PG-04")
async def test_a_server_that_confirms_too_early_is_told_not_to(own: Server) -> None:
    own.set(synchronous_commit="off")
    async with opened(own.url) as store:
        for _ in range(3):
            assert await store.writer.run(lambda connection: connection.fetchval("SHOW synchronous_commit")) == "on"


async def test_a_user_who_may_not_make_tables_is_refused(postgres: str, databases_of_stores: Databases) -> None:
    url = databases_of_stores.unmade()
    await rows(postgres, "DROP ROLE IF EXISTS guest")
    await rows(postgres, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    try:
        place = place_of(url)
        guest = Place.of(f"postgresql://guest@{place.host}/{place.database}", "guest")
        assert "make it the owner of the database" in await refusal(guest)
    finally:
        await rows(postgres, "DROP ROLE guest")


@pytest.mark.parametrize("owner", ["ROLE", "DATABASE"])
async def test_a_limit_of_connections_is_called_by_its_name(
    postgres: str, databases_of_stores: Databases, owner: str
) -> None:
    place = place_of(databases_of_stores.unmade())
    name = {"ROLE": "limited", "DATABASE": place.database}[owner]
    await rows(postgres, "DROP ROLE IF EXISTS limited")
    await rows(postgres, "CREATE ROLE limited LOGIN PASSWORD 'limited'")
    await rows(postgres, f'ALTER {owner} "{name}" CONNECTION LIMIT 0')
    try:
        said = await refusal(Place.of(f"postgresql://limited@{place.host}/{place.database}", "limited"))
        assert f"'{name}' has as many connections as it may: raise its limit (ALTER {owner} …" in said
        assert "max_connections" not in said
    finally:
        await rows(postgres, "DROP ROLE limited")


# --- TLS ---


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls_is_said_to_be_one(own: Server, tmp_path: Path, mode: str) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url = f"{place_of(own.url).url}?sslmode={mode}&sslrootcert={tmp_path}/ca.pem"
    said = await refusal(Place.of(url, PASSWORD))
    assert f"the server offers no TLS, and sslmode={mode} asks for it: set ssl = on there" in said


@pytest.mark.parametrize("key", ["sslrootcert", "sslcert", "sslkey"])
async def test_a_file_for_tls_that_is_not_there_is_named(tmp_path: Path, key: str) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = {"sslrootcert": "ca.pem", "sslcert": "ca.pem", "sslkey": "ca.pem"} | {key: "none.pem"}
    query = "&".join(f"{name}={tmp_path}/{file}" for name, file in files.items())
    said = await refusal(Place.of(f"postgresql://me@127.0.0.1:{free_port()}/db?sslmode=verify-full&{query}"))
    assert f"{key} names {tmp_path}/none.pem, which cannot be read (No such file or directory)" in said


async def test_a_file_that_the_environment_names_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path))
    said = await refusal(Place.of(f"postgresql://me@127.0.0.1:{free_port()}/db"))
    assert f"PGSSLROOTCERT names {tmp_path}, which cannot be read (Is a directory)" in said


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_who_is_to_be_verified_by_nothing_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    said = await refusal(Place.of(f"postgresql://me@127.0.0.1:{free_port()}/db?sslmode={mode}"))
    assert f"sslmode={mode} needs to know who vouches for the server: add sslrootcert=FILE" in said


async def test_a_database_of_a_newer_program_is_refused_and_stays_as_it_is(url: str) -> None:
    newest = schema.KNOWN[-1].version
    await rows(url, "INSERT INTO aftercall.migrations VALUES ($1, 'later')", newest + 1)
    try:
        said = await refusal(place_of(url))
        assert said.startswith(f"{place_of(url)} has version {newest + 1}, and this aftercall knows versions up to")
        assert "written by a newer aftercall" in said
    finally:
        await rows(url, "DELETE FROM aftercall.migrations WHERE version > $1", newest)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:secret@host/db", "has a password in it; write it as `store_password`"),
        ("postgresql://me@/db", "names no host"),
        ("postgresql://me@host", "is no PostgreSQL URL"),
        ("postgresql://me@host/", "is no PostgreSQL URL"),
        ("postgresql://me@host/db#x", "is no PostgreSQL URL"),
        ("mysql://me@host/db", "is no PostgreSQL URL"),
        ("postgresql://me@host/db?user=other", "may say sslmode"),
        ("postgresql://me@host/db?sslmode=maybe", "unknown sslmode"),
    ],
)
def test_a_url_that_is_no_place_says_what_to_write(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        Place.of(url)
    assert "secret" not in str(error.value)


def test_a_place_is_shown_without_its_password() -> None:
    place = Place.of("postgresql://m%40e@db1:5432,db2/calls?sslmode=verify-full", "secret")
    assert str(place) == "postgresql://m@e@db1:5432,db2/calls"
    assert "secret" not in repr(place)


# --- migrations ---


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in schema.KNOWN] == list(range(1, len(schema.KNOWN) + 1))


async def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    newest = schema.KNOWN[-1].version
    breaks = Migration(newest + 1, "breaks", "CREATE TABLE more (n int); INSERT INTO nowhere VALUES (1);")
    works = replace(breaks, text="CREATE TABLE more (n int);")
    session = await server.Server(place_of(url)).connect()
    try:
        connection = session.connection
        with pytest.raises(asyncpg.UndefinedTableError):
            await schema.migrate(connection, "here", (*schema.KNOWN, breaks))
        assert await connection.fetchval("SELECT to_regclass('more')") is None
        for _ in range(2):
            await schema.migrate(connection, "here", (*schema.KNOWN, works))
        assert await connection.fetchval("SELECT max(version) FROM migrations") == newest + 1
        await connection.execute("DROP TABLE more")
        await connection.execute("DELETE FROM migrations WHERE version > $1", newest)
    finally:
        await session.close()


async def test_a_router_goes_on_while_a_newer_one_adds_a_column(store: PostgresStore, url: str) -> None:
    await accepted(store, arrival("before", owed=("screen",)))
    await claim_one(store)
    await store.events()
    await rows(url, "ALTER TABLE aftercall.deliveries ADD COLUMN later text")
    await rows(url, "ALTER TABLE aftercall.events ADD COLUMN later text")
    try:
        await accepted(store, arrival("after", owed=("screen",)))
        assert await store.settle(await claim_one(store), settlement(Done()))
        assert len((await store.events()).items) == 2
    finally:
        await rows(url, "ALTER TABLE aftercall.deliveries DROP COLUMN later")
        await rows(url, "ALTER TABLE aftercall.events DROP COLUMN later")


# --- months ---


def test_a_month_knows_its_neighbours() -> None:
    december = Month.of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC))
    assert (december.label, december.next.label) == ("2026_12", "2027_01")
    assert Month.of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC) + timedelta(minutes=1)) == december.next
    assert Month.named("2026_12") == december
    assert december.next.first == datetime(2027, 1, 1, tzinfo=UTC)


async def partitions(url: str) -> dict[str, int]:
    """How many events are in each."""
    return dict(await rows(url, "SELECT tableoid::regclass::text, count(*) FROM aftercall.events GROUP BY 1"))


async def test_a_call_goes_into_its_month_with_all_that_belongs_to_it(store: PostgresStore, url: str) -> None:
    for n, when in enumerate((0, 20 * DAY, 60 * DAY)):
        await dead_one(store, f"call-{n}", when=when)
    assert await partitions(url) == {f"aftercall.events_{label}": 1 for label in ("2026_11", "2026_12", "default")}
    summary = await store.summary()
    await store.make_ready(now=at(60 * DAY))
    await store.make_ready(now=at(60 * DAY))
    assert await partitions(url) == {f"aftercall.events_{label}": 1 for label in ("2026_11", "2026_12", "2027_01")}
    assert await rows(url, "SELECT count(*) FROM aftercall.deliveries_2027_01") == [(1,)]
    assert await rows(url, "SELECT count(*) FROM aftercall.attempts_2027_01") == [(1,)]
    assert await store.summary() == summary
    for line in await every(lambda after: store.deliveries(after=after)):
        await store.replay(line.id, now=at(61 * DAY))
    assert (await store.summary()).deliveries["pending"] == 3


async def test_an_old_month_goes_as_a_whole_and_the_sums_stay_right(store: PostgresStore, url: str) -> None:
    for n in range(8):
        await dead_one(store, f"old-{n}", when=n)
    await dead_one(store, "young", when=20 * DAY)
    assert await store.purge(events=at(9 * DAY), quarantine=None, seen=None, limit=3) == Purged(events=8, deliveries=8)
    assert await partitions(url) == {"aftercall.events_2026_12": 1}
    assert await rows(url, "SELECT to_regclass('aftercall.attempts_2026_11')") == [(None,)]
    summary = await store.summary()
    assert (summary.received, summary.events, summary.purged) == (9, 1, 8)
    assert (summary.deliveries["created"], summary.deliveries["purged"], summary.deliveries["dead"]) == (9, 8, 1)
    assert await store.backlog() == {"screen": {"dead": 1}}
    assert isinstance(await store.accept(arrival("old-1", when=DAY)), Duplicate), "what was seen outlives it"
    await accepted(store, arrival("late", when=3))
    assert await partitions(url) == {"aftercall.events_2026_12": 1, "aftercall.events_default": 1}


async def test_a_month_in_which_something_is_owed_goes_row_by_row(store: PostgresStore, url: str) -> None:
    await accepted(store, arrival("owed", owed=("screen",)))
    for n in range(3):
        await dead_one(store, f"call-{n}", sink="mail", when=n)
    removed = [await store.purge(events=at(20 * DAY), quarantine=None, seen=None, limit=2) for _ in range(3)]
    assert [one.events for one in removed] == [2, 1, 0]
    assert await partitions(url) == {"aftercall.events_2026_11": 1}
    await store.settle(await claim_one(store), settlement(Dead("no")))
    assert (await store.purge(events=at(20 * DAY), quarantine=None, seen=None)).events == 1
    assert (await store.summary()).purged == 4


async def test_an_old_month_goes_once_whoever_drops_it(routers: list[Store]) -> None:
    for n in range(5):
        await dead_one(routers[0], f"call-{n}", when=n)
    purged = await asyncio.gather(*(store.purge(events=at(20 * DAY), quarantine=None, seen=None) for store in routers))
    assert sum(one.events for one in purged) == 5
    assert (await routers[0].summary()).purged == 5


async def test_a_month_that_somebody_reads_is_not_waited_for(store: PostgresStore, url: str) -> None:
    for n in range(3):
        await dead_one(store, f"call-{n}", when=n)
    reader = await asyncpg.connect(url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM aftercall.events")
            assert (await store.purge(events=at(20 * DAY), quarantine=None, seen=None)).events == 3
            await store.make_ready(now=at(100 * DAY))
            await accepted(store, arrival("meanwhile", when=100 * DAY))
        assert "aftercall.events_2026_11" not in await partitions(url)
    finally:
        await reader.close()
    assert not await store.purge(events=at(20 * DAY), quarantine=None, seen=None)
    assert await rows(url, "SELECT to_regclass('aftercall.events_2026_11')") == [(None,)]
    await store.make_ready(now=at(100 * DAY + 59))
    assert set(await partitions(url)) == {"aftercall.events_default"}, "soon enough in a minute"
    await store.make_ready(now=at(100 * DAY + 60))
    assert set(await partitions(url)) == {"aftercall.events_2027_03"}


@pytest.mark.parametrize("try_again", [timedelta(minutes=1), timedelta(0)])
async def test_who_reads_for_long_has_others_wait_once_a_minute_and_not_for_each_portion(
    own: Server, monkeypatch: pytest.MonkeyPatch, try_again: timedelta
) -> None:
    """While the drop of a month waits for its locks, everybody waits behind it."""
    monkeypatch.setattr("router.store.postgres.engine.TRY_AGAIN", try_again)
    async with opened(own.url) as store:
        await store.make_ready(now=NOW)
        for n in range(8):
            await dead_one(store, f"call-{n}", when=n)
        reader = await asyncpg.connect(own.url)
        try:
            async with reader.transaction():
                await reader.fetch("SELECT count(*) FROM aftercall.events")
                before = own.log.count("due to lock timeout")
                for _ in range(3):
                    purged = await store.purge(events=at(20 * DAY), quarantine=None, seen=None, limit=2)
                    assert purged.events == 2
                    await store.make_ready(now=at(100 * DAY))
                waits = own.log.count("due to lock timeout") - before
        finally:
            await reader.close()
        last = await store.purge(events=at(20 * DAY), quarantine=None, seen=None, limit=1)
        if try_again:
            assert (waits, last.events) == (2, 1), "one drop and one new month; and the rows go on for a minute"
        else:
            assert (waits, last.events) == (6, 2), "and then what is left goes as a whole"


@pytest.mark.parametrize(
    ("table", "part"),
    [("attempts_2026_11", ""), ("attempts_default", ""), ("events_2026_11", "toast.")],
    ids=["it", "what is of no month", "what is out of line"],
)
async def test_a_month_that_is_vacuumed_goes_all_the_same(vacuums: Server, table: str, part: str) -> None:
    """The server ends an autovacuum that is in the way, but only after longer than all others may be made to wait."""
    slowly = {
        "vacuum_insert_threshold": 1,
        "vacuum_insert_scale_factor": 0,
        "vacuum_cost_delay": 100,
        "vacuum_cost_limit": 1,
    }
    settings = ", ".join(f"{part}autovacuum_{name} = {value}" for name, value in slowly.items())
    async with opened(vacuums.url) as store:
        await store.make_ready(now=NOW)
        await rows(vacuums.url, f"ALTER TABLE aftercall.{table} SET ({settings})")
        await dead_one(store, "old")
        await dead_one(store, "of no month", when=100 * DAY)
        await accepted(store, replace(arrival("large"), body=Random(1).randbytes(3_000_000)))
        await rows(
            vacuums.url,
            "INSERT INTO aftercall.attempts SELECT event_id, delivery_id, n, started_at, ended_at, outcome, repeat('x', 2000)"
            " FROM aftercall.attempts, generate_series(2, 3000) AS n",
        )

        async def is_vacuumed() -> bool:
            found = await rows(
                vacuums.url,
                "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid), pg_class AS it WHERE backend_type = 'autovacuum worker'"
                f" AND it.oid = 'aftercall.{table}'::regclass AND relation = it.{'reltoastrelid' if part else 'oid'}"
                " AND mode = 'ShareUpdateExclusiveLock' AND granted",
            )
            return bool(found)

        await until(is_vacuumed)
        assert (await store.purge(events=at(20 * DAY), quarantine=None, seen=None)).events == 2
        assert await rows(vacuums.url, "SELECT to_regclass('aftercall.events_2026_11')") == [(None,)]


@asynccontextmanager
async def dropping(store: Store, url: str) -> AsyncIterator[asyncio.Task[Purged]]:
    """A drop of the first month that waits until the block ends: for a vacuum, as far as it can see."""

    async def waits() -> bool:
        return bool(await rows(url, "SELECT FROM pg_locks WHERE NOT granted AND mode = 'ShareUpdateExclusiveLock'"))

    vacuum = await asyncpg.connect(url)
    try:
        async with vacuum.transaction():
            await vacuum.execute("LOCK TABLE aftercall.attempts_2026_11 IN SHARE UPDATE EXCLUSIVE MODE")
            purge = asyncio.create_task(store.purge(events=at(20 * DAY), quarantine=None, seen=None))
            await until(waits)
            yield purge
    finally:
        await vacuum.close()


async def test_while_a_drop_waits_for_a_vacuum_nobody_else_does(store: PostgresStore, url: str) -> None:
    await dead_one(store, "old")
    async with dropping(store, url) as purge:
        await accepted(store, arrival("meanwhile", when=3))
    assert (await purge).events == 2


async def test_a_month_of_which_something_is_owed_meanwhile_stays(store: PostgresStore, url: str) -> None:
    for name in ("old", "older"):
        await dead_one(store, name)
    again = (await store.deliveries()).items[0]
    async with dropping(store, url) as purge:
        await store.replay(again.id, now=at(20 * DAY))
    assert (await purge).events == 1, "row by row"
    assert await partitions(url) == {"aftercall.events_2026_11": 1}
    assert (await claim_one(store, when=21 * DAY)).delivery.event.id == again.event_id


# --- what is in it ---


async def test_every_text_comes_back_as_it_was(store: PostgresStore) -> None:
    """PostgreSQL takes no U+0000, and a caller may send one in any text."""
    odd = "a\x00b\ufdd00\ufdd0\ufdd1\x00"
    arriving = arrival(f"id {odd}", odd, channel=Channel(None, f"name {odd}"), owed=(f"sink {odd}",))
    arriving = replace(arriving, content_type=odd, routes=(odd,), rules=odd)
    event = await accepted(store, arriving)
    (line,) = (await store.events()).items
    assert (line.call_id, line.channel_name, line.routes) == (f"id {odd}", f"name {odd}", (odd,))
    assert [channel.name for channel in await store.channels()] == [f"name {odd}"]
    claim = await claim_one(store, f"sink {odd}")
    assert claim.delivery.body == arriving.body
    await store.settle(claim, settlement(Done(odd), recipient=odd, parts=(odd,)))
    (delivered,) = (await store.deliveries(event_id=event.event_id)).items
    assert (delivered.remote_id, delivered.recipient, delivered.parts) == (odd, odd, (odd,))
    stored = await store.event(event.event_id)
    assert stored is not None
    assert (stored.content_type, stored.rules, stored.event.summary) == (odd, odd, odd)
    assert isinstance(await store.accept(arriving), Duplicate)


@pytest.mark.parametrize(
    "damage", ["body = 'x'", "call = '{}'", "routes = '[]'", "revision = 2", "received_at = received_at + '1s'", "id"]
)
async def test_what_is_damaged_is_dead_and_costs_the_others_nothing(
    store: PostgresStore, url: str, damage: str
) -> None:
    bad = await accepted(store, arrival("bad", owed=("screen",)))
    await accepted(store, arrival("good", owed=("screen",), when=1))
    change = "DELETE FROM aftercall.events" if damage == "id" else f"UPDATE aftercall.events SET {damage}"  # noqa: S608
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET search_path = aftercall")
        await connection.execute(f"{change} WHERE id = $1::text::uuid", bad.event_id)
    finally:
        await connection.close()
    found = await store.claim("screen", limit=9, now=at(2), until=at(60))
    assert [claim.delivery.event.call_id for claim in found.claims] == ["good"]
    assert [event_id for _, event_id in found.damaged] == [bad.event_id]
    (line,) = (await store.deliveries(event_id=bad.event_id)).items
    assert (line.state, line.reason) == (DeliveryState.DEAD, DAMAGED)
    if damage != "id":
        with pytest.raises(StoreError, match="damaged"):
            await store.event(bad.event_id)


async def test_the_sums_are_those_of_the_rows(store: PostgresStore, url: str) -> None:
    for n in range(6):
        await accepted(store, arrival(f"call-{n}", routed=list(RoutedAs)[n % 3], owed=("screen", "mail")))
    for decision in (Done(), Dead("no"), Again(at(9), "busy")):
        await store.settle(await claim_one(store), settlement(decision))
    await quarantine(store)
    await purge(store, 0.5)
    counted = {
        (sink, state): n
        for sink, state, n in await rows(url, "SELECT sink, state, count(*) FROM aftercall.deliveries GROUP BY 1, 2")
    }
    backlog = await store.backlog()
    assert {(sink, state): n for sink, states in backlog.items() for state, n in states.items()} == counted


# --- what grows ---


async def test_of_several_hosts_one_that_does_not_answer_keeps_nobody_from_the_next(url: str) -> None:
    place = place_of(url)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        several = Place.of(place.url.replace("@", f"@127.0.0.1:{port},", 1), place.password)
        assert several.each == (several.url.replace(f",{place.host}", ""), place.url)
        async with open_store(several, parse=json.loads) as store:
            await accepted(store, arrival())
            assert store.server._urls[0] == place.url, "it is the first to be asked from now on"


async def test_what_a_role_or_a_database_is_set_to_takes_no_safeguard_away(url: str) -> None:
    database = urlsplit(url).path[1:]
    hostile = {
        "client_min_messages": "error",
        "statement_timeout": "1s",
        "lock_timeout": "1s",
        "idle_session_timeout": "3s",
    }
    for name, value in hostile.items():
        await rows(url, f"ALTER DATABASE \"{database}\" SET {name} = '{value}'")
    try:
        async with opened(url) as store:
            asked = "SELECT name, setting, source FROM pg_settings WHERE name = ANY ($1)"
            names = [*hostile, "synchronous_commit"]
            found = await store.writer.run(lambda connection: connection.fetch(asked, names))
    finally:
        await rows(url, f'ALTER DATABASE "{database}" RESET ALL')
    assert {name: (setting, source) for name, setting, source in found} == {
        "client_min_messages": ("warning", "session"),
        "idle_session_timeout": ("0", "session"),
        "lock_timeout": ("0", "session"),
        "statement_timeout": ("0", "session"),
        "synchronous_commit": ("on", "session"),  # so that no reload of the server's own settings changes it
    }


async def test_nobody_waits_for_a_router_that_hangs_in_a_claim(store: PostgresStore, url: str) -> None:
    await accepted(store, arrival(owed=("screen",)))
    await store.set_lane(LaneRow("screen"), now=NOW)
    hanging = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(20), hanging.transaction():
            await hanging.execute("SELECT FROM aftercall.lanes FOR UPDATE")
            rated = await store.claim("screen", limit=1, now=at(1), until=at(60), interval=timedelta(seconds=1))
            probe = await store.claim("screen", limit=1, now=at(1), until=at(60), probe=True)
            assert rated == probe == Claims((), at(1) + LOOK_AGAIN)
    finally:
        await hanging.close()
    assert len((await store.claim("screen", limit=1, now=at(1), until=at(60), probe=True)).claims) == 1


async def test_without_the_key_of_what_was_seen_it_is_not_opened(url: str) -> None:
    async with opened(url) as store:
        await accepted(store, arrival())
    key = await rows(url, "DELETE FROM aftercall.seen_key RETURNING key")
    with pytest.raises(StoreError, match=r"seen_key is empty.*restore it from a backup"):
        async with opened(url):
            pass
    await rows(url, "INSERT INTO aftercall.seen_key VALUES ($1)", key[0][0])
    async with opened(url) as store:
        assert isinstance(await store.accept(arrival()), Duplicate)


async def plans_of(store: PostgresStore) -> dict[str, str]:
    """How a connection that writes goes about each statement."""
    found: dict[str, str] = {}

    async def explained(connection: asyncpg.Connection) -> None:
        await connection.execute(SQL["add_half_copy"].text)
        for name, statement in SQL.items():
            if statement.text.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
                await connection.execute(f"PREPARE asked AS {statement.text}")
                given = f"({', '.join(['NULL'] * len(statement.names))})" if statement.names else ""
                plan = await connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE asked{given}")
                found[name] = "\n".join(row[0] for row in plan)
                await connection.execute("DEALLOCATE asked")
        await connection.execute(SQL["end_half_copy"].text)

    await store.writer.run(explained)
    return found


@pytest.fixture
async def new_store(database: str) -> AsyncIterator[PostgresStore]:
    """In a database that nobody has vacuumed yet: what is known to be empty is read as a whole."""
    async with opened(database) as store:
        await store.make_ready(now=NOW)
        yield store


async def test_a_question_never_scans_what_grows(new_store: PostgresStore) -> None:
    grows = r"Seq Scan on (?:(?:events|deliveries|attempts)_(?:default|20\d\d_\d\d)|seen|quarantine)\b"
    assert [name for name, plan in (await plans_of(new_store)).items() if re.search(grows, plan)] == []


async def test_a_question_asks_an_index_for_something(new_store: PostgresStore, database: str) -> None:
    """One that is read from its beginning to its end is no better than the table, unless few rows ever are in it."""
    few = {
        index
        for (index,) in await rows(database, "SELECT indexname::text FROM pg_indexes WHERE indexdef LIKE '% WHERE %'")
    }
    whole = r"Scan using (\S+) on (?:(?:events|deliveries|attempts)_(?:default|20\d\d_\d\d)|seen|quarantine)\b.*$(?!\n *Index Cond)"
    found = [
        (name, index)
        for name, plan in (await plans_of(new_store)).items()
        for index in re.findall(whole, plan, re.MULTILINE)
        # The one looks at the first row only; the others look for much at once.
        if name != "any_seen" and (index not in few or name in ("old_events", "owing"))
    ]
    assert found == []


async def test_a_limit_is_one_whatever_the_statistics_say(store: PostgresStore, url: str) -> None:
    """A statement may be planned for a table of one row: then what has the limit was asked again for each of all."""
    await accepted(store, arrival("call-0"))
    await rows(url, "ANALYZE aftercall.seen")
    for n in range(1, 5):
        await accepted(store, arrival(f"call-{n}", when=n))
    assert await store.purge(events=None, quarantine=None, seen=at(DAY), limit=2) == Purged(seen=2)


async def test_no_list_is_sorted_and_neither_is_what_is_due(new_store: PostgresStore) -> None:
    lists = ("events", "events_unrouted", "deliveries", "deliveries_of_sink", "deliveries_in_state", "quarantined")
    plans = await plans_of(new_store)
    assert [
        name for name in ("due", "due_for_probe", *lists) if re.search(r"\bSort\s*$", plans[name], re.MULTILINE)
    ] == []
    assert "deliveries_2026_11_sink_due_id_idx" in plans["due"]


async def test_a_list_of_some_is_not_looked_for_among_all(store: PostgresStore, url: str) -> None:
    """Also where the statistics say that all deliveries are alike: a few others may be far down."""
    await asyncio.gather(*(store.accept(arrival(f"call-{n}", owed=("screen",), when=n)) for n in range(300)))
    await rows(url, "VACUUM (ANALYZE) aftercall.deliveries")
    plans = await plans_of(store)
    for name, columns in (("deliveries_in_state", "expr_id"), ("deliveries_of_sink", "sink_id")):
        assert set(re.findall(r"using deliveries_2026_11_(\w+)_idx\d*", plans[name])) == {columns}


async def test_whether_a_month_owes_anything_is_asked_an_index(store: PostgresStore, url: str) -> None:
    """While its drop asks, everybody waits."""
    for n in range(300):
        await dead_one(store, f"dead-{n}", when=n)
    ((source,),) = await rows(url, "SELECT prosrc FROM pg_proc WHERE proname = 'drop_month'")
    (asks,) = re.findall(r"'(SELECT EXISTS \(.*\))', 'deliveries_'", source)

    async def explained(connection: asyncpg.Connection) -> str:
        asked = asks.replace("''", "'").replace("%I", "deliveries_2026_11")
        return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {asked}"))

    assert "using deliveries_2026_11_sink_accepted_at_idx" in await store.writer.run(explained)


async def test_claims_look_at_what_may_be_claimed_whatever_the_statistics_say(store: PostgresStore, url: str) -> None:
    """They say that nothing waits until the server counts again: whoever believes that reads all that waits for each claim."""
    await asyncio.gather(*(store.accept(arrival(f"call-{n}", when=n)) for n in range(300)))
    for n in range(10):
        await dead_one(store, f"dead-{n}", when=n)
    await rows(url, "VACUUM (ANALYZE) aftercall.deliveries")
    await asyncio.gather(*(store.accept(arrival(f"more-{n}", owed=("screen",), when=n)) for n in range(300)))
    plans = await plans_of(store)
    for name, columns in {
        "lane": "sink_due", "due": "sink_due_id", "next_due": "sink_due_id", "is_claimed": "sink_claimed_until",
        "claimed_suspects": "sink_due", "due_sinks": "sink_due_id", "oldest": "sink_accepted_at",
    }.items():  # fmt: skip
        assert set(re.findall(r"using deliveries_2026_11_(\w+)_idx\d*", plans[name])) == {columns}, name
    assert re.search(r"\bLimit\s*$", plans["next_due"], re.MULTILINE), "not all that waits"


def test_every_statement_has_a_sentence_and_is_used() -> None:
    text = (PACKAGE / "queries.sql").read_text()
    assert named(text).keys() == SQL.keys()
    assert len(SQL) == len(re.findall(r"^-- \w+: ", text, re.MULTILINE))
    code = "".join(file.read_text() for folder in (PACKAGE, *_SHARED) for file in folder.glob("*.py"))
    assert SQL.keys() <= set(re.findall(r'"(\w+)"', code))


def test_a_suspect_is_one_in_the_statements_too() -> None:
    """An index can be for a number only."""
    from router.store.values import SUSPECT_AFTER

    text = "".join(file.read_text() for file in PACKAGE.rglob("*.sql"))
    assert set(re.findall(r"lost (?:>|<=) (\d+)", text)) == {str(SUSPECT_AFTER - 1)}
