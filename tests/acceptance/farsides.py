"""Far sides that do everything wrong that can be done on a connection: each a server on this machine."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import TypeAlias

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter
Manner = Callable[[Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def far_side(manner: Manner, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that treats each connection like this; its port."""
    talking: set[Writer] = set()

    async def talk(reader: Reader, writer: Writer) -> None:
        talking.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await manner(reader, writer)
        writer.transport.abort()
        talking.discard(writer)

    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
        stack.callback(server.close)
        yield server.sockets[0].getsockname()[1]
        for writer in talking:
            writer.transport.abort()


@contextmanager
def deaf() -> Iterator[int]:
    """Listens, and never accepts: what waits for it fills its queue. Its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield port


def reset(writer: Writer) -> None:
    """Close it so that the other side is told of an error."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _asked(reader: Reader) -> None:
    """A whole request."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))


async def _without_end(writer: Writer, data: bytes, pause: float = 0) -> None:
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause)


# --- what is wrong with an answer of HTTP ---


async def never_answers(reader: Reader, _writer: Writer) -> None:
    await _asked(reader)
    await reader.read()


async def resets_in_the_request(reader: Reader, writer: Writer) -> None:
    await reader.readexactly(50)
    reset(writer)


async def resets_in_the_head(reader: Reader, writer: Writer) -> None:
    await _asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()
    await asyncio.sleep(0.05)  # so that it is read before it is an error
    reset(writer)


async def resets_in_the_body(reader: Reader, writer: Writer) -> None:
    await _asked(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await writer.drain()
    await asyncio.sleep(0.05)
    reset(writer)


def says(head: str, *, body: bytes = b"") -> Manner:
    """This answer."""

    async def manner(reader: Reader, writer: Writer) -> None:
        await _asked(reader)
        lines = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(lines.encode() + body)
        await writer.drain()

    return manner


def begins_and_goes_on(start: bytes, forever: bytes, pause: float = 0) -> Manner:
    """Answers with a beginning, and then with something else without end."""

    async def manner(reader: Reader, writer: Writer) -> None:
        await _asked(reader)
        writer.write(start)
        await _without_end(writer, forever, pause)

    return manner


BOMB = gzip.compress(b"\0" * 100_000_000)
HUNDRED_MEGABYTES = b"Content-Length: 100000000\r\n\r\n"


# --- what is wrong with a server for mail ---


def speaks(*answers: bytes, forever: bytes = b"", pause: float = 0, then: str = "waits") -> Manner:
    """First the greeting, then an answer for each line that comes; then it goes on for ever, `waits`, or `closes`."""

    async def manner(reader: Reader, writer: Writer) -> None:
        for number, answer in enumerate(answers):
            if number:
                await reader.readline()
            writer.write(answer)
            await writer.drain()
        if forever:
            await _without_end(writer, forever, pause)
        if then == "waits":
            await reader.read()

    return manner


def takes_a_mail_and(last: bytes, *, forever: bytes = b"", pause: float = 0, then: str = "waits") -> Manner:
    """All is well until the end of the mail."""

    async def manner(reader: Reader, writer: Writer) -> None:
        writer.write(b"220 hi\r\n")
        while line := await reader.readline():
            writer.write(b"354 go on\r\n" if line == b"DATA\r\n" else b"250 well\r\n")
            await writer.drain()
            if line == b"DATA\r\n":
                break
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(last)
        await writer.drain()
        if forever:
            await _without_end(writer, forever, pause)
        if then == "waits":
            await reader.read()

    return manner
