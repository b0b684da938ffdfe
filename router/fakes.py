"""Far sides, clocks and calls to test with. `router.testing` hands them to plugin authors; the router uses none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self
from zoneinfo import ZoneInfo

from aiohttp import web

from router.alarm import Alarm, Cause
from router.delivery import Delivery
from router.event import Event
from router.http import open_client
from router.render import Renderer
from router.sample import sample_event
from router.sink import Now, SinkContext

if TYPE_CHECKING:
    import ssl

# --- values ---


def make_event(**changes: Any) -> Event:
    """A call in which nothing is missing, with `changes` to its fields."""
    return sample_event(**changes)


def make_delivery(**changes: Any) -> Delivery:
    """A first attempt to deliver `make_event()`, with `changes` to its fields."""
    fields: dict[str, Any] = {
        "id": "019cd6df-0000-7000-8000-00000000000d",
        "sink": "test",
        "event": make_event(),
        "body": b'{"call": {"id": "call_sample_0001"}}',
        "content_type": "application/json",
        "routes": ("everything",),
    }
    return Delivery(**fields | changes)


def make_alarm(cause: Cause = Cause.DOWN, **changes: Any) -> Alarm:
    """An alarm that was raised at the time of `make_event()`, with `changes` to its fields."""
    fields: dict[str, Any] = {"subject": "crm", "since": make_event().received_at}
    return Alarm(cause=cause, **fields | changes)


# --- time ---


async def settle() -> None:
    """Let every task run until all of them wait for something: a time, a socket, a thread."""
    ready = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(10_000):
        await asyncio.sleep(0)
        if not ready:
            # Another turn of the loop also asks the sockets.
            await asyncio.sleep(0)
            if not ready:
                return
    message = "the tasks do not come to rest: two of them keep each other busy"
    raise AssertionError(message)


async def eventually(condition: Callable[[], Any], *, within: float = 10.0) -> None:
    """Wait for what sockets or threads bring about; fails after `within` seconds of real time."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0)


class ManualClock:
    """`router.clock.Clock`, on which time passes only when a test says so.

    `advance` jumps: who waits wakes up late. `elapse` stops at each time that somebody waits for, as real time does.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 10, 8, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._waiting: list[tuple[datetime, asyncio.Timeout]] = []
        self._moved = timedelta(0)
        self._uptime = timedelta(0)

    def __repr__(self) -> str:
        return f"<ManualClock {self._now.isoformat()} waiting={len(self._waiting)}>"

    def now(self) -> datetime:
        """Aware UTC."""
        return self._now

    def set(self, seconds: float | timedelta) -> None:
        """Set the wall clock forward or back: no time passes, and `now` knows nothing of it before `follow`."""
        self._moved += seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)

    def moved(self) -> timedelta:
        """How far the wall clock is from `now`."""
        return self._moved

    def follow(self) -> None:
        """From here on `now` is the wall clock again; whoever waits looks again."""
        if self._moved:
            self._now += self._moved
            self._moved = timedelta(0)
            self._wake(self._waiting)

    def uptime(self) -> tuple[str, float]:
        """Which start of the machine this is, and seconds since then."""
        return "manual", self._uptime.total_seconds()

    @property
    def next_at(self) -> datetime | None:
        """The next time that somebody waits for."""
        return min((until for until, _ in self._waiting), default=None)

    async def wait(self, signal: asyncio.Event, until: datetime | None) -> None:
        """Return when `signal` is set, or when the clock is advanced to `until`."""
        try:
            async with asyncio.timeout(None) as limit:
                if until is not None and until <= self._now:
                    await asyncio.sleep(0)  # who waits for the past lets others run, too
                    return
                with self._listed(until, limit):
                    await signal.wait()
        except TimeoutError:
            return

    @contextmanager
    def _listed(self, until: datetime | None, limit: asyncio.Timeout) -> Iterator[None]:
        entry = None if until is None else (until, limit)
        if entry:
            self._waiting.append(entry)
        try:
            yield
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def advance(self, seconds: float | timedelta) -> None:
        """Move the time, at once, and wake those whose time has come; they run when the test awaits."""
        self._set(self._now + (seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)))

    async def elapse(self, seconds: float | timedelta) -> None:
        """Let time pass: from one time that somebody waits for to the next, everybody settled in between."""
        end = self._now + (seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds))
        await settle()
        while (at := self.next_at) is not None and at <= end:
            self._set(max(at, self._now))
            await settle()
        self._set(end)
        await settle()

    async def settle(self) -> None:
        """See the function of this name."""
        await settle()

    def _set(self, now: datetime) -> None:
        self._uptime += now - self._now
        self._now = now
        self._wake([entry for entry in self._waiting if entry[0] <= now])

    def _wake(self, entries: list[tuple[datetime, asyncio.Timeout]]) -> None:
        for entry in list(entries):
            self._waiting.remove(entry)
            entry[1].reschedule(asyncio.get_running_loop().time())


# --- what a sink is given ---


@dataclass(slots=True)
class CapturedLog:
    """`sink.Logger`; keeps its lines as (level, event, fields)."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def info(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.lines.append(("warning", event, fields))


def sink_context(
    folder: Path,
    *,
    name: str = "test",
    clock: Now | None = None,
    log: CapturedLog | None = None,
    language: Literal["de", "en"] = "de",
    timezone: str = "Europe/Berlin",
) -> SinkContext:
    """What the router would give a sink: real HTTP, which reaches what the sink allows; real templates."""
    return SinkContext(
        name=name,
        http=open_client,
        log=log or CapturedLog(),
        clock=clock or ManualClock(),
        templates=Renderer(ZoneInfo(timezone)),
        language=language,
        timezone=timezone,
        folder=folder,
    )


# --- a far side ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a `FakeEndpoint` does with a request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: These bytes instead of an answer, then the connection is closed.
    raw: bytes | None = None


#: Take the request and say nothing.
HANG = Answer()
#: Take the request and break the connection.
RESET = Answer()

#: For what an `Answer` cannot say.
Behaviour = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came."""

    method: str
    #: With its query.
    path: str
    #: Names in lower case.
    headers: dict[str, str]
    body: bytes


class FakeEndpoint:
    """An HTTP server on 127.0.0.1 that answers as it is told, and remembers what it was sent.

    `async with FakeEndpoint() as endpoint`; `stop` and `start` take it down and up again on the same port. A sink
    under test has to be allowed 127.0.0.0/8.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self._ssl_context = ssl_context
        self._answers: list[Answer | Behaviour] = [Answer()]
        self._runner: web.ServerRunner | None = None
        self._stopping = asyncio.Event()
        self.port = 0

    def __repr__(self) -> str:
        return f"<FakeEndpoint {self.url('/')} {'up' if self._runner else 'down'} requests={len(self.requests)}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    def url(self, path: str = "/calls") -> str:
        """Where to post."""
        return f"{'https' if self._ssl_context else 'http'}://127.0.0.1:{self.port}{path}"

    def answer(self, *answers: Answer | Behaviour) -> None:
        """Answer the next requests with these, one after the other; with the last one from then on."""
        self._answers = list(answers)

    async def received(self, count: int = 1) -> None:
        """Wait until there were so many requests."""
        await eventually(lambda: len(self.requests) >= count)

    async def start(self) -> None:
        """Listen, on the port of last time where there was one."""
        self._stopping.clear()
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None, handler_cancellation=True, auto_decompress=False),
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._ssl_context).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Refuse connections, and break those that there are."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.content.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Received(request.method, request.path_qs, headers, body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        transport = request.transport
        if not isinstance(answer, Answer):
            return await answer(request)
        if answer is HANG:
            await self._stopping.wait()
        elif transport is not None and answer is RESET:
            transport.abort()
        elif transport is not None and answer.raw is not None:
            transport.write(answer.raw)
            transport.close()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
