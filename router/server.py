"""The ingest listener: `POST /in/{source}/{token}`, and nothing that tells a stranger anything.

The status says who has the call. 2xx: it is on stable storage. 503: it is not known to be. Any other: nothing was
kept, and the sender is at fault.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from router.about import NAME
from router.errors import StoreError
from router.inbox import Unread
from router.store.base import Accepted, Duplicate
from router.strangers import Strangers
from router.unpacking import ENCODINGS, Corrupt, TooLarge, Unpacking

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.inbox import Inbox, Receipt
    from router.metrics import Metrics

#: Seconds; a body that is not complete by then is not coming.
BODY_DEADLINE: Final = 10.0
#: Seconds that an idle connection is kept; aiohttp's own default is an hour.
KEEPALIVE: Final = 15.0
#: Bytes; larger bodies wait for each other, so that many of them at once neither fill the memory nor stop the loop.
LARGE: Final = 256 * 1024
LARGE_BODIES: Final = 4
#: Seconds that a large body may wait for its turn.
TURN_DEADLINE: Final = 60.0
#: Seconds that a refused sender is listened to, so that it reads the answer before the connection goes.
LINGER: Final = 1.0
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


class Doors:
    """Which token opens which source. Every comparison takes the same time, also for a source that is not there."""

    def __init__(self, tokens: Mapping[str, tuple[str, ...]]) -> None:
        self._digests = {name: tuple(map(_digest, values)) for name, values in tokens.items()}
        self._decoy = (_digest(""),)

    def opens(self, source: str, token: str) -> bool:
        """Whether this is one of the source's tokens."""
        given = _digest(token)
        known = self._digests.get(source)
        fits = [hmac.compare_digest(given, digest) for digest in known or self._decoy]
        return known is not None and any(fits)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


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
        self._doors = doors
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
        return _Server(
            self._handle,
            auto_decompress=False,
            access_log=None,
            keepalive_timeout=KEEPALIVE,
            lingering_time=LINGER,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        source = self._source(request)
        try:
            answer = await self._answer(request, source)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender must not believe that we have the call
            self._log.error("request.failed", source=source, exc_info=error)
            answer = Answer(503, retry_after=RETRY_AFTER)
        if answer.status not in (200, 202):
            self._metrics.refused(answer.status)
        if answer == HEALTHY:
            return _response(answer)  # health checks come every few seconds
        # Who has the token and is refused has lost a call: nobody promises that it comes again.
        write = self._log.warning if source is not None and answer.status not in (200, 202) else self._log.info
        write(
            "request.answered",
            source=source,
            method=request.method if request.method in ("GET", "POST") else "other",
            status=answer.status,
            reason=None if answer.body is None else answer.body.get("error", {}).get("code"),
            duration_ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return _response(answer)

    async def _answer(self, request: web.BaseRequest, source: str | None) -> Answer:
        path = _path(request)
        look = request.method in ("GET", "HEAD")
        if look and path in ("/healthz", "/readyz"):
            return HEALTHY if path == "/healthz" or await self._ready() else Answer(503)
        if source is None:
            return self._stranger(request) if path.startswith("/in/") else NOT_FOUND
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
        except StoreError as error:
            self._log.error("store.failed", source=source, reason=str(error))
            return _not_stored()
        return _told(receipt)

    def _source(self, request: web.BaseRequest) -> str | None:
        """The source whose token the path has; None for everything else."""
        _, prefix, *rest = [*_path(request).split("/"), ""]
        if prefix != "in" or len(rest) != 3 or rest[2]:  # noqa: PLR2004 - source, token, and the end of the path
            return None
        source, token = rest[:2]
        return source if self._doors.opens(source, token) else None

    def _stranger(self, request: web.BaseRequest) -> Answer:
        if self._strangers.wrong(request.remote or "", self._clock.now()):
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


class _Protocol(web.RequestHandler):
    """aiohttp's, but for requests that are no HTTP: its own answer to them echoes their bytes, tokens and all."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """One answer that says nothing; the connection is closed after it."""
        response = _response(_wrong(400, "bad_request", "this is no HTTP request that can be answered"))
        response.force_close()
        return response


class _Server(web.Server):
    """Makes our protocol for each connection."""

    def __call__(self) -> web.RequestHandler:
        """As in aiohttp's."""
        return _Protocol(self, loop=self._loop, **self._kwargs)
