"""How many connections a listener takes, and which one goes when there is no more room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import structlog
from aiohttp import http_parser, web

from router import connections
from router.config.settings import Address
from router.connections import Connections
from support import body
from test_server import FILE, TOKEN, Served, listening, post

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Fake:
    """A connection that knows whether it was closed."""

    def __init__(self) -> None:
        self.gone = False

    def force_close(self) -> None:
        self.gone = True


def fakes(number: int) -> Any:
    return [cast("web.RequestHandler", Fake()) for _ in range(number)]


def test_the_one_that_waits_longest_without_a_request_makes_room() -> None:
    bounds = Connections(3, 3)
    served, first, second, new, newer = fakes(5)
    for connection in (served, first, second):
        assert bounds.opened(connection, "203.0.113.7")
    bounds.busy(served)
    bounds.answered(served)
    assert bounds.opened(new, "198.51.100.1")
    assert bounds.opened(newer, "198.51.100.2")
    assert [one.gone for one in (served, first, second, new, newer)] == [False, True, True, False, False]
    assert len(bounds) == 3


def test_who_is_being_answered_is_left_alone() -> None:
    bounds = Connections(2, 2)
    first, second, new = fakes(3)
    for connection in (first, second):
        bounds.opened(connection, "203.0.113.7")
        bounds.busy(connection)
    assert not bounds.opened(new, "198.51.100.1")
    bounds.answered(first)
    assert bounds.opened(new, "198.51.100.1")
    assert [first.gone, second.gone, new.gone] == [True, False, False]


@pytest.mark.parametrize("peer", ["203.0.113.7", "2001:db8::1"])
def test_one_neighbourhood_has_its_share_and_makes_room_for_itself(peer: str) -> None:
    bounds = Connections(10, 2)
    others, mine, new = fakes(1), fakes(2), fakes(2)
    bounds.opened(others[0], "198.51.100.1")
    for connection in mine:
        assert bounds.opened(connection, peer)
    assert bounds.opened(new[0], peer)
    assert [others[0].gone, mine[0].gone, mine[1].gone] == [False, True, False]
    bounds.busy(mine[1])
    bounds.busy(new[0])
    assert not bounds.opened(new[1], "2001:db8::ffff" if ":" in peer else peer)
    bounds.closed(mine[1])
    assert bounds.opened(new[1], peer)


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.0.0.1", None])
def test_a_proxy_may_have_all_of_them(peer: str | None) -> None:
    bounds = Connections(3, 1, is_proxy=lambda address: str(address) == "10.0.0.1")
    assert all(bounds.opened(connection, peer) for connection in fakes(3))


def test_what_is_closed_is_forgotten_however_often_it_is_said() -> None:
    bounds = Connections(2, 1)
    first, second = fakes(2)
    assert bounds.opened(first, "203.0.113.7")
    for _ in range(2):
        bounds.closed(first)
    bounds.answered(first)
    assert bounds.opened(second, "203.0.113.7")
    assert len(bounds) == 1
    assert not first.gone


# ------------------------------------------------------------------------------------------------ with real connections


@asynccontextmanager
async def connected(at: Address) -> AsyncIterator[Stream]:
    """A connection on which nothing has been said."""
    reader, writer = await asyncio.open_connection(at.host, at.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def opened(served: Served, *heads: bytes) -> AsyncIterator[list[Stream]]:
    """Connections on which this was said and nothing more."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(connected(served[0].ingest)) for _ in heads]
        for (_, writer), head in zip(streams, heads, strict=True):
            writer.write(head)
        yield streams


HALF = f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.case("HTTP-06")
async def test_who_says_nothing_keeps_out_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.CONNECTIONS", 5)
    async with listening(tmp_path) as served, opened(served, *[b"", HALF] * 20) as streams:
        for number in range(3):
            assert (await post(served[1], body(f"call-{number}")))[0] == 202
        assert await streams[0][0].read() == b""


@pytest.mark.case("HTTP-06")
async def test_when_all_are_busy_the_next_one_is_told_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.server.CONNECTIONS", 2)
    slow = HALF + b"Content-Length: 1000\r\n\r\n{"
    async with listening(tmp_path) as served, opened(served, slow, slow) as streams:
        for _, writer in streams:
            writer.write(b" " * 100)
            await writer.drain()
        answer = b""
        while not answer.startswith(b"HTTP/1.1 503"):  # until both heads were read
            async with opened(served, b"") as ((reader, writer),):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                try:
                    answer = await reader.read()
                except ConnectionError:
                    continue
        assert b"Retry-After: 5" in answer


@pytest.mark.case("HTTP-06")
@pytest.mark.parametrize("before", [b"", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"])
@pytest.mark.parametrize("listener", ["ingest", "admin"])
async def test_a_head_that_trickles_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listener: str, before: bytes
) -> None:
    """A test that waits in vain fails by its time limit."""
    monkeypatch.setattr("router.connections.KEEPALIVE", 0.2)
    async with listening(tmp_path) as (router, _):
        while True:
            async with connected(getattr(router, listener)) as (reader, writer):
                writer.write(before)
                if before and not await reader.read(1):
                    continue  # on a busy machine its time was over before it was heard
                writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
                trickling = asyncio.create_task(_trickle(writer))
                with suppress(ConnectionError):
                    assert b"HTTP/1.1 4" not in await reader.read()
                trickling.cancel()
                return


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def test_the_admin_listener_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.app._ADMIN_CONNECTIONS", 1)
    async with (
        listening(tmp_path) as (router, _),
        connected(router.admin) as (idle, _),
        connected(router.admin) as (reader, writer),
    ):
        assert await idle.read() == b""
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_the_admin_listener_echoes_nothing_that_is_no_http(tmp_path: Path) -> None:
    async with listening(tmp_path) as (router, _), connected(router.admin) as (reader, writer):
        writer.write(b"secret-token nonsense\r\n\r\n")
        answer = await reader.read()
        assert answer.splitlines()[0].endswith(b"400 Bad Request")
        assert b"secret" not in answer
        assert b"aiohttp" not in answer


async def test_a_body_that_never_ends_is_a_408_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.admin.BODY_DEADLINE", 0.05)
    async with listening(tmp_path) as (router, _), connected(router.admin) as (reader, writer):
        writer.write(b"POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")


async def test_who_guesses_tokens_there_is_slowed_down_and_a_good_one_still_works(tmp_path: Path) -> None:
    text = FILE.replace(
        'admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}}}}}'
    )
    async with listening(tmp_path, text) as (router, _), aiohttp.ClientSession(f"http://{router.admin}") as client:
        answered: Counter[int] = Counter()
        for _ in range(310):
            async with client.get("/api/v1/summary", headers={"Authorization": "Bearer wrong"}) as answer:
                answered[answer.status] += 1
        assert answered == {401: 300, 429: 10}
        async with client.get("/api/v1/summary", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200


@pytest.mark.case("HTTP-09")
async def test_a_parser_that_is_not_the_one_in_c_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connections.parser_is_fast()
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    assert not connections.parser_is_fast()
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path, FILE):
            pass
    assert [line["log_level"] for line in logs if line["event"] == "http.parser_is_slow"] == ["warning"]
