"""The connections of a listener: how many there may be, how long one may take, and that none learns anything.

Whoever opens connections and says nothing on them must not keep out those who have something to say. So there are
only so many, and when they are all taken, the one goes that has been waiting longest without a whole request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import http_parser, web

from router import proxies
from router.about import NAME

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from router.targets import Address

#: Seconds in which a request's head has to be there, and that an idle connection is kept; aiohttp's own is an hour.
KEEPALIVE: Final = 15.0
#: Seconds that a refused sender is listened to, so that it reads the answer before the connection goes.
LINGER: Final = 1.0

_FULL: Final = (
    f"HTTP/1.1 503 Service Unavailable\r\nServer: {NAME}\r\nRetry-After: 5\r\nContent-Length: 0\r\n"
    "Connection: close\r\n\r\n"
).encode()
_NO_HTTP: Final = b'{"error": {"code": "bad_request", "message": "this is no HTTP request that can be answered"}}'


def parser_is_fast() -> bool:
    """Whether aiohttp reads requests with its parser in C; the other one is slower, and has been fooled more often."""
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


class Connections:
    """Those of one listener: `most` at once, and `each` from one neighbourhood that is no proxy's.

    An address of this machine counts as a proxy's.
    """

    def __init__(self, most: int, each: int, *, is_proxy: Callable[[Address], bool] = lambda _: False) -> None:
        self.most = most
        self.each = each
        self._is_proxy = is_proxy
        #: Where each one comes from; None: from a proxy.
        self._open: dict[web.RequestHandler, str | None] = {}
        self._count: Counter[str] = Counter()
        #: Those that wait for a request, longest first, by whether they have had one.
        self._waiting: dict[bool, dict[web.RequestHandler, None]] = {False: {}, True: {}}

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: web.RequestHandler, peer: str | None) -> bool:
        """Whether there is room for it; another one may have to go."""
        where = self._neighbourhood(peer)
        if where is not None and self._count[where] >= self.each:
            room = self._make_room(where)
        else:
            room = len(self._open) < self.most or self._make_room(None)
        if room:
            self._open[connection] = where
            self._waiting[False][connection] = None
            if where is not None:
                self._count[where] += 1
        return room

    def busy(self, connection: web.RequestHandler) -> None:
        """A request is being answered."""
        for waiting in self._waiting.values():
            waiting.pop(connection, None)

    def answered(self, connection: web.RequestHandler) -> None:
        """Its answer is written, and it waits for its next request."""
        self.busy(connection)
        if connection in self._open:
            self._waiting[True][connection] = None

    def closed(self, connection: web.RequestHandler) -> None:
        """It is gone."""
        self.busy(connection)
        where = self._open.pop(connection, None)
        if where is not None:
            self._count[where] -= 1
            if not self._count[where]:
                del self._count[where]

    def _make_room(self, where: str | None) -> bool:
        """Close the one that waits longest (of this neighbourhood), first of those that never asked for anything."""
        for waiting in self._waiting.values():
            for connection in waiting:
                if where is None or self._open[connection] == where:
                    self.closed(connection)
                    connection.force_close()
                    return True
        return False

    def _neighbourhood(self, peer: str | None) -> str | None:
        address = proxies.parsed(peer or "")
        if address is None or address.is_loopback or self._is_proxy(address):
            return None
        return proxies.neighbourhood(address)


class _Connection(web.RequestHandler):
    """aiohttp's, but for two things: it may be one too many, and what is no HTTP is not echoed, tokens and all."""

    __slots__ = ("_connections",)

    def __init__(self, manager: web.Server, *, connections: Connections, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in aiohttp's, where there is room."""
        peer = transport.get_extra_info("peername")
        super().connection_made(transport)
        if not self._connections.opened(self, peer[0] if peer else None):
            cast("asyncio.Transport", transport).write(_FULL)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """As in aiohttp's."""
        self._connections.closed(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As in aiohttp's."""
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._connections.answered(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """One answer that says nothing; the connection is closed after it."""
        headers = {"Server": NAME}
        response = web.Response(status=400, body=_NO_HTTP, content_type="application/json", headers=headers)
        response.force_close()
        return response


class BoundedServer(web.Server):
    """A server of aiohttp's whose connections are bounded."""

    def __init__(
        self,
        handler: Callable[[Any], Awaitable[web.StreamResponse]],
        connections: Connections,
        request_factory: Callable[..., web.BaseRequest] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(self._busy, request_factory=request_factory)
        self._handler = handler
        self._bounds = connections
        self._settings = {"access_log": None, "keepalive_timeout": KEEPALIVE, "lingering_time": LINGER, **settings}

    @classmethod
    def around(cls, server: web.Server, connections: Connections) -> BoundedServer:
        """An application's server, bounded."""
        return cls(server.request_handler, connections, server.request_factory)

    async def _busy(self, request: web.BaseRequest) -> web.StreamResponse:
        self._bounds.busy(request.protocol)
        return await self._handler(request)

    def __call__(self) -> web.RequestHandler:
        """A connection."""
        return _Connection(self, loop=self._loop, connections=self._bounds, **self._settings)
