"""HTTP for sinks: one client for each, on aiohttp; it goes where `router.targets` lets it and reads statuses for all.

It sets no timeout of its own but the one for connecting: the router's attempt has the only other one. Whatever goes
wrong becomes `Unavailable` or `Rejected` here, and names the host: never the rest of the URL, a header, or anything
that the far side said, because that may be our own call coming back.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, partial
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from router import targets
from router.about import NAME, version
from router.errors import Rejected, Unavailable
from router.guard import Blocked, Resolver, SocketFactory
from router.interim import BoundedConnector
from router.pem import not_accepted, trusting
from router.retry import LONGEST_RETRY_AFTER
from router.sink import HttpAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from router.sink import Verdict
    from router.targets import Network

#: Bytes of an answer that are read.
MAX_ANSWER: Final = 64 * 1024
#: Seconds for the body of an answer. Its status has said all that counts, so a body that trickles fails nothing.
ANSWER_SECONDS: Final = 5.0
#: Seconds for connecting. Only here is it known that it was the connecting that took too long, and who cannot be
#: connected to holds the whole lane.
CONNECT_SECONDS: Final = 10.0
#: Seconds for which an idle connection is kept: less than the far side's own patience.
_KEEPALIVE_SECONDS = 2.0
#: Threads that look names up, a client: a slow name server may keep its own sink waiting and no other.
_RESOLVER_THREADS = 4


# --- what an answer means ---

#: It says itself that nothing gets through at the moment.
_OVERLOADED = frozenset({429, 502, 503, 504})
#: It has read the request and will not take it another time either.
_REFUSED = frozenset({400, 413, 414, 415, 422, 431, 501})


def failure(status: int, host: str, wait: timedelta | None = None) -> Unavailable | Rejected | None:
    """The one table from a status to what becomes of a delivery; None: it was taken.

    2xx is success, and nothing else is: a redirect is not followed. 410 ends the lane, 429, 502, 503 and 504 hold
    it. A request that is wrong by its own content is refused; all others may be a setting that somebody will mend.
    """
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = ""
    reason = f"{host} answered {status}{phrase}"
    if 200 <= status <= 299:  # noqa: PLR2004 - the table is about these numbers
        return None
    if status == HTTPStatus.GONE:
        return Rejected(reason, whole_lane=True)
    if status in _REFUSED:
        return Rejected(reason)
    if 300 <= status <= 399:  # noqa: PLR2004 - the table is about these numbers
        reason += "; redirects are not followed, so write the URL it leads to"
    return Unavailable(reason, retry_after=wait, whole_lane=status in _OVERLOADED)


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date; a day at most. None where it asks none."""
    text = (value or "").strip()
    if not text or not text.isascii() or len(text) > 64:  # noqa: PLR2004 - longer than any date
        return None
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return min(timedelta(seconds=min(float(text), 1e9)), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(wait, LONGEST_RETRY_AFTER) if wait > timedelta(0) else None


# --- the client ---


@asynccontextmanager
async def open_client(
    *,
    allow_networks: tuple[Network, ...] = (),
    ca_file: Path | None = None,
    connections: int = 10,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    answer_seconds: float = ANSWER_SECONDS,
    connect_seconds: float = CONNECT_SECONDS,
) -> AsyncIterator[Client]:
    """A client for one sink: `sink.HttpFactory`, with knobs for tests. Raises `ConfigError` for a bad `ca_file`.

    No redirects, no cookies, no proxies and no .netrc from the environment.
    """
    for name in ("aiohttp.client", "aiohttp.internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they quote what the far side sent
    # Reading all authorities takes a while, and a reload may open many clients.
    tls = await asyncio.to_thread(_system_tls if ca_file is None else partial(_tls, ca_file))
    with _threads() as threads:
        connector = BoundedConnector(
            ssl=tls,
            limit=connections,
            resolver=Resolver(allow_networks, threads),
            use_dns_cache=False,
            socket_factory=SocketFactory(allow_networks),
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": f"{NAME}/{version()}", "Accept-Encoding": "identity"},
            skip_auto_headers=("Content-Type",),
        ) as session:
            yield Client(session, now, answer_seconds)


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Not waited for at the end: the C library's look-ups cannot be called off."""
    threads = ThreadPoolExecutor(_RESOLVER_THREADS, thread_name_prefix="resolver")
    try:
        yield threads
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


class Client:
    """`sink.HttpClient`."""

    def __init__(self, session: aiohttp.ClientSession, now: Callable[[], datetime], answer_seconds: float) -> None:
        self._session = session
        self._now = now
        self._answer_seconds = answer_seconds

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], *, verdict: Verdict | None = None
    ) -> HttpAnswer:
        """The answer, once it is a 2xx; its body as it came, 64 KiB at most. `verdict`: see `sink.HttpClient`."""
        host = _host(url)
        wrong: Unavailable | Rejected | None
        try:
            return await self._post(url, host, body, headers, verdict)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            wrong = _translated(error, host)
        # Out here, so that the library's error, which knows the URL, is not chained to ours.
        raise wrong

    async def _post(
        self, url: str, host: str, body: bytes, headers: dict[str, str], verdict: Verdict | None
    ) -> HttpAnswer:
        target, authorization = _without_credentials(URL(url))
        response = await self._session.post(
            target, data=BytesIO(body), headers={**authorization, **headers}, allow_redirects=False
        )
        try:
            wait = retry_after(response.headers.get("Retry-After"), self._now())
            wrong = failure(response.status, host, wait)
            if wrong and not verdict:
                raise wrong
            answer = HttpAnswer(response.status, await self._read(response))
            if verdict and (said := verdict(answer)):
                if isinstance(said, Unavailable) and wait:
                    said.retry_after = max(wait, said.retry_after or wait)
                wrong = said
            if wrong:
                raise wrong
            return answer
        finally:
            # What was not read to its end is closed, not kept: who sends two gigabytes sends them to nobody.
            response.release() if response.content.at_eof() else response.close()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The answer's first bytes, as far as they come in time. A body that breaks off fails nothing either."""
        read = bytearray()
        try:
            async with asyncio.timeout(self._answer_seconds):
                while len(read) < MAX_ANSWER and (more := await response.content.read(MAX_ANSWER - len(read))):
                    read += more
        except (aiohttp.ClientError, OSError):  # TimeoutError is one
            pass
        return bytes(read)


def _host(url: str) -> str:
    try:
        host = targets.host_of(url)
    except ValueError:
        host = ""
    if not host or not url.lower().startswith(("https://", "http://")):
        message = "the URL is not one of https or http with a host"
        raise Unavailable(message, whole_lane=True)
    return host


def _without_credentials(url: URL) -> tuple[URL, dict[str, str]]:
    """User and password of a URL go into a header (RFC 7617, UTF-8)."""
    if url.user is None and url.password is None:
        return url, {}
    credentials = base64.b64encode(f"{url.user or ''}:{url.password or ''}".encode()).decode()
    return url.with_user(None), {"Authorization": f"Basic {credentials}"}


def _translated(error: Exception, host: str) -> Unavailable:
    """The library's errors, for whoever is on call."""
    whole_lane = True
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = not_accepted(host, error.certificate_error)
        case aiohttp.ClientSSLError():
            cause = getattr(error.os_error, "reason", None) or type(error.os_error).__name__
            reason = f"no TLS with {host}: {cause}"
        case aiohttp.ClientConnectorError(os_error=Blocked() as blocked):
            reason = str(blocked)
        case aiohttp.ClientConnectorDNSError():
            reason = f"{host} cannot be looked up: {error.os_error.strerror or 'no such name'}"
        case aiohttp.ClientConnectorError():
            cause = os.strerror(error.os_error.errno) if error.os_error.errno else "no address of it answered"
            reason = f"{host} cannot be connected to: {cause}"
        case aiohttp.ConnectionTimeoutError():
            reason = f"{host} cannot be connected to: no answer in time"
        case aiohttp.InvalidURL():
            reason = f"the URL with the host {host} cannot be used"
        case aiohttp.ClientResponseError():
            reason, whole_lane = f"{host} answered something that is not HTTP", False
        case _:
            # It did connect: another delivery may well get through.
            reason, whole_lane = f"{host} closed the connection before it answered; it may have the call", False
    return Unavailable(reason, whole_lane=whole_lane)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    context = trusting(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


@cache
def _system_tls() -> ssl.SSLContext:
    return _tls(None)
