"""Who is told: a process with a port for each sink, that takes everything at once and counts what it got."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from bodies import MARK
from measures import SPAWN, Tally

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def receiving(sinks: int, calls: int = 1_000_000) -> Iterator[list[tuple[int, Tally]]]:
    """The port of each sink, and what came there: numbers below `calls`, and how long they were on their way."""
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=512) for _ in range(sinks)]
    tallies = [Tally(calls) for _ in sockets]
    process = SPAWN.Process(target=_receive, args=(sockets, tallies), daemon=True)
    process.start()
    try:
        yield [(one.getsockname()[1], tally) for one, tally in zip(sockets, tallies, strict=True)]
    finally:
        process.kill()
        process.join()
        for one in sockets:
            one.close()


def _receive(sockets: list[socket.socket], tallies: list[Tally]) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for one, tally in zip(sockets, tallies, strict=True):
            await loop.create_server(partial(_Connection, tally), sock=one)
        await asyncio.Event().wait()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.data = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.data, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self.data) < whole:
                return
            self.transport.write(_TAKEN)
            if mark := MARK.search(self.data, end, whole):
                self.tally.count(int(mark[1]), (time.monotonic_ns() - int(mark[2])) / 1e9)
            self.data = self.data[whole:]
