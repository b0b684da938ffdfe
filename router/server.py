"""The ingest listener: `POST /in/{source}/{token}`, and nothing that tells a stranger anything.

The status says who has the call. 2xx: it is on stable storage. 503: it is not known to be. Any other: nothing was
kept, and the sender is at fault.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from router import proxies
from router.about import NAME
from router.connections import BoundedServer, Connections
from router.errors import QuarantineFull, StoreError
from router.inbox import Unread
from router.store.values import Accepted, Duplicate
from router.strangers import Strangers
from router.unpacking import ENCODINGS, Corrupt, TooLarge, Unpacking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.doors import Doors
    from router.inbox import Inbox, Receipt
    from router.metrics import Metrics
    from router.targets import Address

#: Seconds; a body that is not complete by then is not coming.
BODY_DEADLINE: Final = 10.0
#: Connections at once, and of one address: the phone company needs one a call, a web server in front not many more.
CONNECTIONS: Final = 500
CONNECTIONS_EACH: Final = 100
#: Bytes; larger bodies wait for each other, so that many of them at once neither fill the memory nor stop the loop.
LARGE: Final = 256 * 1024
LARGE_BODIES: Final = 4
#: Seconds that a large body may wait for its turn.
TURN_DEADLINE: Final = 60.0
#: Seconds after which a sender may try again when the store cannot take it.
RETRY_AFTER: Final = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sender is told."""

    status: int
    body: dict[str, Any] | None = None
    retry_after: int | None = None


HEALTHY: Final = Answer(200)
NOT_FOUND: Final = Answer(404, {"error": {"code": "not_found", "message": "not found"}})


class Ingest:
    """The listener's one handler. Every path ends up in it, so that every wrong one gets the same answer."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        doors: Doors,
        max_body: int,
        ready: Callable[[], Awaitable[bool]],
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
        body_deadline: float | None = None,
    ) -> None:
        self._inbox = inbox
        #: A reload puts other ones in.
        self.doors = doors
        self._max_body = max_body
        self._ready = ready
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._body_deadline = body_deadline or BODY_DEADLINE
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._strangers = Strangers()

    def server(self) -> web.Server:
        """As aiohttp wants it. Not an application: nothing but this one handler may answer."""
        bounds = Connections(CONNECTIONS, CONNECTIONS_EACH, is_proxy=self._is_proxy)
        return BoundedServer(self._handle, bounds, auto_decompress=False)

    def _is_proxy(self, address: Address) -> bool:
        return self.doors.is_proxy(address)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        address = self._address(request)
        source, token = self._entered(request, address)
        try:
            answer = await self._answer(request, source, address)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender must not believe that we have the call
            self._log.error("request.failed", source=source, exc_info=error)
            answer = Answer(503, retry_after=RETRY_AFTER)
        if answer.status not in (200, 202):
            self._metrics.refused(answer.status)
        if answer == HEALTHY or answer.status == 429:  # noqa: PLR2004 - a status
            # Health checks come every few seconds; and no stranger fills a disk with lines.
            return _response(answer)
        # Who has the token and is refused has lost a call: nobody promises that it comes again.
        write = self._log.warning if source is not None and answer.status not in (200, 202) else self._log.info
        write(
            "request.answered",
            source=source,
            token=token,
            method=request.method if request.method in ("GET", "POST") else "other",
            status=answer.status,
            reason=None if answer.body is None else answer.body.get("error", {}).get("code"),
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return _response(answer)

    async def _answer(self, request: web.BaseRequest, source: str | None, address: Address | None) -> Answer:
        path = _path(request)
        look = request.method in ("GET", "HEAD")
        if look and path in ("/healthz", "/readyz"):
            return HEALTHY if path == "/healthz" or await self._ready() else Answer(503)
        if source is None:
            return self._stranger(request, address)
        if look:
            return Answer(200, {NAME: "listening", "source": source, "hint": "calls are taken by POST to this URL"})
        if request.method != "POST":
            return NOT_FOUND
        async with AsyncExitStack() as turn:
            return await self._taken(request, source, turn)

    async def _taken(self, request: web.BaseRequest, source: str, turn: AsyncExitStack) -> Answer:
        """What becomes of an authentic POST. `turn` ends when the call is kept."""
        try:
            async with asyncio.timeout(self._body_deadline) as deadline:
                body = await self._body(request, turn, deadline)
        except _NoTurn:
            return _not_stored()
        except TimeoutError:
            return _wrong(408, "too_slow", f"the body was not complete within {self._body_deadline:g} seconds")
        except TooLarge:
            return _wrong(413, "too_large", f"the body is larger than {self._max_body} bytes")
        except (Corrupt, web.RequestPayloadError, HttpProcessingError):
            return _wrong(400, "bad_encoding", "the body is not what its headers say; gzip and deflate are understood")
        except ConnectionError:
            return _wrong(400, "cut_off", "the body is not complete")
        if not body:
            return _wrong(400, "empty", "there is no body")
        return await self._accept(source, body, request.headers.get("Content-Type"))

    async def _body(self, request: web.BaseRequest, turn: AsyncExitStack, deadline: asyncio.Timeout) -> bytes:
        """The body, unpacked. A plain one that says that it is too large is refused before it comes."""
        encodings = request.headers.getall("Content-Encoding", [""])
        encoding = encodings[0].strip().casefold()
        if len(encodings) > 1 or encoding not in ENCODINGS:
            raise Corrupt
        if encoding in ("", "identity") and (request.content_length or 0) > self._max_body:
            raise TooLarge
        if request.headers.get("Expect", "").casefold() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        unpacking = Unpacking(encoding, self._max_body)
        waited = False
        async for data in request.content.iter_any():
            unpacking.feed(data)
            if unpacking.size > LARGE and not waited:
                await self._turn(turn, deadline)
                waited = True
        return unpacking.finish()

    async def _turn(self, turn: AsyncExitStack, deadline: asyncio.Timeout) -> None:
        """Wait until few enough large bodies are here; that time is ours, and not the sender's."""
        deadline.reschedule(None)
        try:
            async with asyncio.timeout(TURN_DEADLINE):
                await self._large.acquire()
        except TimeoutError:
            raise _NoTurn from None
        turn.callback(self._large.release)
        deadline.reschedule(asyncio.get_running_loop().time() + self._body_deadline)

    async def _accept(self, source: str, body: bytes, content_type: str | None) -> Answer:
        try:
            receipt = await self._inbox.accept(source, body, content_type=content_type)
        except QuarantineFull:
            self._log.error("quarantine.full", source=source)
            return _not_stored()
        except StoreError as error:
            self._log.error("store.failed", source=source, reason=str(error))
            return _not_stored()
        return _told(receipt)

    def _address(self, request: web.BaseRequest) -> Address | None:
        """Where the request really comes from."""
        said = (request.headers.getall(name, []) for name in ("X-Forwarded-For", "Forwarded"))
        return self.doors.address(request.remote, *said)

    def _entered(self, request: web.BaseRequest, address: Address | None) -> tuple[str | None, int | None]:
        """The source whose token the path has, and the token's number; None and None for everything else."""
        _, prefix, *rest = [*_path(request).split("/"), ""]
        if prefix != "in" or len(rest) != 3 or rest[2]:  # noqa: PLR2004 - source, token, and the end of the path
            return None, None
        source = rest[0]
        token = self.doors.token(source, rest[1])
        if token is None:
            return None, None
        if not self.doors.lets_in(source, address):
            # Whoever it is has the secret: the sender has moved, or somebody else knows it.
            network = None if address is None else proxies.network_of(address)
            self._log.warning("source.barred", source=source, token=token, network=network)
            return None, None
        return source, token

    def _stranger(self, request: web.BaseRequest, address: Address | None) -> Answer:
        who = (request.remote or "") if address is None else proxies.neighbourhood(address)
        over = self._strangers.wrong(who, self._clock.now())
        if over == 1:
            network = None if address is None else proxies.network_of(address)
            self._log.warning("stranger.slowed_down", network=network)
        if over:
            return Answer(429, {"error": {"code": "too_many", "message": "too many wrong requests"}}, 60)
        return NOT_FOUND


class _NoTurn(Exception):
    """Too many large bodies came at once."""


def _not_stored() -> Answer:
    message = "the call is not known to be stored; send it again"
    return Answer(503, {"error": {"code": "not_stored", "message": message}}, RETRY_AFTER)


def _wrong(status: int, code: str, message: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}})


def _told(receipt: Receipt) -> Answer:
    """The answer of the contract."""
    match receipt:
        case Accepted():
            return Answer(
                202, {"event": receipt.event_id, "revision": receipt.revision, "deliveries": receipt.deliveries}
            )
        case Duplicate():
            return Answer(200, {"event": receipt.event_id, "duplicate": True, "deliveries": 0})
        case Unread():
            return Answer(202, {"quarantined": receipt.quarantine_id, "reason": receipt.reason})
        case _:
            assert_never(receipt)


def _path(request: web.BaseRequest) -> str:
    """The path as it was sent: nothing decoded, nothing put in order. An absolute URL is no path."""
    return request.raw_path.partition("?")[0] if request.raw_path.startswith("/") else ""


def _response(answer: Answer) -> web.Response:
    headers = {"Server": NAME}  # versions of what we are made of are nobody's business
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    response = (
        web.Response(status=answer.status, headers=headers)
        if answer.body is None
        else web.json_response(answer.body, status=answer.status, headers=headers)
    )
    if answer.status in (400, 404, 408, 413, 429):
        response.force_close()  # what is left of the body is not worth reading
    return response
