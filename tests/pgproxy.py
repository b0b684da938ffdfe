"""A stretch of network in front of a PostgreSQL: it can break in the middle of a COMMIT, go away, and be made safe by TLS.

It reads just enough of the protocol (https://www.postgresql.org/docs/current/protocol-message-formats.html) to know when
a COMMIT is asked for and when it is answered.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

#: What a client sends first where it would like TLS, in the place of a length and a version.
_SSL_REQUEST: Final = 80877103
_BROKEN: Final = (OSError, asyncio.IncompleteReadError)


class Cut(enum.Enum):
    """Where a COMMIT breaks off. The client sees the same each time: no answer, and no connection any more."""

    #: The server never hears of it: it is not committed.
    ASKED = "asked"
    #: The server hears of it and finds nobody to tell: it is committed, soon.
    HEARD = "heard"
    #: The server has committed and answered.
    ANSWERED = "answered"


@dataclass
class PgProxy:
    """Listens on a port of its own for whoever means the server at `upstream`."""

    upstream: int
    #: With a certificate, only those are let in who speak TLS.
    tls: ssl.SSLContext | None = None
    #: Asked at each COMMIT, whether and where it breaks off.
    cutting: Callable[[], Cut | None] = lambda: None
    #: What broke off so far.
    cuts: Counter[Cut] = field(default_factory=Counter)
    port: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[PgProxy]:
        await self.come_back()
        try:
            yield self
        finally:
            await self.go_away()

    async def go_away(self) -> None:
        """Nothing listens there any more, and every connection breaks; a repeat does nothing."""
        if self._server is not None:
            self._server.close()
            self._break()
            await self._server.wait_closed()
            self._server = None

    async def come_back(self) -> None:
        """At the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def _break(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = {writer}
        self._open.add(writer)
        try:
            with suppress(*_BROKEN):
                first = await self._greeted(reader, writer)
                upstream, onward = await asyncio.open_connection("127.0.0.1", self.upstream)
                pair.add(onward)
                self._open.add(onward)
                onward.write(first)
                await self._both(_Way(reader, onward), _Way(upstream, writer))
        finally:
            for each in pair:
                each.transport.abort()
            self._open -= pair

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The client's first message to the server, after what there is to say about TLS."""
        while True:
            head = await reader.readexactly(8)
            length, what = int.from_bytes(head[:4]), int.from_bytes(head[4:])
            if what != _SSL_REQUEST:
                if self.tls is not None and writer.get_extra_info("ssl_object") is None:
                    raise ConnectionResetError
                return head + await reader.readexactly(length - 8)
            writer.write(b"N" if self.tls is None else b"S")
            await writer.drain()
            if self.tls is not None:
                await writer.start_tls(self.tls)

    async def _both(self, to_server: _Way, to_client: _Way) -> None:
        """Until one of the two ends, or a COMMIT breaks off."""
        cut: list[Cut] = []

        async def asked() -> None:
            while True:
                kind, message = await to_server.message()
                if kind in b"QP" and b"COMMIT" in message.upper():
                    where = self.cutting()
                    if where is Cut.ANSWERED:
                        cut.append(where)
                    elif where is not None:
                        if where is Cut.HEARD:
                            await to_server.send(message)
                        self.cuts[where] += 1
                        return
                await to_server.send(message)

        async def answered() -> None:
            while True:
                kind, message = await to_client.message()
                if cut and kind in b"C" and message[5:] == b"COMMIT\0":
                    self.cuts[Cut.ANSWERED] += 1
                    return
                await to_client.send(message)

        ways = [asyncio.ensure_future(asked()), asyncio.ensure_future(answered())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


@dataclass
class _Way:
    """From one side to the other, message by message."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def message(self) -> tuple[bytes, bytes]:
        """Its kind, and the whole of it."""
        head = await self.reader.readexactly(5)
        return head[:1], head + await self.reader.readexactly(int.from_bytes(head[1:]) - 4)

    async def send(self, message: bytes) -> None:
        self.writer.write(message)
        await self.writer.drain()
